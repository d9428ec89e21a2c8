"""Which changes of files restart the programs in development."""

from pathlib import Path

import pytest

from project.dev import sources
from project.dev.sources import Sources


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LOOK_SECONDS", 0)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module in a project that has an environment and tests, too."""
    for name in ("tasks/sub/actors.py", ".venv/lib/x.py", "tests/tasks/test_x.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("")
    return tmp_path / "tasks" / "sub" / "actors.py"


def test_change_is_said_once(tmp_path: Path, module: Path) -> None:
    watched = Sources(tmp_path)
    assert not watched.changed()
    module.write_text("x = 1")
    assert watched.changed()
    assert not watched.changed()


def test_added_and_deleted_file_are_changes(tmp_path: Path, module: Path) -> None:
    watched = Sources(tmp_path)
    module.with_name("new.py").write_text("")
    assert watched.changed()
    module.unlink()
    assert watched.changed()


@pytest.mark.parametrize(
    "name",
    ["tasks/templates/tasks/mail.txt", "tasks/templates/page.html", "tasks/locale/django.mo"],
)
def test_templates_and_translations_are_watched(tmp_path: Path, module: Path, name: str) -> None:
    watched = Sources(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("before")
    assert watched.changed()
    path.write_text("it says another thing now")
    assert watched.changed()


@pytest.mark.parametrize("name", [".venv/lib/x.py", "tests/tasks/test_x.py", "tasks/notes.md"])
def test_packages_tests_and_other_files_are_not_watched(
    tmp_path: Path, module: Path, name: str
) -> None:
    watched = Sources(tmp_path)
    (tmp_path / name).write_text("changed")
    assert not watched.changed()
