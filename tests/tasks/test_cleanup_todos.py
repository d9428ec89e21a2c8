"""`manage.py cleanup_todos`, in this process."""

import json
from datetime import timedelta
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.utils import timezone
from psycopg.errors import DiskFull, LockNotAvailable
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.models import User
from tasks.engine.models import State, TaskRun
from tests.todos.sweeping import refuse_to_delete
from todos.models import Todo
from todos.services import TodoService


def cleanup_todos(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("cleanup_todos", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def todos(alice: User, bob: User) -> None:
    """For each of two people: one open, one done an hour ago, one done ten days ago."""
    for user in (alice, bob):
        for age in (None, timedelta(hours=1), timedelta(days=10)):
            completed_at = None if age is None else timezone.now() - age
            Todo.objects.create(user=user, title=f"{user} {age}", completed_at=completed_at)


def test_command_sweeps_everyone_and_says_so_in_one_line(todos: None) -> None:
    assert cleanup_todos() == "Swept 4 completed todos of 2 people taking part.\n"
    assert Todo.objects.count() == Todo.objects.open().count() == 2


def test_nothing_to_do_is_no_failure(db: None) -> None:
    assert cleanup_todos() == "Swept 0 completed todos of 0 people taking part.\n"


def test_dry_run_says_what_would_go_and_touches_nothing(todos: None) -> None:
    assert cleanup_todos("--dry-run") == "Would sweep 4 completed todos of 2 people taking part.\n"
    assert Todo.objects.count() == 6


def test_json_is_one_line_for_machines(todos: None) -> None:
    printed = cleanup_todos("--json", "--keep-days", "5")
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"users_processed": 2, "todos_deleted": 2, "errors": []}


def test_keep_days_spares_the_recent_ones(todos: None) -> None:
    assert "Swept 2 " in cleanup_todos("--keep-days", "5")
    assert Todo.objects.completed().count() == 2


def test_one_persons_list_can_be_swept_alone(todos: None, bob: User) -> None:
    assert cleanup_todos("--user", "bob") == "Swept 2 completed todos of 1 person taking part.\n"
    assert set(Todo.objects.completed().values_list("user__username", flat=True)) == {"alice"}


def test_batch_size_changes_nothing_about_what_goes(todos: None) -> None:
    assert "Swept 4 " in cleanup_todos("--batch-size", "1")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--keep-days", "-1"], "--keep-days must be from 0 to 3,650, not -1"),
        (["--keep-days", "99999999999"], "--keep-days must be"),
        (["--batch-size", "0"], "--batch-size must be from 1 to 1,000,000, not 0"),
        (["--user", "nobody"], "no user called 'nobody'"),
        (["--user", "ALICE"], "no user called 'ALICE'"),
        (["--user", ""], "no user called ''"),
        (["--wait", "5"], "--wait needs --enqueue"),
        (["--enqueue", "--wait", "0"], "--wait must be from 1"),
        (["--enqueue", "--dry-run"], "cannot be combined"),
        (["--keep-days", "soon"], "invalid int value"),
    ],
)
def test_wrong_option_is_one_clear_line_and_touches_nothing(
    todos: None, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(CommandError, match=complaint) as refused:
        cleanup_todos(*arguments)
    assert "\n" not in str(refused.value)
    assert Todo.objects.count() == 6


def test_person_whose_todos_could_not_be_swept_makes_the_command_fail_after_the_rest(
    todos: None, alice: User
) -> None:
    stuck = Todo.objects.create(user=alice, title="Private", completed_at=timezone.now())
    refuse_to_delete("Private")
    out = StringIO()

    with pytest.raises(CommandError, match=f"Not swept: user {alice.pk}: ") as failed:
        call_command("cleanup_todos", "--json", stdout=out)

    report = json.loads(out.getvalue())
    assert report["todos_deleted"] == 4
    (error,) = report["errors"]
    assert (error["user_id"], error["todo_ids"]) == (alice.pk, [stuck.pk])
    assert list(Todo.objects.completed()) == [stuck]
    assert f"(todo {stuck.pk})" in str(failed.value)
    assert "Private" not in out.getvalue() + str(failed.value)


@pytest.mark.parametrize(("kind", "crashes"), [(DiskFull, 0), (LockNotAvailable, 1)])
def test_database_that_fails_in_the_middle_leaves_the_rest_to_a_worker(
    todos: None, monkeypatch: pytest.MonkeyPatch, kind: type[psycopg.Error], crashes: int
) -> None:
    error = OperationalError()
    error.__cause__ = kind()

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(TodoService, "sweep", fail)
    with pytest.raises(CommandError, match=rf"^A worker continues run \d+: .* {kind.__name__} "):
        cleanup_todos()
    run = TaskRun.objects.get()
    assert (run.state, run.crashes) == (State.PENDING, crashes)
    assert kind.__name__ in run.error


def test_sweep_in_this_process_is_logged_as_in_a_worker_and_not_on_standard_output(
    todos: None,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        call_command("cleanup_todos", "--json")
    assert json.loads(capsys.readouterr().out)["todos_deleted"] == 4
    assert any("run succeeded" in record.getMessage() for record in caplog.records)
