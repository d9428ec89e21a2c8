"""`manage.py stop_run`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from tasks.engine.models import State, TaskRun
from tests.factories import new_run
from tests.processes import wait_until
from tests.todos.locks import in_another_connection

pytestmark = pytest.mark.django_db(transaction=True)


def stop_run(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("stop_run", *arguments, stdout=out)
    return out.getvalue()


def working() -> TaskRun:
    """Return a running run."""
    now = timezone.now()
    return new_run(State.RUNNING, attempts=1, started_at=now, progress={"rows": 1234})


def test_run_that_waits_is_cancelled_at_once() -> None:
    run = new_run(State.QUEUED)
    assert stop_run(f"{run.pk}") == f"Run {run.pk} of todo.cleanup is cancelled.\n"
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.CANCELLED, "Stopped by the command stop_run.")


def test_run_at_work_is_asked_to_stop() -> None:
    run = working()
    for _ in range(2):
        assert stop_run(f"{run.pk}") == (
            f"Run {run.pk} of todo.cleanup was asked to stop: it ends at its next step.\n"
        )
    run.refresh_from_db()
    assert run.stop_requested_at
    assert run.state == State.RUNNING


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (TaskRun.end_stopped, "is cancelled: 1,234 todos swept to the trash"),
        (lambda run: run.succeed({"todos_deleted": 5}), "succeeded before it could stop: 5 todos"),
    ],
)
def test_command_waits_until_the_run_has_ended(end: Callable[[TaskRun], bool], told: str) -> None:
    run = working()

    def work() -> None:
        asked = TaskRun.objects.filter(pk=run.pk, stop_requested_at__isnull=False)
        wait_until(asked.exists, seconds=30, otherwise=lambda: "nobody asked it to stop")
        assert end(TaskRun.objects.get(pk=run.pk))

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(in_another_connection, work)
        assert f"Run {run.pk} of todo.cleanup {told}" in stop_run(f"{run.pk}", "--wait=60")
        worker.result(60)


def test_run_that_does_not_end_in_time_is_an_error() -> None:
    run = working()
    with pytest.raises(CommandError, match=r"has not ended within 1 s\. It was asked to stop"):
        stop_run(f"{run.pk}", "--wait=1")


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED])
def test_run_that_has_ended_is_an_error(state: State) -> None:
    run = new_run(state)
    with pytest.raises(CommandError, match=f"todo.cleanup has ended already: {state}"):
        stop_run(f"{run.pk}")


@pytest.mark.parametrize("number", ["0", "999999999", "9" * 30])
def test_run_that_is_not_there_is_an_error(number: str) -> None:
    with pytest.raises(CommandError, match=f"There is no run {number}"):
        stop_run(number)


@pytest.mark.parametrize("arguments", [("x",), (), ("1", "--wait=0"), ("1", "--wait=soon")])
def test_arguments_that_make_no_sense_are_an_error(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        stop_run(*arguments)
