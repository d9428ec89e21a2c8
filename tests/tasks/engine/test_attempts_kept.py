"""Attempts that ended while their run went on are kept: bounded, once each, with their errors."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks.engine.database import database_now
from tasks.engine.models import Attempt, Outcome, Process, State, TaskRun
from tasks.engine.models.attempt import MOST_KEPT
from tasks.engine.models.outcome import MAX_ERROR_CHARACTERS
from tasks.engine.operations.pruning import prune_runs
from tests.factories import new_process, new_run

pytestmark = pytest.mark.django_db

NOW = timedelta()


def start(run: TaskRun, process: Process) -> None:
    """Have a process start the next attempt at a run that waits."""
    TaskRun.objects.filter(pk=run.pk).update(state=State.QUEUED)
    assert run.start(process.pk)


def started(process: Process) -> TaskRun:
    """Return a run that a process works on, at the first attempt."""
    run = new_run(State.QUEUED)
    start(run, process)
    return run


def kept(run: TaskRun) -> list[tuple[int, str, str]]:
    """Return the number, outcome and error of each attempt that is kept."""
    rows = Attempt.objects.filter(run=run).order_by("number")
    return list(rows.values_list("number", "outcome", "error"))


ENDS: dict[Outcome, Callable[[TaskRun], bool]] = {
    Outcome.FAILED: lambda run: run.retry("KeyError: 1", after=timedelta(seconds=40)),
    Outcome.INTERRUPTED: lambda run: run.interrupt("OperationalError", after=NOW, counted=True),
    Outcome.CONTINUED: lambda run: run.continue_later(after=NOW),
    Outcome.RELEASED: lambda run: (
        bool(Process.objects.all().delete()) and TaskRun.objects.get(pk=run.pk).release()
    ),
}


@pytest.mark.parametrize("outcome", Outcome)
def test_attempt_that_ends_while_its_run_goes_on_is_kept(outcome: Outcome) -> None:
    process = new_process(host="one", pid=7)
    before = database_now()
    run = started(process)
    assert ENDS[outcome](run)
    row = Attempt.objects.get()
    assert (row.run_id, row.number, row.outcome) == (run.pk, 1, outcome)
    assert row.worker == "one, process 7"
    assert row.started_at is not None
    assert before - timedelta(seconds=1) <= row.started_at <= row.ended_at <= database_now()


def test_errors_of_earlier_attempts_outlast_the_success() -> None:
    process = new_process()
    run = started(process)
    assert run.retry("KeyError: 1", after=NOW)
    run.refresh_from_db()
    start(run, process)
    assert run.retry("KeyError: 2", after=NOW)
    start(run, process)
    assert run.succeed({"done": 1})
    run.refresh_from_db()
    assert run.error == ""
    assert kept(run) == [(1, "failed", "KeyError: 1"), (2, "failed", "KeyError: 2")]


def test_run_that_ends_at_its_first_attempt_keeps_no_row_and_costs_no_further_statement() -> None:
    process = new_process()
    ends: list[Callable[[TaskRun], bool]] = [
        lambda run: run.succeed(None),
        lambda run: run.fail("x"),
    ]
    for end in ends:
        run = started(process)
        with CaptureQueriesContext(connection) as queries:
            assert end(run)
        assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INTERRUPTED, Outcome.CONTINUED])
def test_putting_a_run_back_is_one_conditional_update_and_one_insert(outcome: Outcome) -> None:
    run = started(new_process())
    with CaptureQueriesContext(connection) as queries:
        assert ENDS[outcome](run)
    words = [query["sql"].split()[0] for query in queries]
    assert [word for word in words if word not in {"SAVEPOINT", "RELEASE"}] == ["UPDATE", "INSERT"]


def test_end_that_is_reported_twice_is_kept_once() -> None:
    """The database's answer to the first report was lost."""
    run = started(new_process())
    assert run.retry("KeyError: 1", after=NOW)
    assert not run.retry("KeyError: 1", after=NOW)
    assert kept(run) == [(1, "failed", "KeyError: 1")]
    assert TaskRun.objects.get().failures == 1


def test_change_that_is_not_allowed_keeps_nothing() -> None:
    process = new_process()
    run = started(process)
    earlier = TaskRun.objects.get()
    run.continue_later(after=NOW)
    start(run, process)
    before = kept(run)
    assert not earlier.retry("too late", after=NOW)
    assert not earlier.interrupt("too late", after=NOW, counted=True)
    assert not TaskRun.objects.get().release()
    assert kept(run) == before == [(1, "continued", "")]


