"""Whether the files for browsers are there: without them, production shows no page.

`manage.py collectstatic` puts them there, and writes down in a manifest what each is called.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import CheckMessage, Error


def are_collected() -> bool:
    """Say whether this process has found the manifest when it started; it does not look again."""
    # In development, Django finds each file where it is.
    return bool(getattr(staticfiles_storage, "hashed_files", True))


def check_static_files(**_: Any) -> Iterator[CheckMessage]:
    """Check that they are there, as one of Django's checks before a deployment."""
    if not are_collected():
        yield Error(
            "The manifest of the static files is missing, and so no page works:"
            " run `manage.py collectstatic`.",
            id="project.E001",
        )
