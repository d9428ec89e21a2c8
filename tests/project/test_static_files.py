"""A site whose static files were never collected: a check says so, and it is not ready."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import copy_compiled
from tests.processes import Tidy
from tests.sites import collect_static

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "project.settings",
    "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DJANGO_ALLOWED_HOSTS": "tidy.example",
    "REDIS_URL": "redis://localhost:9",
    "TRUSTED_PROXIES": "1",
}

#: Prints the answer of a process that starts now.
ASK = """
import django
django.setup()
from django.test import Client
answer = Client().get("/readyz")
print(answer.status_code, answer.content.decode())
"""


@pytest.fixture
def tidy(checkout: Path, tmp_path: Path) -> Tidy:
    """A copy of the project with a migrated database, and no static files yet."""
    settings = SETTINGS | {"DATABASE_URL": f"sqlite:///{tmp_path}/tidy.sqlite3"}
    tidy = Tidy(copy_compiled(checkout, tmp_path / "tidy"), settings)
    assert tidy.manage("migrate", "-v0").returncode == 0
    return tidy


def readiness(tidy: Tidy) -> tuple[int, dict[str, Any]]:
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tidy.folder,
        env=tidy.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    status, _, said = asked.stdout.partition(" ")
    return int(status), json.loads(said)


def test_site_without_its_static_files_is_not_ready_and_the_check_names_the_way_out(
    tidy: Tidy,
) -> None:
    checked = tidy.manage("check", "--deploy", "--fail-level", "WARNING")
    assert checked.returncode == 1
    (line,) = [line for line in checked.stderr.splitlines() if "project.E001" in line]
    assert "their manifest is missing" in line
    assert "`manage.py collectstatic`" in line
    status, said = readiness(tidy)
    assert (status, said["ready"]) == (503, False)
    assert said["migrations"] == {"state": "ok"}
    assert said["static_files"]["state"] == "missing"
    assert "manage.py collectstatic" in said["static_files"]["reason"]

    collect_static(tidy)
    checked = tidy.manage("check", "--deploy", "--fail-level", "WARNING")
    assert checked.returncode == 0, checked.stderr
    status, said = readiness(tidy)
    assert (status, said["ready"], said["static_files"]) == (200, True, {"state": "ok"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace("project/icon.svg", "project/former.svg"), "project/icon.svg"),
        (lambda text: text[:100], "cannot be read"),
    ],
    ids=["of a version without one of the files", "cut off"],
)
def test_manifest_that_is_not_this_versions_is_told_too(
    tidy: Tidy, damage: Callable[[str], str], told: str
) -> None:
    collect_static(tidy)
    (manifest,) = tidy.folder.glob("staticfiles/*.json")
    manifest.write_text(damage(manifest.read_text(encoding="utf-8")), encoding="utf-8")
    checked = tidy.manage("check", "--deploy", "--fail-level", "WARNING")
    assert checked.returncode == 1
    (line,) = [line for line in checked.stderr.splitlines() if "project.E001" in line]
    assert told in line
    status, said = readiness(tidy)
    assert (status, said["static_files"]["state"]) == (503, "missing")
    assert told in said["static_files"]["reason"]
