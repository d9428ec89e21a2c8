"""`manage.py restore_todos` and the actor behind it."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from accounts.models import User
from tasks.actors import todo_restore
from tasks.engine.models import State, TaskRun, Trigger
from tasks.undo import NotRestorable
from tests.factories import new_run, new_todos
from todos.models import Todo, TrashedTodo


def restore_todos(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("restore_todos", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def swept(alice: User, bob: User) -> TaskRun:
    """A cleanup that has removed two todos of Alice's and one of Bob's."""
    new_todos(alice, alice, bob)
    call_command("cleanup_todos", stdout=StringIO())
    return TaskRun.objects.get(task="todo.cleanup")


def test_run_is_undone_and_the_undoing_is_recorded(swept: TaskRun) -> None:
    assert restore_todos("--run", f"{swept.pk}") == "Restored 3 todos.\n"
    assert Todo.objects.count() == 3
    undo = TaskRun.objects.get(task="todo.restore")
    assert (undo.state, undo.trigger) == (State.SUCCEEDED, Trigger.COMMAND)
    assert undo.result == {"todos_restored": 3, "todos_left": 0, "errors": []}
    assert restore_todos("--run", f"{swept.pk}") == "Restored 0 todos.\n"


def test_dry_run_says_what_would_come_back_and_touches_nothing(swept: TaskRun) -> None:
    assert restore_todos("--run", f"{swept.pk}", "--dry-run") == "Would restore 3 todos.\n"
    assert not Todo.objects.exists()
    assert not TaskRun.objects.filter(task="todo.restore").exists()


def test_run_is_undone_for_one_person(swept: TaskRun, alice: User) -> None:
    assert restore_todos("--run", f"{swept.pk}", "--user", "alice") == "Restored 2 todos.\n"
    assert {todo.user for todo in Todo.objects.all()} == {alice}


def test_last_cleanup_of_one_person_is_undone(swept: TaskRun, bob: User) -> None:
    assert restore_todos("--user", "bob") == "Restored 1 todo.\n"
    assert {todo.user for todo in Todo.objects.all()} == {bob}


def test_what_left_a_list_since_a_date_comes_back(swept: TaskRun, alice: User) -> None:
    old, *_ = TrashedTodo.objects.filter(user=alice).values_list("pk", flat=True)
    two_days_ago = timezone.now() - timedelta(days=2)
    TrashedTodo.objects.filter(pk=old).update(trashed_at=two_days_ago)

    today = timezone.localdate().isoformat()
    assert restore_todos("--user", "alice", "--since", today) == "Restored 1 todo.\n"
    earlier = (two_days_ago - timedelta(hours=1)).isoformat()
    assert restore_todos("--user", "alice", "--since", earlier) == "Restored 1 todo.\n"


def test_json_is_one_line_for_machines(swept: TaskRun) -> None:
    printed = restore_todos("--run", f"{swept.pk}", "--json")
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"todos_restored": 3, "todos_left": 0, "errors": []}


def test_run_whose_row_has_been_pruned_can_still_be_undone(swept: TaskRun) -> None:
    run_id = swept.pk
    TaskRun.objects.all().delete()
    assert restore_todos("--run", f"{run_id}") == "Restored 3 todos.\n"


def test_what_cannot_come_back_is_said_and_makes_the_command_fail(
    swept: TaskRun, bob: User
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE todos_trashedtodo SET user_id = 999 WHERE user_id = %s", [bob.pk])
    with pytest.raises(CommandError) as failed:
        restore_todos("--run", f"{swept.pk}")
    assert str(failed.value) == "Not restored: 1 todo (user 999: account deleted)."
    assert Todo.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Say what to restore"),
        (["--run", "999999"], "There is no run 999999"),
        (["--run", "nine"], "invalid int value"),
        (["--user", "nobody"], "no user called 'nobody'"),
        (["--user", "carol"], "The trash has no todos of this person from a cleanup"),
        (["--since", "2026-01-01"], "--since needs --user"),
        (["--user", "alice", "--since", "yesterday"], "--since must be a date such as 2026-11-23"),
        (["--user", "alice", "--since", "2026-13-01"], "--since must be a date"),
    ],
)
def test_wrong_option_is_one_clear_line_and_touches_nothing(
    swept: TaskRun, carol: User, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(CommandError, match=complaint) as refused:
        restore_todos(*arguments)
    assert "\n" not in str(refused.value)
    assert not Todo.objects.exists()


def test_run_that_is_no_cleanup_or_has_not_ended_is_refused(swept: TaskRun) -> None:
    other = new_run(State.QUEUED, task="runs.prune", trigger=Trigger.API)
    with pytest.raises(CommandError, match=f"Run {other.pk} is not a cleanup, but runs.prune"):
        restore_todos("--run", f"{other.pk}")
    TaskRun.objects.filter(pk=swept.pk).update(state=State.RUNNING, finished_at=None)
    with pytest.raises(CommandError, match=f"Run {swept.pk} has not ended yet"):
        restore_todos("--run", f"{swept.pk}")
    with pytest.raises(NotRestorable):
        todo_restore.fn(run_id=swept.pk)
    with pytest.raises(NotRestorable):
        todo_restore.fn()


def test_actor_undoes_a_run(swept: TaskRun, alice: User) -> None:
    report = todo_restore.fn(run_id=swept.pk, user_id=alice.pk)
    assert report == {"todos_restored": 2, "todos_left": 0, "errors": []}


def test_json_of_a_dry_run_says_that_it_is_one(swept: TaskRun) -> None:
    would = json.loads(restore_todos("--run", f"{swept.pk}", "--json", "--dry-run"))
    assert would.pop("dry_run") is True
    assert would == json.loads(restore_todos("--run", f"{swept.pk}", "--json"))


@pytest.mark.parametrize("since", ["", " ", "soon", "2026-02-30", "2026-01-01T25:00", "\ud800"])
def test_since_that_is_no_date_is_refused_in_one_line(alice: User, since: str) -> None:
    with pytest.raises(CommandError, match=r"--since must be a date such as 2026-11-23"):
        restore_todos("--user", "alice", "--since", since)


@pytest.mark.parametrize(
    "since", ["0001-01-01", "9999-12-31", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"]
)
def test_since_at_the_ends_of_time_is_a_date_or_refused(
    swept: TaskRun, alice: User, since: str
) -> None:
    try:
        said = restore_todos("--user", "alice", "--since", since)
    except CommandError as error:
        said = str(error)
    assert said in {"Restored 2 todos.\n", "Restored 0 todos.\n"} or "--since" in said


@pytest.mark.parametrize("run", ["0", "-1", "99999999999999999999999"])
def test_run_that_there_is_not_is_refused_in_one_line(alice: User, run: str) -> None:
    with pytest.raises(CommandError):
        restore_todos("--run", run)


def test_name_that_is_no_text_is_nobodys(alice: User) -> None:
    with pytest.raises(CommandError, match="There is no user called"):
        restore_todos("--user", "\udcff")
