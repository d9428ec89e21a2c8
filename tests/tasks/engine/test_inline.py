"""Runs that a command executes in its own process, through the actor's own function."""

from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq.broker import get_broker

from tasks.engine.models import Attempt, Outcome, Process, State, TaskRun, Trigger
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import LOST_STEPS, Execution, ProgressLost, Unrecorded, current_run
from tasks.engine.runs.inline import run_inline

pytestmark = pytest.mark.django_db(transaction=True)

COMMAND = Request(Trigger.COMMAND)


@pytest.fixture
def count_up() -> Iterator[dramatiq.Actor[[int], dict[str, int]]]:
    """An actor that counts up to a number, one a step."""

    @dramatiq.actor(actor_name="test.count_up")
    def count_up(number: int) -> dict[str, int]:
        run = current_run()
        for _ in range(number):
            with run.step() as progress:
                progress["rows"] = progress.get("rows", 0) + 1
        if number > 2:
            raise ArithmeticError("too many")
        return {"counted": number}

    yield count_up
    get_broker().actors.pop("test.count_up")


def test_actor_works_on_a_run_of_its_own_and_its_result_is_returned_and_recorded(
    count_up: dramatiq.Actor[[int], dict[str, int]],
) -> None:
    assert run_inline(COMMAND, count_up.message(2)) == {"counted": 2}
    run = TaskRun.objects.get()
    assert (run.task, run.trigger, run.state) == ("test.count_up", "command", State.SUCCEEDED)
    assert (run.result, run.progress, run.attempts) == ({"counted": 2}, {"rows": 2}, 1)
    assert run.arguments == {"args": [2], "kwargs": {}}
    assert not Process.objects.exists()
    assert isinstance(current_run(), Unrecorded)


def test_run_that_the_database_has_overtaken_was_interrupted_and_is_left_to_a_worker(
    count_up: dramatiq.Actor[[int], dict[str, int]],
) -> None:
    def lose_the_last_step(execution: Execution) -> None:
        if execution.progress:
            TaskRun.objects.update(progress={})

    with pytest.raises(ProgressLost):
        run_inline(COMMAND, count_up.message(1), on_progress=lose_the_last_step)
    assert TaskRun.objects.get().state == State.PENDING
    ended = Attempt.objects.get()
    assert (ended.outcome, ended.error) == (Outcome.INTERRUPTED, LOST_STEPS)


def test_whoever_watches_is_told_of_the_start_and_of_each_step(
    count_up: dramatiq.Actor[[int], dict[str, int]],
) -> None:
    seen: list[tuple[int, int]] = []

    def watch(execution: Execution) -> None:
        seen.append((execution.run_id, execution.progress.get("rows", 0)))

    run_inline(COMMAND, count_up.message(2), on_progress=watch)
    run = TaskRun.objects.get()
    assert seen == [(run.pk, 0), (run.pk, 1), (run.pk, 2)]


def test_error_of_the_actor_is_raised_and_fails_the_run(
    count_up: dramatiq.Actor[[int], dict[str, int]],
) -> None:
    with pytest.raises(ArithmeticError):
        run_inline(COMMAND, count_up.message(3))
    run = TaskRun.objects.get()
    assert (run.state, run.error_summary) == (State.FAILED, "ArithmeticError: too many")
    assert isinstance(current_run(), Unrecorded)


def test_wrong_arguments_are_refused_and_leave_no_run(
    count_up: dramatiq.Actor[[int], dict[str, int]],
) -> None:
    with pytest.raises(TypeError, match=r"test\.count_up: missing a required argument: 'number'"):
        run_inline(COMMAND, count_up.message())  # type: ignore[call-arg]
    assert not TaskRun.objects.exists()
