"""The run ledger's verbs: which change is allowed from which state, and to whom."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from accounts.models import User
from tasks.engine.models import UNFINISHED, Process, State, TaskRun, Trigger
from tasks.engine.models.outcome import MAX_ERROR_CHARACTERS
from tests import factories

NO_TIME = timedelta()

VERBS: dict[str, Callable[[TaskRun], bool]] = {
    "mark_sent": TaskRun.mark_sent,
    "resend": lambda run: run.mark_resent(lost=False),
    "mark_unsent": lambda run: run.mark_unsent(retry_in=NO_TIME),
    "start": lambda run: run.start(new_process()),
    "save_progress": lambda run: run.save_progress({"cursor": 1}, uuid4(), before={}),
    "continue_later": lambda run: run.continue_later(after=NO_TIME),
    "succeed": lambda run: run.succeed({"done": 1}),
    "retry": lambda run: run.retry("it broke", after=NO_TIME),
    "interrupt": lambda run: run.interrupt("cut off", after=NO_TIME, counted=True),
    "release": TaskRun.release,
    "fail": lambda run: run.fail("it broke"),
    "give_back": lambda run: run.give_back(after=NO_TIME, delivery=run.delivery or uuid4()),
    "cancel": lambda run: run.cancel("not wanted"),
    "request_stop": lambda run: run.request_stop("not wanted"),
}

#: The state that each verb leads to, from each state that it may come from. A running run here
#: belongs to a process that is gone.
ALLOWED = {
    "mark_sent": {State.PENDING: State.QUEUED},
    "resend": {State.QUEUED: State.QUEUED},
    "mark_unsent": {State.QUEUED: State.PENDING},
    "start": {State.QUEUED: State.RUNNING},
    "save_progress": dict.fromkeys(UNFINISHED, State.RUNNING),
    "continue_later": dict.fromkeys(UNFINISHED, State.PENDING),
    "succeed": dict.fromkeys(UNFINISHED, State.SUCCEEDED),
    "retry": dict.fromkeys(UNFINISHED, State.PENDING),
    "interrupt": {State.RUNNING: State.PENDING},
    "release": {State.RUNNING: State.PENDING},
    "fail": dict.fromkeys(UNFINISHED, State.FAILED),
    "give_back": {State.QUEUED: State.PENDING},
    "cancel": dict.fromkeys((State.PENDING, State.QUEUED), State.CANCELLED),
    "request_stop": {State.RUNNING: State.RUNNING},
}


def new_run(state: State = State.QUEUED, **values: Any) -> TaskRun:
    """Write a run that was sent once."""
    defaults = {"task": "ping", "trigger": Trigger.API, "sends": 1, "delivery": uuid4()}
    return factories.new_run(state, **{**defaults, **values})


def new_process(*, silent_for: int = 0) -> UUID:
    return factories.new_process(silent_for=silent_for).pk


def start_and_release(run: TaskRun) -> None:
    """Start a run in a process, and release it from that as one that is gone."""
    process = new_process()
    assert run.start(process)
    Process.objects.filter(pk=process).delete()
    assert TaskRun.objects.get(pk=run.pk).release()


def state_of(run: TaskRun) -> str:
    return TaskRun.objects.values_list("state", flat=True).get(pk=run.pk)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", State)
def test_verb_changes_a_run_from_the_states_it_may_come_from_and_no_other(
    db: None, verb: str, state: State
) -> None:
    run = new_run(state)
    expected = ALLOWED[verb].get(state)
    before = TaskRun.objects.values().get(pk=run.pk)

    assert VERBS[verb](run) is (expected is not None)

    if expected is None:
        assert TaskRun.objects.values().get(pk=run.pk) == before
    else:
        assert state_of(run) == expected


@pytest.mark.parametrize(
    "verb", ["save_progress", "continue_later", "succeed", "retry", "interrupt"]
)
def test_who_was_taken_for_dead_finds_the_run_no_longer_theirs(db: None, verb: str) -> None:
    earlier = new_run()
    start_and_release(earlier)
    later = TaskRun.objects.get(pk=earlier.pk)
    assert later.mark_sent()
    assert later.start(new_process())

    assert VERBS[verb](earlier) is False
    assert VERBS[verb](later) is True


def test_who_was_taken_for_dead_goes_on_if_nobody_has_taken_the_run_up(db: None) -> None:
    run = new_run()
    start_and_release(run)
    assert state_of(run) == State.PENDING

    assert run.save_progress({"cursor": 7}, new_process(), before={})
    assert state_of(run) == State.RUNNING
    assert run.succeed(None)


def test_run_that_waits_can_be_cancelled_though_it_has_been_at_work(db: None) -> None:
    run = new_run()
    assert run.start(new_process())
    assert not TaskRun.objects.get(pk=run.pk).cancel("not wanted")
    assert run.continue_later(after=NO_TIME)
    assert TaskRun.objects.get(pk=run.pk).cancel("not wanted")
    assert state_of(run) == State.CANCELLED


def test_run_that_is_to_stop_gets_no_further_and_ends_as_cancelled(db: None) -> None:
    run = new_run()
    assert run.start(new_process())
    assert run.save_progress({"rows": 3}, new_process(), before={})
    assert not run.end_stopped()
    assert run.request_stop("Enough.")
    assert not run.request_stop("Enough, again.")

    assert run.read_progress() is None
    assert not run.save_progress({"rows": 4}, new_process(), before={"rows": 3})
    assert run.is_to_stop()
    assert run.end_stopped()
    stopped = TaskRun.objects.get(pk=run.pk)
    assert (stopped.state, stopped.reason) == (State.CANCELLED, "Enough.")
    assert stopped.progress == {"rows": 3}
    assert not run.is_to_stop()


def test_run_that_is_to_stop_is_neither_sent_nor_taken_up_again(db: None) -> None:
    run, process = new_run(), new_process()
    assert run.start(process)
    assert run.request_stop("Enough.")
    Process.objects.filter(pk=process).delete()
    assert TaskRun.objects.get().release()

    waiting = TaskRun.objects.to_cancel().get()
    assert not TaskRun.objects.due().exists()
    assert not waiting.mark_sent()
    assert not waiting.start(new_process(), delivery=run.delivery)
    assert waiting.cancel(waiting.reason)
    assert TaskRun.objects.get().reason == "Enough."


def test_failure_is_acknowledged_once_and_says_by_whom(db: None, alice: User, bob: User) -> None:
    run = new_run(State.FAILED)
    assert run.acknowledge(alice)
    assert not run.acknowledge(bob)
    assert TaskRun.objects.get().acknowledged_by == alice
    assert not new_run(State.SUCCEEDED).acknowledge(alice)
    assert new_run(State.SUCCEEDED, has_errors=True).acknowledge(alice)


@pytest.mark.parametrize(
    ("result", "has_errors"),
    [({"errors": []}, False), ({"errors": [{"user_id": 1}]}, True), (["errors"], False)],
)
def test_success_that_names_errors_is_marked(db: None, result: object, has_errors: bool) -> None:  # noqa: FBT001
    run = new_run()
    assert run.succeed(result)
    assert TaskRun.objects.get().has_errors is has_errors


def test_run_keeps_the_name_of_the_worker_that_is_gone(db: None) -> None:
    run, process = new_run(), new_process()
    assert run.start(process)
    Process.objects.all().delete()
    assert TaskRun.objects.get(pk=run.pk).worker == "here, process 1"


@pytest.mark.parametrize("silent_for", [None, 3600])
def test_process_that_others_cannot_see_alive_takes_no_run(
    db: None, silent_for: int | None
) -> None:
    process = uuid4() if silent_for is None else new_process(silent_for=silent_for)
    run = new_run()
    assert not run.start(process)
    assert state_of(run) == State.QUEUED


@pytest.mark.parametrize(
    ("result", "summary"),
    [
        (
            {"users_processed": 7, "todos_deleted": 1234, "errors": []},
            "1,234 todos swept to the trash, 7 people taking part",
        ),
        ({"todos_deleted": 1, "pid": 10333, "a name": 5}, "1 todo swept to the trash"),
        ({"todos_deleted": True, "users_processed": "many"}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_run_says_in_words_what_its_task_counts(db: None, result: object, summary: str) -> None:
    assert factories.new_run(result=result).summary == summary


def test_run_that_was_stopped_says_how_far_it_came(db: None) -> None:
    stopped = factories.new_run(State.CANCELLED, progress={"rows": 3, "done": 0.5})
    assert stopped.summary == "3 todos swept to the trash"


@pytest.mark.parametrize("task", ["ping", "no.such.task"])
def test_result_of_a_task_that_names_no_counts_is_not_summed_up(db: None, task: str) -> None:
    run = new_run(State.SUCCEEDED, task=task, result={"pid": 10333, "alice@example.org": 1})
    assert run.summary == ""


def test_run_of_a_live_process_is_not_taken_from_it(db: None) -> None:
    run = new_run()
    assert run.start(new_process())
    other = TaskRun.objects.get(pk=run.pk)

    assert not TaskRun.objects.orphaned().exists()
    assert not other.start(new_process())
    assert not other.release()
    assert run.succeed(None)


def test_only_one_of_two_takes_a_run_up(db: None) -> None:
    run, same = new_run(), TaskRun.objects.get()
    assert run.start(new_process())
    assert not same.start(new_process())
    assert TaskRun.objects.get().attempts == 1


def test_only_one_of_two_sends_a_run(db: None) -> None:
    run, same = new_run(State.PENDING), TaskRun.objects.get()
    assert run.mark_sent()
    assert not same.mark_sent()
    assert TaskRun.objects.get().delivery == run.delivery

    same = TaskRun.objects.get()
    assert run.mark_resent(lost=False)
    assert not same.mark_resent(lost=False)
    assert TaskRun.objects.get().sends == 3


def test_run_that_is_to_wait_is_neither_due_nor_taken_up(db: None) -> None:
    run = new_run()
    run.start(new_process())
    run.retry("it broke", after=timedelta(hours=1))
    waiting = TaskRun.objects.get()
    assert not TaskRun.objects.due().exists()
    # Nor by a late copy of the message that started it before.
    assert not waiting.start(new_process())
    assert not waiting.start(new_process(), delivery=run.delivery)

    TaskRun.objects.update(due_at=Now() - timedelta(seconds=1))
    assert TaskRun.objects.due().get() == waiting
    assert waiting.mark_sent()
    assert waiting.start(new_process(), delivery=waiting.delivery)


def test_message_that_got_through_though_nobody_said_so_starts_its_run(db: None) -> None:
    run = new_run(State.PENDING)
    assert run.mark_sent()
    assert run.mark_unsent(retry_in=timedelta(hours=1))
    assert run.start(new_process(), delivery=run.delivery)


def test_progress_clears_the_count_of_crashes(db: None) -> None:
    run = new_run(crashes=3)
    run.start(new_process())
    run.save_progress({"cursor": 1}, new_process(), before={})
    assert TaskRun.objects.get().crashes == 0


def test_step_that_gets_no_further_makes_up_for_no_interruption(db: None) -> None:
    run = new_run(crashes=3, progress={"rows": 2}, error="disk full")
    run.start(new_process())
    assert run.save_progress({"rows": 2}, new_process(), before={"rows": 2})
    run.refresh_from_db()
    assert (run.crashes, run.error) == (3, "disk full")
    assert run.save_progress({"rows": 3}, new_process(), before={"rows": 2})
    run.refresh_from_db()
    assert (run.crashes, run.error) == (0, "")


@pytest.mark.parametrize("before", [{}, {"rows": 3, "users": [1]}, {"cursor": None}])
def test_progress_is_kept_only_on_top_of_what_is_known(db: None, before: dict[str, object]) -> None:
    run = new_run(progress={"users": [1], "rows": 2, "cursor": None})
    run.start(new_process())
    assert not run.save_progress({"rows": 5}, new_process(), before=before)
    assert run.save_progress({"rows": 5}, new_process(), before=run.progress)


def test_failure_that_is_told_twice_counts_once(db: None) -> None:
    run = new_run()
    run.start(new_process())
    assert run.retry("it broke", after=NO_TIME)
    assert not run.retry("it broke", after=NO_TIME)
    assert TaskRun.objects.get().failures == 1


def test_of_a_long_error_the_end_is_kept(db: None) -> None:
    run = new_run()
    run.fail("x" * MAX_ERROR_CHARACTERS + "the point")
    error = TaskRun.objects.get().error
    assert len(error) == MAX_ERROR_CHARACTERS
    assert error.endswith("the point")


def test_error_of_any_text_can_be_written(db: None) -> None:
    new_run().fail("a \0 and a \ud800")
    assert TaskRun.objects.get().error == "a \\0 and a \\ud800"


def test_row_cannot_be_saved_over(db: None) -> None:
    run = new_run()
    run.state = State.SUCCEEDED
    with pytest.raises(TypeError, match="verbs"):
        run.save()
    assert state_of(run) == State.QUEUED


def test_database_refuses_a_second_row_for_a_slot(db: None) -> None:
    slot = new_run(created_at=Now()).created_at
    new_run(scheduled_for=slot)
    with pytest.raises(IntegrityError), transaction.atomic():
        new_run(scheduled_for=slot)
    new_run(task="todo.cleanup", scheduled_for=slot)


@pytest.mark.parametrize(
    ("state", "finished_at"), [(State.RUNNING, Now()), (State.FAILED, None), ("odd", None)]
)
def test_database_refuses_a_state_that_cannot_be(
    db: None, state: str, finished_at: Now | None
) -> None:
    run = new_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        TaskRun.objects.filter(pk=run.pk).update(state=state, finished_at=finished_at)
