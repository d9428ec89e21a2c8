"""Finding a Chromium, or getting one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.checkout import ROOT


def executable(folder: Path, name: str, code: int = 0) -> Path:
    """Write a program that ends with an exit code."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_first_that_starts_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = executable(tmp_path, "broken", 1), executable(tmp_path, "good")
    monkeypatch.setattr(chromium, "candidates", lambda: iter([tmp_path / "none", broken, good]))
    assert chromium.find() == good


def test_one_that_the_environment_names_comes_before_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = executable(tmp_path, "good")
    monkeypatch.setenv("TIDY_CHROMIUM", str(good))
    assert list(chromium.candidates()) == [good]


def test_one_that_is_named_and_does_not_start_is_one_clear_line() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "tests.browser.chromium"],
        cwd=ROOT,
        env={**os.environ, "TIDY_CHROMIUM": "/nonexistent/chromium"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "TIDY_CHROMIUM names /nonexistent/chromium, which does not start as a Chromium.\n"
    )


def test_one_that_is_there_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = executable(tmp_path, "good")
    monkeypatch.setattr(chromium, "candidates", lambda: iter([good]))
    monkeypatch.setattr(chromium, "get", lambda: pytest.fail("nothing is to be fetched"))
    chromium.main()
    assert capsys.readouterr().out == f"The browser tests use {good}.\n"


def test_playwrights_own_comes_before_debians(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fail(command: list[str], **_: object) -> bool:
        tried.append(" ".join(command[-3:]))
        return False

    monkeypatch.setattr(chromium, "runs", fail)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/apt-get")
    chromium.get()
    assert tried == [
        "playwright install chromium",
        "apt-get update",
        "--no-install-recommends chromium fonts-liberation",
    ]


def test_none_to_be_had_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "find", lambda: None)
    monkeypatch.setattr(chromium, "get", lambda: None)
    with pytest.raises(SystemExit) as ended:
        chromium.main()
    assert ended.value.code == (
        "No Chromium could be found or installed: install one for the browser tests."
    )
