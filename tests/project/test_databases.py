"""A database that is none, or not yet: one line that names the way out, and no success."""

from pathlib import Path

import pytest

from tests.keys import SECRET_KEY
from tests.processes import Tidy, without_log

pytestmark = pytest.mark.e2e

#: Every command that works with the database.
COMMANDS = (
    "cleanup_todos",
    "cleanup_todos --dry-run",
    "cleanup_todos --enqueue",
    "purge_trash",
    "restore_todos --run 1",
    "restore_todos --user alice",
    "prune_runs",
    "tasks_status",
    "tasks_status --check",
    "seed_demo --force",
    "runscheduler",
    "runscheduler --once",
    "rundramatiq --processes 1 --threads 1",
    "createsuperuser --noinput --username boss --email boss@example.com",
    "clearsessions",
)


@pytest.fixture
def tidy(tmp_path: Path, checkout: Path, valkey: str) -> Tidy:
    """The project with a database whose file is not there."""
    return Tidy(
        checkout,
        {
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DJANGO_ALLOWED_HOSTS": "tidy.example",
            "DATABASE_URL": f"sqlite:///{tmp_path}/its%20own%3F.sqlite3",
            "REDIS_URL": valkey,
        },
    )


def complaints(tidy: Tidy, commands: tuple[str, ...] = COMMANDS) -> dict[str, str]:
    """Run commands, each of which must fail; return the last line that each has written."""
    said = {}
    for command in commands:
        ended = tidy.manage(*command.split())
        assert ended.returncode not in {0, -9}, command
        assert "Traceback" not in ended.stderr, command
        said[command] = ended.stderr.splitlines()[-1]
    return said


def test_missing_file_is_not_made_by_anything_but_migrate(tidy: Tidy, tmp_path: Path) -> None:
    for command, line in complaints(tidy).items():
        assert "file does not exist" in line, command
        assert "`manage.py migrate` creates it" in line, command
    file = tmp_path / "its own?.sqlite3"
    assert not file.exists()

    assert tidy.manage("migrate", "-v0").returncode == 0
    assert file.exists()
    ended = tidy.manage("cleanup_todos")
    assert (ended.returncode, without_log(ended.stderr)) == (0, "")


def test_file_that_is_no_database_is_named_as_such(tidy: Tidy, tmp_path: Path) -> None:
    file = tmp_path / "its own?.sqlite3"
    file.write_text("Dear diary, " * 1_000)
    for command, line in complaints(tidy, (*COMMANDS, "migrate")).items():
        assert "DATABASE_URL names a file that is not a database" in line, command
    assert file.read_text() == "Dear diary, " * 1_000


def test_folder_that_is_not_there_is_named_by_migrate(tidy: Tidy, tmp_path: Path) -> None:
    tidy.settings = {**tidy.settings, "DATABASE_URL": f"sqlite:///{tmp_path}/none/tidy.sqlite3"}
    ended = tidy.manage("migrate")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"{tmp_path}/none/tidy.sqlite3 cannot be written" in ended.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_database_that_is_not_migrated_is_refused_with_the_way_out(
    tidy: Tidy, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "postgresql":
        address: str = request.getfixturevalue("database")
        tidy.settings = {**tidy.settings, "DATABASE_URL": address}
    else:
        (tmp_path / "its own?.sqlite3").touch()
    for command, line in complaints(tidy).items():
        assert "The database lacks" in line, command
        assert "run `manage.py migrate` first." in line, command

    assert tidy.manage("migrate", "-v0", "tasks", "0002").returncode == 0
    some = ("runscheduler", "rundramatiq", "cleanup_todos")
    for command, line in complaints(tidy, some).items():
        assert "The database lacks" in line, command


@pytest.mark.parametrize(
    "option",
    [
        *("--processes 0", "--processes -1", "--threads 0", "--threads -8", "-p 0", "-t 1001"),
        *("--processes 99999999999", "--worker-shutdown-timeout -1"),
    ],
)
def test_worker_with_a_number_that_makes_no_sense_is_refused(tidy: Tidy, option: str) -> None:
    tidy.settings = {**tidy.settings, "DATABASE_URL": "sqlite://:memory:"}
    ended = tidy.manage("rundramatiq", *option.split())
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert " must be from " in ended.stderr
    assert ended.stdout == ""
