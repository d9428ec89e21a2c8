"""What the tests of `manage.py dev` start from."""

from pathlib import Path

import pytest

from tests.checkout import copy_compiled
from tests.processes import Tidy
from tests.servers import free_port


@pytest.fixture
def tidy(tmp_path: Path, checkout: Path) -> Tidy:
    """A copy of the project, and an environment that says nothing."""
    return Tidy(copy_compiled(checkout, tmp_path / "my tidy"))


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    return free_port()
