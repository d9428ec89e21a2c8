"""What the documents offer to paste works when it is pasted, word for word."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core import management
from django.core.management import find_commands, get_commands
from dramatiq.broker import get_broker

from accounts.services import UserService
from tasks.engine.runs.execution import current_run
from tests.checkout import ROOT, copy_project
from tests.processes import Tidy

#: Blocks of code: the language, empty for a shell's, and the text.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: Lines for a shell that other tests run, or that need what no test has: tests/project starts
#: `make run` and reads docker-compose.yml.
ELSEWHERE = {
    "make run",
    (
        "cp .env.example .env && deploy/secrets.sh     # then set DJANGO_ALLOWED_HOSTS and"
        " TRUSTED_PROXIES=1 in .env"
    ),
    "docker compose up --detach --build --wait",
    "docker compose exec web python manage.py createsuperuser",
}

#: What the documents speak of: a cleanup that was run 42, which removed a todo of alice's, and an
#: earlier one that did so as well.
PREPARE = """
from django.apps import apps
from django.utils import timezone
from accounts.services import UserService
from todos.models import TrashedTodo

alice = UserService.create_user(username="alice", password="correct horse battery")
apps.get_model("tasks", "TaskRun").objects.create(
    pk=42, task="todo.cleanup", trigger="schedule", queue="default", state="succeeded",
    result={"todos_deleted": 1}, finished_at=timezone.now(),
)
for pk, run_id in ((1, 41), (2, 42)):
    now = timezone.now()
    TrashedTodo.objects.create(
        pk=pk, user=alice, title="Sow", completed_at=now, trashed_at=now, run_id=run_id
    )
"""


def blocks(document: str, language: str) -> list[str]:
    """Return the blocks of a language in a document, dedented by nothing: as they stand."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [code for found, code in BLOCK.findall(text) if found == language]


def shell_lines() -> list[str]:
    """Return the lines that the documents offer to a shell, in their order."""
    return [
        line
        for document in ("README.md", "docs/operations.md")
        for block in blocks(document, "")
        for line in block.splitlines()
        if not line.startswith((" ", "\t")) and line
    ]


@pytest.fixture
def copied(tidy: Tidy, tmp_path: Path) -> Tidy:
    """A copy of the project to paste into."""
    tidy.folder = copy_project(tmp_path / "tidy", tidy.folder)
    return tidy


@pytest.fixture
def with_worker(copied: Tidy) -> Iterator[Tidy]:
    """A copy in which the documents' own words call its Python, and a worker that is there."""
    python = copied.folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    prepared = copied.manage("shell", "-v0", "-c", PREPARE)
    assert prepared.returncode == 0, prepared.stderr
    with copied.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        worker.wait_for("ready for action")
        yield copied


