"""A run is a row first, and its message reaches the broker once that is committed."""

import socket
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import pytest
import redis
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from tasks.actors import todo_cleanup
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tasks.engine.models import Process, State, TaskRun, Trigger
from tasks.engine.runs.enqueue import Request, enqueue
from tasks.engine.scheduler.relay import MOST_LOSSES
from tests.factories import new_process
from tests.tasks.engine.relaying import relay

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = "2026-01-01T00:00:00Z"


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> WakingBroker:
    broker = WakingBroker(url=url, middleware=[])
    for module in ("runs.enqueue", "scheduler.relay"):
        monkeypatch.setattr(f"tasks.engine.{module}.get_broker", lambda: broker)
    return broker


def waiting(broker: WakingBroker) -> int:
    length = broker.client.llen("dramatiq:default")
    assert isinstance(length, int)
    return length


def where(broker: WakingBroker, run: TaskRun) -> Whereabouts:
    return broker.where("default", [str(run.delivery)])[str(run.delivery)]


def make_old() -> None:
    """Have what was sent just now have been sent long ago."""
    TaskRun.objects.update(sent_at=LONG_AGO, due_at=LONG_AGO)


def test_run_is_sent_when_the_callers_transaction_commits_and_not_before(
    broker: WakingBroker, alice: User
) -> None:
    with transaction.atomic():
        run = Request(Trigger.ADMIN, by=alice).enqueue(todo_cleanup, keep_days=3)
        assert waiting(broker) == 0
    assert waiting(broker) == 1
    stored = TaskRun.objects.get()
    assert (stored.state, stored.trigger, stored.requested_by) == (State.QUEUED, "admin", alice)
    assert stored.arguments == {"args": [], "kwargs": {"keep_days": 3}}
    assert where(broker, run) is Whereabouts.WAITING


def test_rollback_leaves_nothing(broker: WakingBroker) -> None:
    with transaction.atomic():
        enqueue(todo_cleanup)
        transaction.set_rollback(True)
    assert waiting(broker) == 0
    assert not TaskRun.objects.exists()


def test_enqueueing_costs_one_statement(broker: WakingBroker) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        enqueue(todo_cleanup)
    assert len(queries) == 1


