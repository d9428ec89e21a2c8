"""A worker keeps the ledger: actors run once, are tried again, and leave their result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import dramatiq
import psycopg
import pytest
import redis
from django.db import IntegrityError, OperationalError, connections, transaction
from dramatiq import Actor, Message, Worker
from dramatiq.broker import get_broker
from dramatiq.middleware import TimeLimitExceeded
from dramatiq.results import ResultFailure, ResultMissing
from psycopg.errors import DiskFull, LockNotAvailable, ReadOnlySqlTransaction, TooManyConnections
from pytest_django import Settings

from accounts.models import User
from tasks.actors import ping, todo_cleanup
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.database import database_now
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import MOST_CRASHES, Process, State, TaskRun, Trigger
from tasks.engine.operations import runs as operations
from tasks.engine.runs import execution
from tasks.engine.runs.enqueue import enqueue, send
from tasks.engine.runs.execution import current_run, shutting_down
from tests.factories import AS_OF, LONG_AGO, new_run, new_todos
from tests.processes import wait_until
from tests.tasks.engine.relaying import relay
from todos.models import Todo

#: What the actors below have done, in order.
done: list[str] = []
#: What they are to run into, one after the other.
troubles: list[BaseException] = []
go_on = Event()

LIMITS: Any = {"max_retries": 1, "min_backoff": 1, "time_limit": 20_000, "store_results": True}


class Refused(Exception):  # noqa: N818  (a name for tests)
    """What an actor says it may raise."""


@dramatiq.actor(actor_name="test.work", throws=Refused, **LIMITS)
def work(word: str = "done") -> dict[str, str]:
    """Run into trouble, or be done."""
    if troubles:
        raise troubles.pop(0)
    done.append(word)
    return {"said": word}


@dramatiq.actor(actor_name="test.patient", max_retries=3, min_backoff=60_000, time_limit=20_000)
def patient() -> None:
    """Run into trouble, and wait for a minute."""
    raise troubles.pop(0)


@dramatiq.actor(actor_name="test.unspeakable", max_retries=0, time_limit=20_000)
def unspeakable() -> None:
    """Return what is no JSON."""
    return {object()}  # type: ignore[return-value]


@dramatiq.actor(actor_name="test.steps", **LIMITS)
def steps(number: int) -> int:
    """Take steps, and wait before the last one."""
    while True:
        with current_run().step() as checkpoint:
            taken: int = checkpoint.get("taken", 0)
            if taken == number:
                return taken
            done.append(f"step {taken + 1}")
            checkpoint["taken"] = taken + 1
        if taken + 2 == number:
            done.append("waiting")
            go_on.wait(10)


@dramatiq.actor(
    actor_name="test.unrecorded",
    recorded=False,
    max_retries=0,
    time_limit=20_000,
    store_results=True,
)
def unrecorded() -> str:
    """Answer, or run into trouble; no attempt is recorded."""
    if troubles:
        raise troubles.pop(0)
    return "beat"


@pytest.fixture
def broker(
    valkey: str, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WakingBroker]:
    """The broker of the settings, empty; and nothing done yet."""
    broker = get_broker()
    assert isinstance(broker, WakingBroker)
    broker.client.flushall()
    done.clear()
    troubles.clear()
    go_on.clear()
    yield broker
    broker.client.flushall()


@contextmanager
def worker(broker: WakingBroker) -> Iterator[Worker]:
    """Run a worker in threads of this process, as `rundramatiq` does in its own."""
    middleware = list(broker.middleware)
    worker = Worker(broker, worker_threads=2, worker_timeout=50)
    shutting_down.clear()
    worker.start()
    try:
        yield worker
    finally:
        stopper = Thread(target=stop, args=[worker])
        stopper.start()
        shutting_down.wait(5)  # Whatever waits goes on when the worker has been told to stop.
        go_on.set()
        stopper.join()
        shutting_down.clear()
        broker.middleware = middleware


def stop(worker: Worker) -> None:
    worker.stop()
    connections.close_all()


def run_of(message: Message[Any]) -> TaskRun:
    return TaskRun.objects.get(message_id=UUID(message.message_id))


def wait_for(message: Message[Any], state: State) -> TaskRun:
    """Return a message's run once it is in a state."""
    runs = TaskRun.objects.filter(message_id=UUID(message.message_id))
    wait_until(
        runs.filter(state=state).exists,
        seconds=15,
        otherwise=lambda: f"not {state}: {list(runs.values())}",
    )
    return runs.get()


