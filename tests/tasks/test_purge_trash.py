"""`manage.py purge_trash` and the actor behind it."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tasks.actors import todo_purge
from tasks.engine.models import State, TaskRun
from tests import factories
from tests.todos.clocks import host_is_ahead
from todos.models import TrashedTodo


def purge_trash(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("purge_trash", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def trash(alice: User, bob: User) -> None:
    """In the trash of each of two people: one todo of today, one of 20 and one of 40 days ago."""
    for user in (alice, bob):
        for days in (0, 20, 40):
            factories.trash(user, "Done", trashed_at=timezone.now() - timedelta(days=days))


def test_what_is_older_than_the_setting_goes_and_that_is_recorded(trash: None) -> None:
    assert purge_trash() == "Purged 2 todos from the trash.\n"
    assert TrashedTodo.objects.count() == 4
    run = TaskRun.objects.get(task="todo.purge")
    assert (run.state, run.result) == (State.SUCCEEDED, {"todos_purged": 2, "errors": []})


def test_dry_run_says_what_would_go_and_touches_nothing(trash: None) -> None:
    assert purge_trash("--dry-run") == "Would purge 2 todos from the trash.\n"
    assert TrashedTodo.objects.count() == 6


def test_age_and_person_can_be_chosen(trash: None, bob: User) -> None:
    assert purge_trash("--older-than", "10", "--user", "alice").startswith("Purged 2 todos")
    assert purge_trash("--older-than", "0", "--user", "alice").startswith("Purged 1 todo ")
    assert {todo.user for todo in TrashedTodo.objects.all()} == {bob}


def test_json_is_one_line_for_machines(trash: None) -> None:
    printed = purge_trash("--json")
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"todos_purged": 2, "errors": []}


def test_actor_purges(trash: None, alice: User) -> None:
    assert todo_purge.fn(days=10, user_id=alice.pk) == {"todos_purged": 2, "errors": []}
    assert todo_purge.fn() == {"todos_purged": 1, "errors": []}


def test_clocks_that_disagree_are_one_line_and_a_failed_run(trash: None) -> None:
    for arguments in ([], ["--dry-run"], ["--older-than", "0"]):
        with (
            host_is_ahead(timedelta(days=30)),
            pytest.raises(CommandError, match="more than an hour apart") as refused,
        ):
            purge_trash(*arguments)
        assert "\n" not in str(refused.value)
    assert TrashedTodo.objects.count() == 6
    runs = TaskRun.objects.filter(task="todo.purge")
    assert {run.state for run in runs} == {State.FAILED}
    assert all("more than an hour apart" in run.error_summary for run in runs)


def test_switching_the_trash_off_empties_it_not(trash: None, settings: Settings) -> None:
    settings.TODO_TRASH_DAYS = 0
    assert purge_trash() == "Purged 2 todos from the trash.\n"
    assert TrashedTodo.objects.count() == 4
    assert purge_trash("--older-than", "0") == "Purged 4 todos from the trash.\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--older-than", "-1"], "--older-than must be from 0 to 3,650, not -1"),
        (["--user", "nobody"], "no user called 'nobody'"),
        (["--older-than", "old"], "invalid int value"),
    ],
)
def test_wrong_option_is_one_clear_line_and_touches_nothing(
    trash: None, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(CommandError, match=complaint) as refused:
        purge_trash(*arguments)
    assert "\n" not in str(refused.value)
    assert TrashedTodo.objects.count() == 6


def test_json_of_a_dry_run_says_that_it_is_one(trash: None) -> None:
    would = json.loads(purge_trash("--json", "--dry-run"))
    assert would.pop("dry_run") is True
    assert would == json.loads(purge_trash("--json"))