def test_process_that_returns_to_its_released_run_tells_how_the_attempt_really_ended() -> None:
    run = started(new_process())
    Process.objects.all().delete()
    assert TaskRun.objects.get().release()
    assert kept(run) == [(1, "released", "")]
    assert run.save_progress({"rows": 1}, uuid4(), before={})
    assert run.retry("KeyError: 1", after=NOW)
    assert kept(run) == [(1, "failed", "KeyError: 1")]


def test_giving_a_message_back_is_no_attempt() -> None:
    run = new_run(State.QUEUED, delivery=uuid4())
    assert run.delivery
    assert run.give_back(after=NOW, delivery=run.delivery)
    assert not Attempt.objects.exists()


def test_of_a_long_run_the_attempts_that_say_most_are_kept() -> None:
    process = new_process()
    run = new_run(State.QUEUED)
    for number in range(1, MOST_KEPT + 21):
        start(run, process)
        if number in {5, 6}:
            assert run.retry(f"KeyError: {number}", after=NOW)
            run.failures += 1
        else:
            assert run.continue_later(after=NOW)
    rows = kept(run)
    assert len(rows) == MOST_KEPT
    assert rows[:2] == [(5, "failed", "KeyError: 5"), (6, "failed", "KeyError: 6")]
    assert [number for number, *_ in rows[2:]] == list(range(23, MOST_KEPT + 21))


def test_attempt_that_has_just_ended_is_kept_whatever_came_before() -> None:
    run = new_run(State.RUNNING, attempts=MOST_KEPT + 1)
    Attempt.objects.bulk_create(
        Attempt(run=run, number=number, outcome=Outcome.FAILED, error="x")
        for number in range(1, MOST_KEPT + 1)
    )
    assert run.continue_later(after=NOW)
    numbers = [number for number, *_ in kept(run)]
    assert numbers == list(range(2, MOST_KEPT + 2))


def test_error_of_an_attempt_is_cut_and_made_storable_as_a_runs_is() -> None:
    run = started(new_process())
    assert run.retry("\0\ud800" + "x" * (MAX_ERROR_CHARACTERS + 5), after=NOW)
    run.refresh_from_db()
    assert kept(run) == [(1, "failed", run.error)]
    assert len(run.error) == MAX_ERROR_CHARACTERS


def test_attempts_go_with_their_run_in_one_statement_by_the_database_itself() -> None:
    """The version before deletes runs too, and knows nothing of attempts."""
    run, other = started(new_process()), new_run()
    assert run.retry("x", after=NOW)
    Attempt.objects.create(run=other, number=1, outcome=Outcome.FAILED)
    with CaptureQueriesContext(connection) as queries:
        assert TaskRun.objects.filter(pk=run.pk).delete() == (1, {"tasks.TaskRun": 1})
    assert [query["sql"].split()[0] for query in queries] == ["DELETE"]
    assert list(Attempt.objects.values_list("run", flat=True)) == [other.pk]


def test_pruning_deletes_the_attempts_of_old_runs() -> None:
    long_ago = database_now() - timedelta(days=100)
    old, young = new_run(finished_at=long_ago), new_run()
    for run in (old, young):
        Attempt.objects.create(run=run, number=1, outcome=Outcome.FAILED)
    assert prune_runs() == {"runs_deleted": 1}
    assert list(Attempt.objects.values_list("run", flat=True)) == [young.pk]


def waiting(**values: Any) -> TaskRun:
    """Return a run that has failed, and whose next try is in an hour."""
    later = database_now() + timedelta(hours=1)
    return new_run(
        **{
            "state": State.PENDING,
            "finished_at": None,
            "attempts": 1,
            "failures": 1,
            "due_at": later,
            **values,
        }
    )


def test_run_that_waits_for_its_next_try_is_made_due_once() -> None:
    run = waiting()
    assert run.retry_now()
    assert not run.retry_now(), "whoever presses second changes nothing"
    assert list(TaskRun.objects.due()) == [run]
    run.refresh_from_db()
    assert (run.attempts, run.failures) == (1, 1)
    assert run.mark_sent()
    assert not run.retry_now()


@pytest.mark.parametrize(
    "values",
    [
        {"state": State.RUNNING},
        {"state": State.QUEUED},
        {"attempts": 0},
        {"stop_requested_at": database_now},
        {"due_at": lambda: database_now() - timedelta(seconds=1)},
    ],
)
def test_no_other_run_is_made_due(values: dict[str, Any]) -> None:
    values = {name: value() if callable(value) else value for name, value in values.items()}
    run = waiting(**values)
    before = TaskRun.objects.values().get()
    assert not run.retry_now()
    assert TaskRun.objects.values().get() == before
