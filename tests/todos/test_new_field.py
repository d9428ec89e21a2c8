"""A field that somebody adds to `TodoFields` works everywhere: in the form, the trash, the demo."""

import ast
from pathlib import Path

import pytest

from tests.checkout import copy_project
from tests.processes import Tidy

pytestmark = pytest.mark.e2e

FIELD = "    priority = models.CharField(max_length=9, default='low')\n"

#: What somebody who wants the field in the admin's form and list writes there.
SHOWN = """
TodoAdmin.list_display += ("priority",)
TodoAdmin.fieldsets[0][1]["fields"] += ("priority",)
"""

#: One todo's life, then demo data.
LIFE = """
from datetime import timedelta
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from accounts.models import User
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

boss = User.objects.create_superuser("boss")
client = Client(headers={"host": "localhost"})
client.force_login(boss)
todos, trash = "/admin/todos/todo/", "/admin/todos/trashedtodo/"
form = {"title": "Pay", "description": "", "due_on": "", "initial-done": "False"}


def todo(priority):
    found = Todo.objects.get()
    assert found.priority == priority, found.priority
    return found


def post(address, **data):
    page = client.post(address, data, follow=True)
    assert page.status_code == 200 and "successfully" in page.text, page.text


assert 'value="low"' in client.get(f"{todos}add/").text, "the form offers the default"
post(f"{todos}add/", user=boss.pk, priority="high", **form)
pk = todo("high").pk
assert ">high</td>" in client.get(todos).text
post(f"{todos}{pk}/change/", priority="urgent", **form)
todo("urgent")

assert client.post(f"{todos}{pk}/change/", {**form, "priority": "x" * 10}).status_code == 200
TodoService.edit(user=boss, todo_id=pk, title="Pay now")
assert todo("urgent").title == "Pay now", "what is not said stays"
TodoService.edit(user=boss, todo_id=pk, priority="none")
todo("none")

client.post(f"{todos}{pk}/delete/", {"post": "yes"})
assert TrashedTodo.objects.get().priority == "none"
client.post(trash, {"action": "restore", "_selected_action": [pk]})
todo("none")
long_ago = timezone.now() - timedelta(days=30)
Todo.objects.update(completed_at=long_ago, restored_at=long_ago)
assert TodoService.sweep(as_of=timezone.now())["todos_deleted"] == 1
assert TrashedTodo.objects.get().priority == "none"
TrashedTodo.objects.update(run_id=1)
assert TodoService.restore_last_sweep(user=boss)["todos_restored"] == 1
todo("none").delete()

assert TodoService.create(user=boss, title="Call").priority == "low"
assert TodoService.create(user=boss, title="Call", priority="high").priority == "high"
call_command("seed_demo", "--users", "5", "--todos", "40")
assert Todo.objects.filter(priority="low").count() == 41
print("lived")
"""


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_field_called_priority_works_wherever_todos_do(
    checkout: Path, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    tidy = Tidy(
        copy_project(tmp_path / "tidy", checkout),
        {
            "DJANGO_DEBUG": "true",
            "DJANGO_SECRET_KEY": "x",
            "DATABASE_URL": f"sqlite:///{tmp_path}/tidy.sqlite3"
            if where == "sqlite"
            else request.getfixturevalue("database"),
        },
    )
    manage(tidy, "migrate")
    add_to_class(tidy.folder / "todos/models.py", "TodoFields", FIELD)
    with (tidy.folder / "todos/admin/todo.py").open("a", encoding="utf-8") as module:
        module.write(SHOWN)

    manage(tidy, "makemigrations", "todos", "--no-input")
    manage(tidy, "migrate")
    manage(tidy, "check", "--fail-level", "WARNING")
    assert manage(tidy, "shell", "--verbosity", "0", "--command", LIFE).endswith("lived\n")


def add_to_class(path: Path, name: str, line: str) -> None:
    """Add a line to the top of a class's body, after its docstring."""
    text = path.read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    lines = text.splitlines(keepends=True)
    lines.insert(found.body[0].end_lineno or 0, line)
    path.write_text("".join(lines), encoding="utf-8")


def manage(tidy: Tidy, *arguments: str) -> str:
    """Run a command that must succeed; return what it prints."""
    done = tidy.manage(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
