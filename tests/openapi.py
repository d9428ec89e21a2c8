"""The document of the API: as the operations are, and told of in the changelog.

    python -m tests.openapi            says what is wrong; ends with 1 if anything is
    python -m tests.openapi --write    writes the document to its file

A change of the document changes its digest. The newest part of CHANGELOG.md has to have a line with
this digest that says what has changed, for those who have written clients.
"""

import os
import re
import sys
from hashlib import sha256

import django

from tests.checkout import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"

#: Where a part of the changelog begins that is of a version.
PART = re.compile(r"^## ", re.MULTILINE)


def digest_of(text: str) -> str:
    """Return what the changelog calls a document."""
    return sha256(text.encode()).hexdigest()[:12]


def is_told(digest: str, changelog: str) -> bool:
    """Return whether the newest part of a changelog says what has changed in this document."""
    _, newest, *_ = PART.split(changelog)
    line = re.compile(rf"^- .*\bAPI\b.*`{digest}`.*\w+ \w+", re.MULTILINE)
    return bool(line.search(newest))


def wrong() -> list[str]:
    """Return what is wrong with the document."""
    from project.api.document import FILE, written  # noqa: PLC0415  (Django has been set up)

    made = written()
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != made:
        return [f"{FILE.relative_to(ROOT)} is not what the operations are: write it anew."]
    digest = digest_of(made)
    if not is_told(digest, CHANGELOG.read_text(encoding="utf-8")):
        line = f"- **The API** (`{digest}`)"
        return [f"The document has changed. Say what, in CHANGELOG.md, after “{line}”."]
    return []


def main() -> None:
    """Write the document, or say what is wrong with it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    if "--write" in sys.argv:
        from project.api.document import FILE, written  # noqa: PLC0415

        FILE.write_text(written(), encoding="utf-8")
    found = wrong()
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
