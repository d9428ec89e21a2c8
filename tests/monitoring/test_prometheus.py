"""Finding Prometheus, or getting one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.monitoring import prometheus


def programs(folder: Path, *names: str) -> Path:
    """Write programs that end well; return their folder."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_first_folder_with_both_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, both = programs(tmp_path / "a", "prometheus"), programs(tmp_path / "b", *prometheus.NAMES)
    monkeypatch.setattr(prometheus, "candidates", lambda: iter([tmp_path / "none", one, both]))
    assert prometheus.find() == both


def test_folder_that_the_environment_names_comes_before_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDY_PROMETHEUS", str(tmp_path))
    assert list(prometheus.candidates()) == [tmp_path]


def test_folder_that_is_named_and_has_none_is_one_clear_line() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "tests.monitoring.prometheus"],
        cwd=ROOT,
        env={**os.environ, "TIDY_PROMETHEUS": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "TIDY_PROMETHEUS names /nonexistent, which has no prometheus and promtool that start.\n"
    )


def test_debians_package_is_unpacked_and_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[list[str]] = []

    def pretend(command: list[str], *, folder: str | None = None, **_: object) -> bool:
        tried.append(command)
        if command[1] == "download":
            assert folder
            (Path(folder) / "prometheus_1_amd64.deb").touch()
        return True

    monkeypatch.setattr(prometheus, "runs", pretend)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    prometheus.get()
    assert [command[:2] for command in tried] == [
        ["apt-get", "download"],
        ["dpkg-deb", "--extract"],
    ]


def test_none_to_be_had_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "find", lambda: None)
    monkeypatch.setattr(prometheus, "get", lambda: None)
    with pytest.raises(SystemExit) as ended:
        prometheus.main()
    assert ended.value.code == (
        "No Prometheus could be found or unpacked: install one for the monitoring tests."
    )
