"""gunicorn.conf.py, by hand: it reads `.env`, and says in one line what is wrong with a setting."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import copy_project
from tests.keys import SECRET_KEY

PRODUCTION = {
    "DJANGO_SECRET_KEY": SECRET_KEY,
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_HTTPS": "false",
    "DATABASE_URL": "sqlite://:memory:",
    "REDIS_URL": "redis://localhost",
}


def gunicorn(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run gunicorn to its end in a copy of the project, with this environment and no other."""
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DJANGO_SECRET_KEY", ""),
        ("DJANGO_SECRET_KEY", "hunter2"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@localhost:port/tidy"),
        ("TIME_ZONE", "Mars/Olympus_Mons"),
        ("EMAIL_URL", "smtp://tidy:hunter2\u2100@mail.example"),
        ("SENTRY_DSN", "https://hunter2@sentry.example"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "tidy.example"),
    ],
)
def test_wrong_setting_is_one_line_and_nothing_runs(checkout: Path, name: str, value: str) -> None:
    ended = gunicorn(checkout, **PRODUCTION | {name: value})
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("gunicorn: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert name in ended.stderr
    assert "hunter2" not in ended.stderr


def test_env_file_is_read_and_the_environment_wins(checkout: Path, tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "tidy", checkout)
    lines = [f"{name}={value}" for name, value in PRODUCTION.items()]
    (copy / ".env").write_text("\n".join([*lines, "TIME_ZONE=Mars/Olympus_Mons"]))
    assert "TIME_ZONE" in gunicorn(copy).stderr
    checked = gunicorn(copy, "--check-config", TIME_ZONE="UTC")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("command", ["rundramatiq", "runscheduler"])
def test_workers_and_schedulers_say_so_as_well(checkout: Path, command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=checkout,
        env=PRODUCTION | {"REDIS_URL": "redis://:hunter2@localhost"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("manage.py: REDIS_URL: its password must be random")
