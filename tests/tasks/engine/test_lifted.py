"""The engine works in a site of its own: what its README says, done word for word."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.processes import Tidy, wait_until
from tests.servers import valkey_server

pytestmark = pytest.mark.e2e

ENGINE = ROOT / "tasks/engine"
#: A block of code that says where it belongs in its first line.
FILE_BLOCK = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)
#: The others: to be run as they stand.
EXAMPLE = re.compile(r"```python\n(?!# \S+\.py\n)(.*?)```", re.DOTALL)

LOOK_AT_SLOTS = """
from tasks.engine.models import State, TaskRun
slots = TaskRun.objects.filter(task="greet", scheduled_for__isnull=False)
print(slots.filter(state=State.SUCCEEDED, result={"greeted": 1}).count())
"""
#: As the README adds it to an actor's options.
WITH_EXTENSION = (
    ("import dramatiq\n", "import dramatiq\n\nfrom greetings.extensions import GreetExtension\n"),
    ("time_limit=10_000)", "time_limit=10_000, extension=GreetExtension())"),
)
OPEN_THE_CONSOLE = """
from django.contrib.auth.models import User
from django.test import Client
from tasks.engine.models import TaskRun
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("root"))
run = TaskRun.objects.filter(task="greet", state="succeeded").latest("pk")
pages = [
    *("/admin/background/", "/admin/background/dead-letters/", "/admin/tasks/taskrun/"),
    f"/admin/tasks/taskrun/{run.pk}/change/",
]
print([client.get(page).status_code for page in pages])
page = client.get("/admin/background/").content.decode()
print([words in page for words in (">greet</a>", "1 person greeted", "people greeted, most on")])
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Tidy]:
    """A fresh site with the engine's folder, the files of its README, and a broker."""
    folder = tmp_path / "site"
    folder.mkdir()
    for arguments in (["startproject", "mysite", "."], ["startapp", "greetings"]):
        subprocess.run([sys.executable, "-m", "django", *arguments], cwd=folder, check=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ENGINE, folder / "tasks/engine", ignore=ignored)
    blocks = FILE_BLOCK.findall((ENGINE / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) == 5, "the README has other files than this test knows"
    for name, code in blocks:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(code)
    actors = folder / "greetings/actors.py"
    for before, after in WITH_EXTENSION:
        code = actors.read_text(encoding="utf-8")
        assert before in code
        actors.write_text(code.replace(before, after), encoding="utf-8")
    (tmp_path / "valkey").mkdir()
    with valkey_server(tmp_path / "valkey") as url:
        yield Tidy(folder, {"REDIS_URL": url})


def test_fresh_site_with_the_engine_runs_its_schedule_and_answers_at_the_console(
    site: Tidy,
) -> None:
    migrated = site.manage("migrate")
    assert migrated.returncode == 0, migrated.stderr
    with ExitStack() as stack:
        worker = stack.enter_context(site.start("rundramatiq", "--processes=1", "--threads=2"))
        scheduler = stack.enter_context(site.start("runscheduler"))
        wait_until(
            lambda: slots_that_succeeded(site) > 1,
            seconds=60,
            otherwise=lambda: f"{worker.output()}\n{scheduler.output()}",
        )
        verdict = site.manage("tasks_status", "--check")
        assert verdict.stdout == "All well.\n", verdict
        for example in EXAMPLE.findall((ENGINE / "README.md").read_text(encoding="utf-8")):
            done = site.manage("shell", "-v0", "-c", example)
            assert done.returncode == 0, f"{example}\n{done.stderr}"
        assert "Hello, Ada." in worker.output()
        assert "WARNING" not in worker.output()
    pages = site.manage("shell", "-v0", "-c", OPEN_THE_CONSOLE)
    assert pages.stdout.splitlines() == ["[200, 200, 200, 200]", "[True, True, True]"], pages.stderr


def slots_that_succeeded(site: Tidy) -> int:
    """Return how many of the schedule's slots have run well."""
    counted = site.manage("shell", "-v0", "-c", LOOK_AT_SLOTS)
    assert counted.returncode == 0, counted.stderr
    return int(counted.stdout)


def test_engine_names_nothing_of_the_site_it_was_written_for() -> None:
    text = (ENGINE / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"tidy|todo", text, re.IGNORECASE)
