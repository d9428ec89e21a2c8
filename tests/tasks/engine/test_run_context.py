"""A run knows the request that asked for it, and says in one line how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import dramatiq
import pytest
import redis
import structlog
from django.db import OperationalError, connections, transaction
from django.test import Client
from dramatiq import Message, Worker
from structlog.contextvars import bound_contextvars, get_contextvars

from accounts.models import User
from tasks.actors import todo_cleanup
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.models import Schedule, State, TaskRun, Trigger
from tasks.engine.operations import runs as operations
from tasks.engine.runs import execution
from tasks.engine.runs.context import Context
from tasks.engine.runs.enqueue import Request, enqueue, resend
from tasks.engine.runs.execution import current_run, shutting_down
from tasks.engine.runs.inline import run_inline
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.engine.scheduler.relay import fail_run
from tests.factories import new_run
from tests.processes import wait_until
from tests.tasks.engine.relaying import relay

pytestmark = pytest.mark.django_db(transaction=True)

logger = structlog.get_logger(__name__)

LIMITS: Any = {"max_retries": 1, "min_backoff": 1, "time_limit": 20_000}

SECRET = "Buy milk"

type Ends = Callable[[], list[dict[str, Any]]]


@dramatiq.actor(actor_name="test.saying", **LIMITS)
def saying(*, fail: bool = False) -> dict[str, Any]:
    """Say something; fail if told to."""
    logger.info("saying")
    if fail:
        raise ValueError(SECRET)
    return {"todos": 3, "took": 0.5, "title": SECRET, "well": True, SECRET: 4, "errors": [SECRET]}


@dramatiq.actor(actor_name="test.slices", **LIMITS)
def slices() -> None:
    """Say something in each of three slices."""
    while True:
        with current_run().step() as checkpoint:
            if (taken := checkpoint.get("rows", 0)) == 3:
                return
            logger.info("saying")
            checkpoint["rows"] = taken + 1


@dramatiq.actor(actor_name="test.silent", recorded=False, **{**LIMITS, "max_retries": 0})
def silent(*, fail: bool = False) -> dict[str, int]:
    """Answer; its attempts are not recorded."""
    logger.info("saying")
    if fail:
        raise ValueError(SECRET)
    return {"answered": 1}


@contextmanager
def worker(broker: WakingBroker) -> Iterator[None]:
    """Run a worker with one thread."""
    middleware = list(broker.middleware)
    shutting_down.clear()
    one = Worker(broker, worker_threads=1, worker_timeout=50)
    one.start()
    try:
        yield
    finally:
        one.stop()
        connections.close_all()
        shutting_down.clear()
        broker.middleware = middleware


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the events that have been logged through structlog."""
    return [record.msg for record in caplog.records if isinstance(record.msg, dict)]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Ends:
    """Return the lines of the actors above so far."""
    caplog.set_level("INFO")
    return lambda: [event for event in events(caplog) if event["event"] == "saying"]


@pytest.fixture
def ends(caplog: pytest.LogCaptureFixture) -> Ends:
    """Return the lines about the ends of runs so far."""
    caplog.set_level("INFO")
    states = {f"run {state}" for state in State}
    return lambda: [event for event in events(caplog) if event["event"] in states]


def wait_for_end(run: TaskRun | None = None) -> TaskRun:
    """Return a run, or the only one, when it has ended."""
    runs = TaskRun.objects.filter(pk=run.pk) if run else TaskRun.objects.all()

    def ended() -> bool:
        relay()
        return runs.finished().exists()

    wait_until(ended, seconds=20, otherwise=lambda: str(list(runs.values())))
    return runs.get()


def queued(broker: WakingBroker) -> list[Message[Any]]:
    """Return the messages that are in the broker."""
    found = cast("list[bytes]", broker.client.hvals("dramatiq:default.msgs"))
    return [Message.decode(data) for data in found]


# Where it comes from


def test_run_that_a_page_starts_names_the_request(
    broker: WakingBroker, admin_client: Client
) -> None:
    add_missing_schedules()
    schedule = Schedule.objects.get(task="ping")
    answer = admin_client.post(f"/admin/background/schedules/{schedule.pk}/run/")
    assert TaskRun.objects.get().request_id == answer["X-Request-ID"]