def result_of(message: Message[Any], seconds: int = 15) -> Any:
    return message.get_result(block=True, timeout=seconds * 1000)


def test_actor_sent_by_hand_is_recorded(broker: WakingBroker) -> None:
    with worker(broker):
        message = work.send("hello")
        assert result_of(message) == {"said": "hello"}
        run = wait_for(message, State.SUCCEEDED)
    assert (run.task, run.trigger, run.attempts) == ("test.work", Trigger.API, 1)
    assert run.arguments == {"args": ["hello"], "kwargs": {}}
    assert run.result == {"said": "hello"}
    assert run.started_at
    assert run.finished_at
    assert run.created_at <= run.started_at <= run.finished_at


def test_failure_is_written_in_full_and_tried_again(broker: WakingBroker) -> None:
    troubles.append(ValueError("the first time"))
    with worker(broker):
        message = work.send()
        waiting = wait_for(message, State.PENDING)
        assert "Traceback" in waiting.error
        assert "raise troubles.pop(0)" in waiting.error
        assert waiting.error_summary == "ValueError: the first time"
        relay()
        assert result_of(message) == {"said": "done"}
        run = wait_for(message, State.SUCCEEDED)
    assert (run.attempts, run.failures, run.error) == (2, 1, "")


def test_actor_that_keeps_failing_fails_for_good_and_whoever_waits_is_told(
    broker: WakingBroker,
) -> None:
    troubles.extend([ValueError("one"), ValueError("two"), ValueError("three")])
    with worker(broker):
        message = work.send()
        wait_for(message, State.PENDING)
        relay()
        with pytest.raises(ResultFailure, match="two"):
            result_of(message)
    run = run_of(message)
    assert (run.state, run.attempts, run.error_summary) == (State.FAILED, 2, "ValueError: two")
    assert broker.client.zcard("dramatiq:default.XQ") == 0  # The row is what staff look at.


def test_error_that_an_actor_says_it_may_raise_is_not_tried_again(broker: WakingBroker) -> None:
    troubles.append(Refused("no"))
    with worker(broker):
        message = work.send()
        with pytest.raises(ResultFailure, match="no"):
            result_of(message)
    assert (run_of(message).state, run_of(message).failures) == (State.FAILED, 0)


def test_database_that_gives_up_is_no_failure_of_the_actors(broker: WakingBroker) -> None:
    troubles.append(OperationalError("the connection is lost"))
    with worker(broker):
        run = wait_for(work.send(), State.PENDING)
    assert (run.failures, run.crashes) == (0, 1)


def troubles_left(number: int) -> Callable[[], bool]:
    """Return what says whether no more troubles are left than so many."""
    return lambda: len(troubles) <= number


def raised_by(kind: type[psycopg.Error]) -> OperationalError:
    """Return what Django makes of an error of the database's."""
    error = OperationalError()
    error.__cause__ = kind()
    return error


@pytest.mark.parametrize(
    "trouble",
    [
        *map(raised_by, (DiskFull, ReadOnlySqlTransaction, TooManyConnections)),
        redis.ConnectionError("away"),
        redis.OutOfMemoryError("maxmemory"),
    ],
)
def test_run_outlasts_a_server_that_takes_nothing_however_long(
    broker: WakingBroker, trouble: Exception
) -> None:
    times = MOST_CRASHES + 2
    troubles.extend([trouble] * times)
    with worker(broker):
        message = work.send()
        for number in range(times):
            wait_until(
                troubles_left(times - number - 1),
                seconds=15,
                otherwise=lambda: "it was not tried again",
            )
            wait_for(message, State.PENDING)
            TaskRun.objects.update(due_at=database_now())
            relay()
        assert result_of(message) == {"said": "done"}
    run = wait_for(message, State.SUCCEEDED)
    assert (run.attempts, run.crashes, run.failures, run.error) == (times + 1, 0, 0, "")


