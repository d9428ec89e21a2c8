"""`manage.py start_run`."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.operations import queues
from tasks.engine.operations.errors import Refused
from tests.factories import new_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


def start_run(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("start_run", *arguments, stdout=out)
    return out.getvalue()


def test_run_is_started_with_its_arguments_and_its_id_is_printed() -> None:
    printed = start_run("todo.cleanup", "--arguments", '{"keep_days": 3}')
    run = TaskRun.objects.get()
    assert printed == f"Run {run.pk}\n"
    assert run.arguments == {"args": [], "kwargs": {"keep_days": 3}}
    assert (run.trigger, run.state, run.requested_by) == (Trigger.COMMAND, State.QUEUED, None)


def test_json_is_one_line() -> None:
    printed = start_run("todo.cleanup", "--json")
    run = TaskRun.objects.get()
    assert printed.count("\n") == 1
    assert json.loads(printed) == {
        "run": run.pk,
        "task": "todo.cleanup",
        "state": "queued",
        "result": None,
    }


def test_run_that_does_not_end_in_time_is_an_error() -> None:
    with pytest.raises(CommandError, match="has not ended within 1 s"):
        start_run("todo.cleanup", "--wait=1")


def test_pause_of_the_queue_is_named_as_the_cause() -> None:
    queues.pause("default", note="The mail\x1b[31m server moves.")
    paused = r"The queue default has been paused since .*: The mail\?\[31m server moves\."
    with pytest.raises(CommandError, match=f"has not ended within 1 s; .* {paused}"):
        start_run("todo.cleanup", "--wait=1")
    with pytest.raises(CommandError, match=f"No worker has finished ping within 1 s; .* {paused}"):
        call_command("ping", "--wait=1")
    with pytest.raises(Refused, match=f"was paused already. {paused}"):
        queues.pause("default", note="again")


def test_second_run_of_a_task_is_refused() -> None:
    first = new_run(State.RUNNING)
    with pytest.raises(CommandError, match=f"Run {first.pk} of todo.cleanup is unfinished"):
        start_run("todo.cleanup")
    assert TaskRun.objects.get() == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.such"], "no actor for no.such"),
        (["todo.cleanup", "--arguments={"], "is not JSON"),
        (["todo.cleanup", "--arguments=3"], "an object or a list"),
        (["todo.cleanup", f"--arguments={'[' * 100_000}"], "is not JSON"),
        (["todo.cleanup", '--arguments={"keep_days": -1}'], "keep_days must be from 0"),
        (["todo.cleanup", '--arguments={"weight": 1}'], "does not accept these arguments"),
        (["todo.cleanup", "--arguments=[1]"], "does not accept these arguments"),
        (["todo.cleanup", "--wait=0"], "--wait must be from 1"),
        ([], "required"),
    ],
)
def test_what_makes_no_sense_starts_nothing(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        start_run(*arguments)
    assert not TaskRun.objects.exists()
