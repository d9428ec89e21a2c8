"""Whether the files for browsers are there: without them, production shows no page.

`manage.py collectstatic` puts them there, and writes down in a manifest what each is called.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from django.contrib.staticfiles.apps import StaticFilesConfig
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import CheckMessage, Error


@cache
def fault() -> str:
    """Say what is wrong with the manifest, as this process loaded it; empty if nothing is."""
    try:
        # In development, Django finds each file where it is.
        collected = getattr(staticfiles_storage, "hashed_files", None)
    except (OSError, ValueError):
        return "their manifest cannot be read"
    if collected is None:
        return ""
    if not collected:
        return "their manifest is missing"
    # It may be an earlier version's.
    lacking = [name for name in names() if name not in collected]
    return f"their manifest lacks {len(lacking)}, such as {lacking[0]}" if lacking else ""


def names() -> Iterator[str]:
    """Yield the name of each file that this version has, as pages write it."""
    for finder in get_finders():
        for path, storage in finder.list(StaticFilesConfig.ignore_patterns):
            yield str(PurePosixPath(getattr(storage, "prefix", None) or "", path))


def check_static_files(**_: Any) -> Iterator[CheckMessage]:
    """Check that they are there, as one of Django's checks before a deployment."""
    if found := fault():
        yield Error(
            f"Pages lack the static files that they need: {found}. Run `manage.py collectstatic`.",
            id="project.E001",
        )