def run(tidy: Tidy, line: str) -> subprocess.CompletedProcess[str]:
    """Have a shell run a line."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=tidy.folder,
        env=tidy.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def named_in(document: str, table: str) -> set[str]:
    """Return what the first column of a table names, without arguments.

    Args:
        document: the path of the document.
        table: how the table's first row begins.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    (rows,) = re.findall(rf"^{re.escape(table)}.*\n((?:^\|.*\n)+)", text, re.MULTILINE)
    cells = [row.split("|")[1] for row in rows.splitlines()[1:]]
    return {name.split()[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_command_stands_in_the_readme() -> None:
    of_django = find_commands(str(Path(management.__file__).parent))
    ours = {
        name
        for name, app in get_commands().items()
        if not str(app).startswith(("django.", "allauth.")) and name not in of_django
    }
    assert named_in("README.md", "| command |") == ours


def test_every_task_stands_in_the_readme() -> None:
    actors = get_broker().actors.values()
    tasks = {actor.actor_name for actor in actors if not actor.fn.__module__.startswith("tests.")}
    assert named_in("README.md", "| task |") == tasks


@pytest.mark.django_db
def test_permissions_are_called_as_the_admin_calls_them() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`(?:tasks|todos)\.\w+_.*?) \| (\*.*?\*) \|", text, re.MULTILINE)
    assert len(rows) == text.partition("| permission |")[2].partition("\n\n")[0].count("\n") - 1
    for names, labels in rows:
        for name, label in zip(
            re.findall(r"`(\w+\.\w+)`", names), re.findall(r"\*([^*]+)\*", labels), strict=True
        ):
            app, codename = name.split(".")
            permission = Permission.objects.get(content_type__app_label=app, codename=codename)
            assert permission.name == label
    shown = {str(permission) for permission in Permission.objects.select_related("content_type")}
    example = re.search(r"example, \*([^*]+ \| [^*]+)\*", text)
    assert example
    assert example[1] in shown


@pytest.mark.e2e
def test_every_line_for_the_shell_runs(with_worker: Tidy) -> None:
    lines = [line for line in shell_lines() if line not in ELSEWHERE]
    assert len(lines) > 8
    for line in lines:
        assert line.startswith(".venv/bin/python manage.py "), f"who runs this line? {line}"
        done = run(with_worker, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.e2e
def test_every_example_for_python_runs(with_worker: Tidy) -> None:
    examples = [
        block
        for document in ("README.md", "docs/operations.md")
        for block in blocks(document, "python")
        if block.startswith("from tasks.actors import")
    ]
    assert len(examples) == 2
    for example in examples:
        done = with_worker.manage("shell", "-v0", "-c", example, seconds=90)
        assert done.returncode == 0, f"{example}\n{done.stderr}"


@pytest.mark.django_db
def test_step_of_the_readme_is_a_step() -> None:
    (example,) = [block for block in blocks("README.md", "python") if block.startswith("with ")]
    exec(example, {"current_run": current_run, "UserService": UserService})  # noqa: S102  (ours)


def added_in_three_places(folder: Path) -> None:
    """Paste the README's task where it says."""
    name, actor, entry = blocks("README.md", "python")[1:4]
    names, actors, schedules = (
        folder / f"tasks/{module}.py" for module in ("names", "actors", "schedules")
    )
    names.write_text(names.read_text(encoding="utf-8") + name, encoding="utf-8")
    actors.write_text(actors.read_text(encoding="utf-8") + "\n\n" + actor, encoding="utf-8")
    before, closing, after = schedules.read_text(encoding="utf-8").rpartition("\n]")
    schedules.write_text(f"{before}\n{entry.rstrip()}{closing}{after}", encoding="utf-8")


@pytest.mark.e2e
def test_task_is_added_in_three_places(copied: Tidy) -> None:
    added_in_three_places(copied.folder)
    ask = textwrap.dedent("""
        from tasks.actors import people_count
        from tasks.engine.runs.enqueue import enqueue
        from tasks.engine.management.waiting import result_of
        print(result_of(enqueue(people_count), seconds=30))
    """)
    with (
        copied.start("rundramatiq", "--processes=1", "--threads=2") as worker,
        copied.start("runscheduler") as scheduler,
    ):
        worker.wait_for("ready for action")
        done = copied.manage("shell", "-v0", "-c", ask)
        assert done.stdout == "{'people': 0}\n", done.stderr
        shown = copied.manage("tasks_status")
        assert "At 08:00 on Monday through Friday (UTC)" in shown.stdout
        assert scheduler.stop() == 0
        assert worker.stop() == 0
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "tasks"],
        cwd=copied.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.e2e
def test_field_is_added_to_todos_as_the_readme_says(copied: Tidy) -> None:
    (field,) = [code for code in blocks("README.md", "python") if code.startswith("    priority")]
    models = copied.folder / "todos/models.py"
    text = models.read_text(encoding="utf-8")
    place = "    class Meta:\n        abstract = True\n"
    assert text.count(place) == 1
    models.write_text(text.replace(place, f"{field}\n{place}"), encoding="utf-8")
    for arguments in (
        ["makemigrations", "todos"],
        ["migrate"],
        ["check"],
        ["seed_demo", "--force"],
    ):
        done = copied.manage(*arguments)
        assert done.returncode == 0, done.stderr
    swept = copied.manage("cleanup_todos")
    assert swept.returncode == 0, swept.stderr
