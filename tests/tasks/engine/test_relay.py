"""The relay: which processes count as gone, and which runs are published alone or held back."""

from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import Now

from tasks.actors import todo_cleanup
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.liveness import Contact
from tasks.engine.models import Process, ProcessKind, State, TaskRun, Trigger
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import gather
from tasks.engine.runs.enqueue import enqueue
from tasks.engine.scheduler.relay import MOST_LOSSES, RUNS_PER_QUERY, Relay
from tests.factories import new_process, new_run_each
from tests.tasks.engine.relaying import long_contact, relay

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = "2026-01-01T00:00:00Z"


def new_worker(*, tasks: tuple[str, ...] = (), silent_for: int = 0, **values: Any) -> Process:
    return new_process(queues=["default"], tasks=list(tasks), silent_for=silent_for, **values)


def old_runs(count: int, state: State = State.PENDING, **values: Any) -> list[TaskRun]:
    """Write runs that were created a while ago."""
    shared = {"trigger": Trigger.API, "sent_at": LONG_AGO, **values}
    return new_run_each(({"delivery": uuid4(), **shared} for _ in range(count)), state)


def in_state(state: State) -> int:
    return TaskRun.objects.filter(state=state).count()


def test_silent_process_keeps_its_run_until_the_relay_could_have_heard_it(
    broker: WakingBroker,
) -> None:
    worker = new_worker()
    run = enqueue(todo_cleanup)
    assert run.start(worker.pk)
    Process.objects.update(seen_at=LONG_AGO)

    contact = Contact()
    Relay(contact).run()
    assert Process.objects.exists()
    assert in_state(State.RUNNING) == 1

    # Perhaps it waited until now for a lock that somebody held on its row.
    Relay(long_contact()).run()
    assert Process.objects.exists()

    relay()
    assert not Process.objects.filter(pk=worker.pk).exists()
    assert in_state(State.QUEUED) == 1


def test_process_whose_row_is_missing_keeps_its_run_until_it_could_have_said_so(
    broker: WakingBroker,
) -> None:
    """After a fail-over to a database that does not have its row, say."""
    run, worker = enqueue(todo_cleanup), new_worker()
    assert run.start(worker.pk)
    worker.delete()
    Relay(Contact()).run()
    assert in_state(State.RUNNING) == 1


def test_process_last_heard_of_by_a_clock_that_was_set_back_is_not_waited_for_till_then(
    broker: WakingBroker,
) -> None:
    worker = new_worker()
    Process.objects.update(seen_at=Now() + timedelta(hours=3))
    relay()
    assert not Process.objects.filter(pk=worker.pk).exists()
    assert "went silent at" in verdict()


def verdict() -> str:
    return "\n".join(problems(gather()))


def test_worker_that_went_silent_is_in_the_verdict_until_another_has_started(
    broker: WakingBroker,
) -> None:
    """Also one that was started before anybody could know that the first one is gone."""
    new_worker(silent_for=100, host="dead")
    new_worker(host="other", started_at=Now() - timedelta(days=1))
    relay()
    assert "The worker on dead, process 1, went silent at" in verdict()
    relay()
    assert "The worker on dead, process 1, went silent at" in verdict()

    new_process(ProcessKind.SCHEDULER)
    assert "went silent at" in verdict()
    replaced = new_worker(host="new")
    assert "went silent at" not in verdict()
    relay()
    replaced.delete()  # It has ended, as it was told to.
    assert "went silent at" not in verdict()


def test_silent_process_is_forgotten_after_an_hour(broker: WakingBroker) -> None:
    new_worker(silent_for=59 * 60, host="dead")
    relay()
    assert "went silent at" in verdict()
    Process.objects.update(seen_at=Now() - timedelta(minutes=61))
    assert "went silent at" not in verdict()
    relay()
    assert not Process.objects.exists()


def test_worker_that_is_back_is_well_and_replaces_none_that_is_not(broker: WakingBroker) -> None:
    """Two hosts were cut off, and one is back."""
    started = Now() - timedelta(days=1)
    back = Heartbeat(ProcessKind.WORKER)
    new_worker(pk=back.id, host="back", silent_for=100, started_at=started)
    new_worker(host="cut", silent_for=90, started_at=started)
    relay()
    assert "worker on back" in verdict()
    back.start()
    relay()
    assert "worker on back" not in verdict()
    assert "worker on cut, process 1, went silent at" in verdict()

    Process.objects.filter(pk=back.id).update(seen_at=Now() - timedelta(seconds=80))
    relay()
    assert "worker on back" in verdict()
    back.beat()
    assert "worker on back" not in verdict()
    back.stop()
    assert "worker on back" not in verdict()
    assert Process.objects.registered().count() == 0


def test_command_that_was_killed_is_not_waited_for(broker: WakingBroker) -> None:
    """A worker continues its run."""
    new_process(ProcessKind.COMMAND, silent_for=100)
    relay()
    assert not Process.objects.exists()


def test_clock_that_is_set_back_brings_no_process_back_to_life(broker: WakingBroker) -> None:
    new_worker(silent_for=100, tasks=("ping",))
    relay()
    Process.objects.update(seen_at=Now())
    assert "No worker is alive" in verdict()
    assert not Process.objects.alive().exists()


