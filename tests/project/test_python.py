"""The Python that Tidy needs is the same wherever it is named."""

import tomllib

from tests.checkout import ROOT


def test_make_takes_any_python_that_the_project_allows() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    # Without this, uv insists on the one in .python-version, and fetches it from elsewhere.
    assert f"export UV_PYTHON ?= {requires}\n" in (ROOT / "Makefile").read_text()
    assert f"Python {requires.removeprefix('>=')} or later" in (ROOT / "README.md").read_text()