def test_request_goes_into_the_row_and_into_each_message(broker: WakingBroker) -> None:
    with bound_contextvars(request_id="a-request"), transaction.atomic():
        run = enqueue(todo_cleanup)
        assert TaskRun.objects.get().request_id == "a-request"
    options = Context.of(TaskRun.objects.get()).options
    assert options == {"request_id": "a-request"}
    with bound_contextvars(request_id="another"):
        assert resend(run, lost=False)
    assert [message.options["request_id"] for message in queued(broker)] == ["a-request"] * 2


def test_lines_of_an_attempt_have_its_run_and_request_and_the_next_ones_do_not(
    broker: WakingBroker, said: Ends
) -> None:
    with worker(broker):
        with bound_contextvars(request_id="a-request"):
            first = wait_for_end(enqueue(saying))
        second = wait_for_end(enqueue(saying))
    one, other = said()
    expected = {"request_id": "a-request", "task": "test.saying", "run": first.pk, "attempt": 1}
    assert {name: one[name] for name in expected} == expected
    assert other["run"] == second.pk
    assert "request_id" not in other


def test_message_sent_by_hand_in_a_request_carries_it_too(broker: WakingBroker, said: Ends) -> None:
    with worker(broker):
        with bound_contextvars(request_id="a-request"):
            saying.send()
        assert wait_for_end().request_id == "a-request"
    assert [line["request_id"] for line in said()] == ["a-request"]


