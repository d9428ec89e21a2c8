"""`deploy/backup.sh`: a dump that is complete or not there, and two weeks of them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT

pytestmark = pytest.mark.processes

DAY_SECONDS = 24 * 60 * 60


def back_up(folder: Path, docker: str) -> "subprocess.CompletedProcess[str]":
    """Make a dump in a folder; this script stands for Docker's command."""
    bin_folder = folder.parent / "bin"
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / "docker").write_text(f"#!/bin/sh\n{docker}\n")
    (bin_folder / "docker").chmod(0o755)
    return subprocess.run(
        [ROOT / "deploy/backup.sh", folder],
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def a_dump(folder: Path, name: str, *, days: float) -> None:
    """Leave a dump that was made so many days ago."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("older")
    made = (folder / name).stat().st_mtime - days * DAY_SECONDS
    os.utime(folder / name, (made, made))


def test_dump_is_what_postgresql_gives_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    done = back_up(folder, 'echo "$*"')
    assert (done.returncode, done.stderr) == (0, "")
    (dump,) = folder.iterdir()
    assert done.stdout == f"{dump}\n"
    assert re.fullmatch(r"tidy-\d{8}T\d{6}Z\.dump", dump.name)
    assert "exec -T postgres pg_dump" in dump.read_text()
    assert dump.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_dumps_of_more_than_two_weeks_ago_go_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    a_dump(folder, "tidy-20260101T013000Z.dump", days=15.1)
    a_dump(folder, "tidy-20260102T013000Z.dump", days=13.9)
    a_dump(folder, "before-the-move.dump", days=400)
    new = back_up(folder, "echo dump").stdout.strip()
    kept = {"tidy-20260102T013000Z.dump", "before-the-move.dump", Path(new).name}
    assert {file.name for file in folder.iterdir()} == kept


def test_dump_that_fails_leaves_nothing_and_deletes_no_older_one(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    a_dump(folder, "tidy-20260101T013000Z.dump", days=30)
    done = back_up(folder, "echo half; echo no container >&2; exit 1")
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "no container\n")
    assert [file.name for file in folder.iterdir()] == ["tidy-20260101T013000Z.dump"]
