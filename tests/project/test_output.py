"""A command whose output cannot be written says so in one line, without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.keys import SECRET_KEY
from tests.processes import Tidy, without_log

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def tidy(tmp_path_factory: pytest.TempPathFactory, checkout: Path, valkey: str) -> Tidy:
    """The project with a database in a file."""
    folder = tmp_path_factory.mktemp("output")
    tidy = Tidy(
        checkout,
        {
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DJANGO_ALLOWED_HOSTS": "tidy.example",
            "DATABASE_URL": f"sqlite:///{folder}/tidy.sqlite3",
            "REDIS_URL": valkey,
        },
    )
    assert tidy.manage("migrate", "-v0").returncode == 0
    return tidy


def in_a_shell(tidy: Tidy, command: str) -> tuple[int, str]:
    """Run a command as a shell does; return the exit code of `manage.py`, and its errors,
    without what it logs.
    """
    ended = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{sys.executable} manage.py {command}"],
        cwd=tidy.folder,
        env=tidy.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, without_log(ended.stderr)


@pytest.mark.parametrize("command", ["cleanup_todos", "cleanup_todos --dry-run"])
def test_command_needs_nobody_who_reads_it(tidy: Tidy, command: str) -> None:
    assert in_a_shell(tidy, f"{command} >&-") == (0, "")


@pytest.mark.parametrize("command", ["cleanup_todos", "tasks_status --json"])
@pytest.mark.parametrize(
    ("to", "why"), [(">/dev/full", "No space left on device"), ("| true", "Broken pipe")]
)
def test_output_that_cannot_be_written_is_said_in_one_line(
    tidy: Tidy, command: str, to: str, why: str
) -> None:
    line = f"manage.py: cannot write the output: {why}. "
    assert in_a_shell(tidy, f"{command} {to}") == (1, f"{line}What was done before remains done.\n")