def test_each_slice_and_each_retry_carries_it(
    broker: WakingBroker, said: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SLICE_SECONDS", 0.0)
    with worker(broker), bound_contextvars(request_id="a-request"):
        wait_for_end(enqueue(slices))
        wait_for_end(enqueue(saying, fail=True))
    assert [line["attempt"] for line in said()] == [1, 2, 3, 1, 2]
    assert {line["request_id"] for line in said()} == {"a-request"}


@pytest.mark.parametrize("forged", ["two words", "a\nb", "a" * 65, 5, None, ["a"], {"a": 1}, ""])
def test_what_anybody_may_have_written_into_a_message_is_not_logged(forged: object) -> None:
    assert Context.sent_in({"request_id": forged, "trace_parent": forged}) == Context()


def test_actor_that_is_not_recorded_names_its_request_as_well(
    broker: WakingBroker, said: Ends
) -> None:
    with worker(broker):
        with bound_contextvars(request_id="a-request"):
            silent.send()
        wait_until(lambda: bool(said()), seconds=10, otherwise=lambda: "nothing was said")
    (line,) = said()
    assert (line["task"], line["request_id"]) == ("test.silent", "a-request")
    assert "run" not in line


# How it ended


def test_run_writes_one_line_when_it_has_ended_with_numbers_and_no_texts(
    broker: WakingBroker, ends: Ends
) -> None:
    with worker(broker):
        run = wait_for_end(enqueue(saying))
        wait_until(lambda: bool(ends()), seconds=30, otherwise=lambda: "no line")
    (line,) = ends()
    assert line["event"] == "run succeeded"
    assert (line["task"], line["run"], line["trigger"]) == ("test.saying", run.pk, "api")
    assert line["attempts"] == 1
    assert 0 <= line["duration_seconds"] < 20
    assert line["counts"] == {"todos": 3, "took": 0.5, "errors": 1}
    assert SECRET not in str(line)


def test_run_in_slices_that_is_retried_writes_one_line(
    broker: WakingBroker, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SLICE_SECONDS", 0.0)
    with worker(broker):
        wait_for_end(enqueue(slices))
        wait_for_end(enqueue(saying, fail=True))
        wait_until(lambda: len(ends()) > 1, seconds=30, otherwise=lambda: str(ends()))
    sliced, failed = ends()
    assert (sliced["event"], sliced["attempts"]) == ("run succeeded", 4)
    assert (failed["event"], failed["attempts"], failed["why"]) == ("run failed", 2, "ValueError")
    assert failed["level"] == "error"
    assert SECRET not in str(failed)


@pytest.mark.parametrize("fail", [False, True])
def test_run_of_an_actor_that_is_not_recorded_writes_one_line(
    broker: WakingBroker, ends: Ends, *, fail: bool
) -> None:
    with worker(broker):
        run = wait_for_end(enqueue(silent, fail=fail))
        wait_until(lambda: bool(ends()), seconds=30, otherwise=lambda: "no line")
    (line,) = ends()
    assert (line["run"], line["event"]) == (run.pk, "run failed" if fail else "run succeeded")
    assert SECRET not in str(line)


def end_by_operator(run: TaskRun) -> None:
    operations.cancel(run, by=User.objects.create_user("root"))


def end_by_relay(run: TaskRun) -> None:
    fail_run(run, "Nobody knows it.")


def end_stopped(run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(state=State.RUNNING, progress={"rows": 7})
    assert run.request_stop("Stopped by user 1.")
    assert run.end_stopped()


@pytest.mark.parametrize(
    ("end", "event", "why", "counts"),
    [
        (end_by_operator, "run cancelled", "Cancelled by user", {}),
        (end_by_relay, "run failed", "Nobody knows it.", {}),
        (end_stopped, "run cancelled", "Stopped by user 1.", {"rows": 7}),
    ],
)
def test_whoever_ends_a_run_writes_its_line(
    ends: Ends,
    end: Callable[[TaskRun], None],
    event: str,
    why: str,
    counts: dict[str, int],
) -> None:
    run = new_run(State.QUEUED, request_id="a-request")
    with bound_contextvars(request_id="an-operators"):
        end(run)
    (line,) = ends()
    assert (line["event"], line["run"], line["counts"]) == (event, run.pk, counts)
    assert line["why"].startswith(why)
    assert line["request_id"] == "a-request"  # Who asked for it, not who has ended it.


def test_end_that_is_rolled_back_or_came_too_late_writes_no_line(ends: Ends) -> None:
    run = new_run(State.QUEUED)
    with transaction.atomic():
        assert run.fail("it broke")
        transaction.set_rollback(True)
    assert run.succeed({})
    assert not run.fail("it broke")
    assert [line["event"] for line in ends()] == ["run succeeded"]


def test_end_whose_answer_got_lost_writes_one_line(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(State.QUEUED)
    change = TaskRun._change  # noqa: SLF001  (where the answer comes from)

    def change_and_lose_the_answer(self: TaskRun, *conditions: Any, **values: Any) -> bool:
        change(self, *conditions, **values)
        raise OperationalError("the connection is gone")

    with monkeypatch.context() as lost:
        lost.setattr(TaskRun, "_change", change_and_lose_the_answer)
        with pytest.raises(OperationalError):
            run.succeed({"todos": 3})
    assert not ends()
    assert not run.succeed({"todos": 3})
    (line,) = ends()
    assert (line["event"], line["counts"]) == ("run succeeded", {"todos": 3})


def test_line_is_written_though_the_database_is_away_by_then(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(State.QUEUED)

    def away(*_: object) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as database:
        database.setattr("tasks.engine.models.run_queryset.TaskRunQuerySet.first", away)
        assert run.succeed({})
    (line,) = ends()
    assert (line["event"], line["run"], line["task"]) == ("run succeeded", run.pk, run.task)


def test_run_in_a_command_writes_its_line_and_binds_itself(ends: Ends, said: Ends) -> None:
    request = Request(Trigger.COMMAND)
    run_inline(request, saying.message())
    with pytest.raises(ValueError, match=SECRET):
        run_inline(request, saying.message(fail=True))
    succeeded, failed = ends()
    assert (succeeded["event"], failed["event"]) == ("run succeeded", "run failed")
    assert [line["run"] for line in said()] == [succeeded["run"], failed["run"]]
    assert "run" not in get_contextvars()


def test_line_names_no_more_than_a_handful_of_counts(ends: Ends) -> None:
    assert new_run(State.QUEUED).succeed({f"count_{number}": number for number in range(1000)})
    (line,) = ends()
    assert len(line["counts"]) == 20


def test_broker_that_is_away_loses_no_request(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    with monkeypatch.context() as outage, bound_contextvars(request_id="a-request"):
        outage.setattr(broker, "do_enqueue", away)
        enqueue(todo_cleanup)
    TaskRun.objects.update(due_at=TaskRun.objects.get().created_at - timedelta(hours=1))
    relay()
    (message,) = queued(broker)
    assert message.options["request_id"] == "a-request"
