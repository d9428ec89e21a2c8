"""The document of the API, and what the changelog tells of it."""

import pytest

from project.api.document import document
from tests.api.clients import Program, assert_problem
from tests.openapi import is_told


def test_document_is_openapi_3_1_and_served_as_its_file_has_it(api: Program) -> None:
    served = Program().get("/openapi.json")
    assert served.status == 200
    assert served.headers["Content-Type"] == "application/json"
    assert served.json["openapi"].startswith("3.1.")
    assert served.json == document()
    assert_problem(Program().post("/openapi.json"), 405)


CHANGELOG = """# Changes

## Unreleased

- Something.
{line}

## 0.2.0 (2026-01-01)

- **The API** (`0123456789ab`): todos have a colour.
"""


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("- **The API** (`0123456789ab`): todos have a colour.", True),
        ("- The API has changed (`0123456789ab`): todos have a colour.", True),
        ("", False),
        ("- **The API** (`0123456789ab`)", False),
        ("- **The API** (`ffffffffffff`): todos have a colour.", False),
        ("- Colours (`0123456789ab`): todos have a colour.", False),
    ],
)
def test_change_of_the_document_is_told_in_the_newest_part_of_the_changelog(
    line: str, *, is_right: bool
) -> None:
    assert is_told("0123456789ab", CHANGELOG.format(line=line)) is is_right