def test_only_one_of_the_runs_that_may_kill_their_process_is_handed_out(
    broker: WakingBroker,
) -> None:
    old_runs(3, crashes=2)
    old_runs(4, crashes=1)
    relay()
    assert in_state(State.PENDING) == 2
    relay()
    assert in_state(State.PENDING) == 2

    suspect = TaskRun.objects.suspect().get(state=State.QUEUED)
    assert suspect.start(new_worker().pk)
    relay()
    assert in_state(State.PENDING) == 2
    assert suspect.succeed(None)
    relay()
    assert in_state(State.PENDING) == 1


def test_suspect_that_works_for_long_or_waits_in_another_queue_keeps_no_other_back(
    broker: WakingBroker,
) -> None:
    (working,) = old_runs(1, State.QUEUED, crashes=2, sent_at=None)
    assert working.start(new_worker().pk)
    old_runs(1, State.QUEUED, crashes=3, queue="unserved", sent_at=None)
    old_runs(1, crashes=2)
    relay()
    assert in_state(State.PENDING) == 1
    TaskRun.objects.filter(pk=working.pk).update(progressed_at=F("progressed_at") - timedelta(60))
    relay()
    assert in_state(State.PENDING) == 0


def test_loss_behind_hundreds_that_wait_in_an_unserved_queue_is_found(
    broker: WakingBroker,
) -> None:
    waiting = old_runs(2 * RUNS_PER_QUERY + 1, State.QUEUED, queue="unserved")
    for run in waiting:
        broker.do_enqueue("unserved", str(run.delivery), b"{}")
    (lost,) = old_runs(1, State.QUEUED, sent_at="2026-02-01T00:00:00Z")
    one = Relay(long_contact())
    one.run()
    assert TaskRun.objects.get(pk=lost.pk).losses == 1
    assert TaskRun.objects.filter(queue="unserved", sends=0).count() == len(waiting)


def test_losses_count_since_a_worker_last_saw_a_message_however_many_slices_there_were(
    broker: WakingBroker,
) -> None:
    run = enqueue(todo_cleanup)
    worker = new_worker()
    for _ in range(3 * MOST_LOSSES):
        run = TaskRun.objects.get()
        assert run.start(worker.pk)
        assert run.continue_later(after=timedelta())
        relay()
        broker.client.flushall()
        TaskRun.objects.update(sent_at=LONG_AGO)
        relay()
    run = TaskRun.objects.get()
    assert (run.state, run.losses) == (State.QUEUED, 1)
    assert run.sends > MOST_LOSSES


def test_run_of_a_task_that_no_live_worker_knows_is_kept_back_and_fails_with_that_reason(
    broker: WakingBroker,
) -> None:
    new_worker(tasks=("ping", "other"))
    new_worker(tasks=("ping", "todo.cleanup"), silent_for=10**6)
    old_runs(1, due_at=Now())
    Relay(Contact()).run()
    assert in_state(State.PENDING) == 1

    TaskRun.objects.update(due_at=Now() - timedelta(minutes=11))
    Relay(Contact()).run()
    # Everything may have been down for so long: the worker that knows it may be about to start.
    assert in_state(State.PENDING) == 1

    Process.objects.update(started_at=Now() - timedelta(minutes=11))
    Relay(Contact()).run()
    run = TaskRun.objects.get()
    assert run.state == State.FAILED
    assert run.error == "No live worker has known the task todo.cleanup for 10 minutes."


@pytest.mark.parametrize("tasks", [("ping", "todo.cleanup"), ()])
def test_run_goes_out_when_a_live_worker_knows_its_task_or_does_not_say(
    broker: WakingBroker, tasks: tuple[str, ...]
) -> None:
    new_worker(tasks=("ping",))
    new_worker(tasks=tasks)
    old_runs(1, due_at=Now())
    relay()
    assert in_state(State.QUEUED) == 1


def test_run_that_was_to_stop_when_its_process_died_ends_as_cancelled(
    broker: WakingBroker,
) -> None:
    run, worker = enqueue(todo_cleanup), new_worker()
    assert run.start(worker.pk)
    assert run.request_stop("Stopped.")
    worker.delete()
    relay()
    stopped = TaskRun.objects.get()
    assert (stopped.state, stopped.reason) == (State.CANCELLED, "Stopped.")
    with pytest.raises(Exception, match="Stopped"):
        run.message().get_result(backend=broker.get_results_backend())


@pytest.mark.postgresql
def test_forgotten_lock_on_one_run_keeps_back_no_other(broker: WakingBroker) -> None:
    held, *others = old_runs(3)
    with transaction.atomic():
        TaskRun.objects.select_for_update().get(pk=held.pk)
        elsewhere = Thread(target=relay_elsewhere)
        elsewhere.start()
        elsewhere.join(15)
        assert not elsewhere.is_alive()
    assert TaskRun.objects.get(pk=held.pk).state == State.PENDING
    assert in_state(State.QUEUED) == len(others)


def relay_elsewhere() -> None:
    relay()
    connections.close_all()


def test_run_that_this_version_would_refuse_holds_up_no_other_and_reaches_its_actor(
    broker: WakingBroker,
) -> None:
    """A version before has taken it: its actor says what is wrong, and that is the reason."""
    old_runs(3, arguments={"args": [], "kwargs": {"keep_days": -1}}, due_at=LONG_AGO)
    old_runs(1, task="runs.prune", due_at=LONG_AGO)
    old_runs(1, arguments={"args": [1], "kwargs": {}}, due_at=LONG_AGO)
    relay()
    assert in_state(State.QUEUED) == 5
    assert broker.client.llen("dramatiq:default") == 5