@pytest.mark.parametrize("server", ["nobody there", "never answers"])
def test_broker_that_is_away_costs_no_error_and_no_more_than_a_second(
    monkeypatch: pytest.MonkeyPatch, transactional_db: None, tmp_path: Path, server: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        if server == "never answers":
            listener.listen()
        use(monkeypatch, f"unix://{tmp_path}/socket")
        started = perf_counter()
        enqueue(todo_cleanup)
        assert perf_counter() - started < 1
    run = TaskRun.objects.get()
    assert (run.state, run.sends) == (State.PENDING, 0)


def test_run_goes_out_when_the_broker_is_back(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        use(away, "unix:///nonexistent/valkey.sock")
        enqueue(todo_cleanup)
        make_old()
        relay()
        assert TaskRun.objects.get().state == State.PENDING
    make_old()
    relay()
    assert TaskRun.objects.get().state == State.QUEUED
    assert waiting(broker) == 1


def test_message_that_the_broker_has_is_not_sent_again(broker: WakingBroker) -> None:
    enqueue(todo_cleanup)
    make_old()
    relay()
    assert waiting(broker) == 1
    assert TaskRun.objects.get().sends == 1


def test_message_that_a_worker_has_fetched_is_not_sent_again_soon(broker: WakingBroker) -> None:
    run = enqueue(todo_cleanup)
    assert broker.do_fetch("default", 1)
    assert waiting(broker) == 0
    TaskRun.objects.update(sent_at=Now() - timedelta(seconds=30))
    relay()
    assert where(broker, run) is Whereabouts.FETCHED
    assert TaskRun.objects.get().sends == 1


def test_message_that_a_worker_has_had_for_long_is_sent_again_and_is_not_lost(
    broker: WakingBroker,
) -> None:
    """It may be behind other work there, or the worker knows nothing of it."""
    enqueue(todo_cleanup)
    assert broker.do_fetch("default", 1)
    make_old()
    relay()
    run = TaskRun.objects.get()
    assert where(broker, run) is Whereabouts.WAITING
    assert (run.sends, run.losses) == (2, 0)


def test_message_that_only_a_worker_has_which_is_gone_is_sent_again(broker: WakingBroker) -> None:
    enqueue(todo_cleanup)
    assert broker.do_fetch("default", 1)
    broker.client.zadd("dramatiq:__heartbeats__", {broker.broker_id: 1})
    TaskRun.objects.update(sent_at=Now() - timedelta(seconds=30))
    assert where(broker, TaskRun.objects.get()) is Whereabouts.FETCHED_BY_SILENT
    relay()
    run = TaskRun.objects.get()
    assert (run.sends, run.losses) == (2, 0)


@pytest.mark.parametrize(
    "lost", [["dramatiq:default"], ["dramatiq:default.msgs"], ["dramatiq:default", "*"]]
)
def test_message_that_the_broker_has_lost_is_sent_again(
    broker: WakingBroker, lost: list[str]
) -> None:
    run = enqueue(todo_cleanup)
    broker.client.delete(*lost) if "*" not in lost else broker.client.flushall()
    make_old()
    relay()
    again = TaskRun.objects.get()
    assert again.sends == 2
    assert again.delivery != run.delivery
    assert again.message_id == run.message_id
    assert where(broker, again) is Whereabouts.WAITING


def test_message_that_the_broker_keeps_losing_fails_in_the_end_and_says_why(
    broker: WakingBroker,
) -> None:
    enqueue(todo_cleanup)
    for _ in range(MOST_LOSSES):
        broker.client.flushall()
        make_old()
        relay()
    run = TaskRun.objects.get()
    assert run.state == State.FAILED
    assert run.error == f"The broker lost its message {MOST_LOSSES} times."


def test_argument_that_no_message_can_hold_is_refused_at_once(broker: WakingBroker) -> None:
    with pytest.raises((TypeError, ValueError)):
        enqueue(todo_cleanup, user_id=uuid4())  # type: ignore[arg-type]
    assert not TaskRun.objects.exists()


def test_broker_without_a_server_says_so_to_whoever_asks_it() -> None:
    broker = WakingBroker(url="unix:///nonexistent/valkey.sock", middleware=[])
    with pytest.raises(redis.ConnectionError):
        broker.where("default", ["x"])


def test_dead_process_is_struck_off_and_its_run_started_again(broker: WakingBroker) -> None:
    dead, alive = (new_process(pid=pid) for pid in (1, 2))
    run = enqueue(todo_cleanup)
    assert run.start(dead.pk)
    relay()
    assert TaskRun.objects.get().state == State.RUNNING

    Process.objects.filter(pk=dead.pk).update(seen_at=LONG_AGO)
    relay()
    assert Process.objects.get() == alive
    assert TaskRun.objects.get().state == State.QUEUED
    assert TaskRun.objects.get().crashes == 1


def start_and_die() -> None:
    """Start the only run in a process that is gone immediately."""
    process = new_process()
    assert TaskRun.objects.get().start(process.pk)
    process.delete()


def test_run_that_keeps_killing_its_process_fails_in_the_end(broker: WakingBroker) -> None:
    enqueue(todo_cleanup)
    for _ in range(4):
        start_and_die()
        relay()
    start_and_die()
    relay()
    run = TaskRun.objects.get()
    assert (run.state, run.attempts) == (State.FAILED, 5)
    assert "died 5 times" in run.error
    with pytest.raises(Exception, match="died 5 times"):
        run.message().get_result(backend=broker.get_results_backend())


def test_run_recorded_at_the_database_is_timed_by_its_clock(broker: WakingBroker) -> None:
    run = enqueue(todo_cleanup)
    assert TaskRun.objects.filter(pk=run.pk, created_at__lte=Now(), sent_at__lte=Now()).exists()