def test_run_that_the_database_gives_up_on_time_and_again_fails(broker: WakingBroker) -> None:
    troubles.extend([raised_by(LockNotAvailable)] * MOST_CRASHES)
    with worker(broker):
        message = work.send()
        for number in range(1, MOST_CRASHES):
            assert wait_for(message, State.PENDING).crashes == number
            TaskRun.objects.update(due_at=database_now())
            relay()
            wait_until(
                troubles_left(MOST_CRASHES - number - 1),
                seconds=15,
                otherwise=lambda: "it was not tried again",
            )
        run = wait_for(message, State.FAILED)
    assert "LockNotAvailable" in run.error


def test_result_that_the_ledger_cannot_hold_fails_the_run(broker: WakingBroker) -> None:
    with worker(broker):
        message = unspeakable.send()
        run = wait_for(message, State.FAILED)
        with pytest.raises(ResultFailure, match="Its result cannot be stored: TypeError"):
            result_of(message)
    assert "TypeError: Object of type set" in run.error
    assert run.error_summary == "Its result cannot be stored: TypeError."


@pytest.mark.parametrize("end", [operations.cancel, operations.stop])
def test_caller_of_a_run_that_is_cancelled_while_it_waits_for_a_retry_is_told(
    broker: WakingBroker, end: Callable[..., object]
) -> None:
    boss = User.objects.create_superuser("boss")
    troubles.append(ValueError("the first time"))
    with worker(broker):
        message = patient.send()
        end(wait_for(message, State.PENDING), by=boss)
    with pytest.raises(ResultFailure, match=f"(Cancelled|Stopped) by user {boss.pk}"):
        result_of(message)


def test_caller_of_a_run_that_is_cancelled_while_a_worker_starts_it_is_told(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = User.objects.create_superuser("boss")

    def cancelled_first(run: TaskRun, *_: object, **__: object) -> bool:
        assert TaskRun.objects.get(pk=run.pk).cancel(f"Cancelled by user {boss.pk}.")
        return False

    monkeypatch.setattr(TaskRun, "start", cancelled_first)
    with worker(broker):
        message = work.send()
        with pytest.raises(ResultFailure, match="Cancelled by user"):
            result_of(message)
    assert done == []


def test_finished_run_is_not_run_again_and_its_result_is_still_there(broker: WakingBroker) -> None:
    with worker(broker):
        message = work.send("once")
        assert result_of(message) == {"said": "once"}
        wait_for(message, State.SUCCEEDED)
        broker.client.flushall()
        with pytest.raises(ResultMissing):
            message.get_result()
        broker.enqueue(message)
        assert result_of(message) == {"said": "once"}
    assert done == ["once"]
    assert run_of(message).attempts == 1


def test_message_delivered_twice_at_once_runs_once(broker: WakingBroker) -> None:
    with worker(broker):
        message = steps.send(2)
        wait_until(lambda: "waiting" in done, seconds=15, otherwise=lambda: str(done))
        broker.enqueue(message)
        wait_until(
            lambda: broker.client.hlen("dramatiq:default.msgs") == 1,
            seconds=15,
            otherwise=lambda: "the second message was not dropped",
        )
        go_on.set()
        assert result_of(message) == 2
    assert done == ["step 1", "waiting", "step 2"]
    assert run_of(message).attempts == 1


def test_ping_of_a_schedule_leaves_its_result_and_one_by_hand_leaves_nothing(
    broker: WakingBroker,
) -> None:
    with worker(broker):
        result_of(ping.send())
        assert not TaskRun.objects.exists()
        run = enqueue(ping)
        closed = wait_for(run.message(), State.SUCCEEDED)
    assert (closed.attempts, closed.started_at) == (0, None)
    assert closed.result
    assert closed.result["pid"]


def test_worker_is_listed_while_it_is_there(broker: WakingBroker) -> None:
    with worker(broker):
        process = Process.objects.alive().get()
        assert (process.kind, process.queues) == ("worker", ["default", "operators"])
    assert not Process.objects.exists()


def test_worker_told_to_stop_stops_between_steps_and_another_goes_on(
    broker: WakingBroker,
) -> None:
    with worker(broker):
        message = steps.send(4)
        wait_until(lambda: "waiting" in done, seconds=15, otherwise=lambda: str(done))
    assert done == ["step 1", "step 2", "step 3", "waiting"]
    assert wait_for(message, State.PENDING).attempts == 1

    with worker(broker):
        wait_until(TaskRun.objects.due().exists, seconds=30, otherwise=lambda: "not due")
        relay()
        assert result_of(message) == 4
        run = wait_for(message, State.SUCCEEDED)
    assert done[4:] == ["step 4"]
    assert run.attempts == 2


def test_result_of_a_cleanup_in_slices_is_that_of_the_whole(
    broker: WakingBroker, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_todos(alice, each=7)
    monkeypatch.setattr(execution, "SLICE_SECONDS", 0.0)
    with worker(broker):
        message = todo_cleanup.send(batch_size=2)
        assert result_of(message) == {"users_processed": 1, "todos_deleted": 7, "errors": []}
        run = wait_for(message, State.SUCCEEDED)
    assert run.attempts >= 4
    assert not Todo.objects.exists()


def test_cleanup_counts_from_its_slot_however_late_it_runs(
    broker: WakingBroker, alice: User
) -> None:
    for completed_at in (LONG_AGO, AS_OF):
        Todo.objects.create(user=alice, title="Done", completed_at=completed_at)
    message = todo_cleanup.message()
    new_run(State.QUEUED, message_id=UUID(message.message_id), scheduled_for=AS_OF)
    with worker(broker):
        broker.enqueue(message)
        assert result_of(message)["todos_deleted"] == 1
    assert Todo.objects.get().completed_at == AS_OF


def test_actor_can_be_called_without_any_run(alice: User) -> None:
    Todo.objects.create(user=alice, title="Done", completed_at=LONG_AGO)
    actor: Actor[..., Any] = todo_cleanup
    assert actor()["todos_deleted"] == 1
    assert not TaskRun.objects.exists()


def test_message_that_was_sent_for_a_run_and_finds_none_is_dropped(
    broker: WakingBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The database has lost its last moments: what asked for the run knows that, or asks again."""
    lost = enqueue(work, "lost")
    TaskRun.objects.all().delete()
    with worker(broker):
        assert result_of(work.send("kept")) == {"said": "kept"}
        wait_until(
            lambda: broker.client.hlen("dramatiq:default.msgs") == 0,
            seconds=15,
            otherwise=lambda: "the message is still there",
        )
    assert done == ["kept"]
    assert not TaskRun.objects.filter(message_id=lost.message_id).exists()
    assert "message without its run dropped" in caplog.text


def test_message_by_hand_means_no_time_to_come_whatever_its_senders_clock_says(
    broker: WakingBroker,
) -> None:
    early = work.message("early")
    ahead = replace(early, message_timestamp=early.message_timestamp + 30 * 24 * 3600 * 1000)
    with worker(broker):
        broker.enqueue(ahead)
        run = wait_for(ahead, State.SUCCEEDED)
    assert run.as_of <= database_now()


@pytest.mark.parametrize("timestamp", [10**30, -(10**30), -62_135_596_800_000, 253_402_300_799_999])
def test_message_by_hand_that_was_sent_at_no_moment_was_sent_now(
    broker: WakingBroker, timestamp: int
) -> None:
    before = database_now()
    message = replace(work.message("undated"), message_timestamp=timestamp)
    with worker(broker):
        broker.enqueue(message)
        run = wait_for(message, State.SUCCEEDED)
    assert before <= run.created_at <= database_now()


def test_failure_of_an_actor_that_is_not_recorded_closes_its_run_with_the_reason(
    broker: WakingBroker,
) -> None:
    troubles.append(ValueError("no beat"))
    with worker(broker):
        run = enqueue(unrecorded)
        failed = wait_for(run.message(), State.FAILED)
        wait_until(
            lambda: broker.client.zcard("dramatiq:default.XQ") == 1,
            seconds=15,
            otherwise=lambda: "no dead letter",
        )
    assert failed.error_summary == "ValueError: no beat"
    TaskRun.objects.update(sent_at=LONG_AGO)
    relay()
    assert TaskRun.objects.get().sends == 1


def test_run_of_a_task_that_the_worker_does_not_know_is_given_back_and_leaves_no_dead_letter(
    broker: WakingBroker,
) -> None:
    run = new_run(State.PENDING, task="test.unknown", trigger=Trigger.API)
    with worker(broker):
        assert send(run)
        given_back = wait_for(run.message(), State.PENDING)
        wait_until(
            lambda: broker.client.hlen("dramatiq:default.msgs") == 0,
            seconds=15,
            otherwise=lambda: "the message is still there",
        )
    assert broker.client.zcard("dramatiq:default.XQ") == 0
    assert given_back.due_at > database_now()
    assert (given_back.attempts, given_back.losses) == (0, 0)


def test_each_of_two_attempts_in_one_process_closes_itself_and_nothing_else(
    broker: WakingBroker,
) -> None:
    """The process was frozen, counted as gone, and thawed: it is given its own run once more."""
    with worker(broker):
        message = steps.send(2)
        wait_until(lambda: "waiting" in done, seconds=15, otherwise=lambda: str(done))
        Process.objects.all().delete()
        relay()  # Its process is silent, as far as can be told; the run is sent to it again.
        run = run_of(message)
        wait_until(
            lambda: run_of(message).attempts == 2, seconds=15, otherwise=lambda: str(vars(run))
        )
        go_on.set()
        assert result_of(message) == 2
        ended = wait_for(message, State.SUCCEEDED)
    assert ended.attempts == 2
    assert ended.result == 2
    assert ended.progress == {"taken": 2}


@pytest.mark.parametrize("verb", ["start", "succeed", "continue_later", "retry"])
def test_change_whose_answer_got_lost_is_neither_lost_nor_made_twice(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The database has committed it, and the connection broke before it could say so."""
    change, answers = getattr(TaskRun, verb), iter(["lost"])

    def change_and_lose_the_answer(self: TaskRun, *arguments: Any, **options: Any) -> bool:
        changed: bool = change(self, *arguments, **options)
        if changed and next(answers, None):
            if verb == "start":
                self.attempts -= 1  # Whoever asked was not told.
            raise OperationalError("the server closed the connection")
        return changed

    monkeypatch.setattr(TaskRun, verb, change_and_lose_the_answer)
    if verb == "continue_later":
        monkeypatch.setattr(execution, "SLICE_SECONDS", 0.0)
    if verb == "retry":
        troubles.append(ValueError("once"))
    go_on.set()
    with worker(broker):
        message = steps.send(2) if verb == "continue_later" else work.send("done")
        ends = monotonic() + 20
        while monotonic() < ends and run_state(message) != State.SUCCEEDED:
            relay()
            sleep(0.1)
        run = run_of(message)
    assert run.state == State.SUCCEEDED
    assert (run.failures, run.crashes) == (1 if verb == "retry" else 0, 0)
    if verb in {"start", "succeed"}:
        assert (run.attempts, done) == (1, ["done"])


def run_state(message: Message[Any]) -> str | None:
    runs = TaskRun.objects.filter(message_id=UUID(message.message_id))
    return runs.values_list("state", flat=True).first()


def test_run_whose_last_step_is_lost_at_its_end_does_not_succeed_and_goes_on(
    broker: WakingBroker,
) -> None:
    with worker(broker):
        message = steps.send(2)
        wait_until(lambda: "waiting" in done, seconds=15, otherwise=lambda: str(done))
        TaskRun.objects.update(progress={})
        go_on.set()
        assert result_of(message) == 2
        run = wait_for(message, State.SUCCEEDED)
    assert (run.attempts, run.progress) == (2, {"taken": 2})
    assert (run.crashes, run.failures) == (0, 0)


@pytest.mark.parametrize(
    "arguments", [{"bogus": 3}, {"keep_days": -1}, {"keep_days": "seven"}, {"batch_size": 0}]
)
def test_bad_argument_is_refused_where_it_is_given(
    broker: WakingBroker, arguments: dict[str, Any]
) -> None:
    for give in (enqueue, lambda actor, **given: actor.send(**given)):
        with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
            give(todo_cleanup, **arguments)
    assert not TaskRun.objects.exists()
    assert broker.client.llen("dramatiq:default") == 0


def test_time_limit_that_went_by_in_an_outage_is_no_failure_of_the_actors(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles.extend([TimeLimitExceeded(), TimeLimitExceeded()])
    with worker(broker):
        monkeypatch.setattr(Heartbeat, "was_held_up_since", lambda *_: True)
        run = wait_for(work.send(), State.PENDING)
        assert (run.failures, run.crashes) == (0, 1)
        monkeypatch.setattr(Heartbeat, "was_held_up_since", lambda *_: False)
        run = wait_for(work.send(), State.PENDING)
        assert (run.failures, run.crashes) == (1, 0)


def test_run_that_is_this_process_by_its_row_and_at_which_nobody_is_is_put_back(
    broker: WakingBroker, settings: Settings
) -> None:
    """The database has lost its end; a run that a thread is at stays."""
    settings.TASKS_LIVENESS_SECONDS = 3
    with worker(broker):
        message, busy = work.send("lost"), steps.send(2)
        wait_until(lambda: "waiting" in done, seconds=15, otherwise=lambda: str(done))
        ended = wait_for(message, State.SUCCEEDED)
        TaskRun.objects.filter(pk=ended.pk).update(
            state=State.RUNNING, finished_at=None, result=None
        )
        run = wait_for(message, State.PENDING)
        assert (run.attempts, run.crashes) == (1, 0)
        assert run_of(busy).state == State.RUNNING
        go_on.set()
        assert result_of(busy) == 2


@pytest.mark.postgresql
def test_run_whose_row_somebody_holds_keeps_no_thread(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker(broker):
        held = enqueue(work, "held")
        wait_for(held.message(), State.SUCCEEDED)
        TaskRun.objects.filter(pk=held.pk).update(state=State.QUEUED, finished_at=None)
        with transaction.atomic():
            TaskRun.objects.select_for_update().get(pk=held.pk)
            for _ in range(3):  # More than there are threads.
                broker.enqueue(held.message())
            free = threading_result(lambda: result_of(work.send("free"), seconds=25))
            assert free == {"said": "free"}


def threading_result(do: Callable[[], Any]) -> Any:
    """Do something in a thread of its own, with a connection of its own."""
    results: list[Any] = []

    def run() -> None:
        results.append(do())
        connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    return results[0]


def test_whoever_waits_is_not_told_the_row_that_a_database_quotes(broker: WakingBroker) -> None:
    secret = "DETAIL: Key (title)=(secret) is duplicated."
    troubles.extend([IntegrityError(secret), IntegrityError(secret)])
    with worker(broker):
        message = work.send()
        wait_for(message, State.PENDING)
        relay()
        with pytest.raises(ResultFailure, match="IntegrityError") as failed:
            result_of(message)
        run = wait_for(message, State.FAILED)
    assert "secret" not in f"{failed.value}{run.error}"
    kept = [broker.client.dump(key) for key in broker.client.scan_iter("*")]
    assert not any(b"secret" in (data or b"") for data in kept)


def test_nor_is_whoever_waits_on_an_actor_that_is_not_recorded(broker: WakingBroker) -> None:
    troubles.append(IntegrityError("DETAIL: Key (title)=(secret) is duplicated."))
    with worker(broker):
        message = unrecorded.send()
        with pytest.raises(ResultFailure, match="IntegrityError") as failed:
            result_of(message)
    assert "secret" not in str(failed.value)
    kept = [broker.client.dump(key) for key in broker.client.scan_iter("*")]
    assert kept
    assert not any(b"secret" in (data or b"") for data in kept)
