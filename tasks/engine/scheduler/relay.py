"""Keeps every run moving: publishes those that are due, resends those that the broker has lost,
releases orphans, and fails, with the reason, those that cannot continue.

Any number of relays may run at once: each change is a verb of the run, which succeeds for one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from time import monotonic
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from dramatiq.broker import get_broker

from tasks.engine.broker.presence import read_presence
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tasks.engine.database import database_now, exclusive_transaction
from tasks.engine.liveness import Contact
from tasks.engine.models import (
    MOST_CRASHES,
    Process,
    ProcessKind,
    Queue,
    State,
    TaskRun,
    TaskRunQuerySet,
)
from tasks.engine.models.process import Notes, known_tasks, liveness
from tasks.engine.outages import outages
from tasks.engine.runs.enqueue import publish, resend, send
from tasks.engine.runs.results import store_result

logger = structlog.get_logger(__name__)

#: Runs in one query, the oldest first.
RUNS_PER_QUERY = 200

#: Queries for waiting runs in one pass; the next pass, a few seconds later, checks the rest.
QUERIES_PER_PASS = 10

#: After this long in the queue, the relay asks the broker whether it still has a run's message.
ASK_AFTER = timedelta(seconds=10)

#: A run fails when the broker lost this many of its messages in a row.
MOST_LOSSES = 20

#: A silent process counts as gone only after this time without a lock on its row: it may have
#: waited for such a lock until now.
CONFIRM_SECONDS = 4.0

#: How long a run waits for a worker that knows its task: a deploy takes no longer.
UNKNOWN_FOR = timedelta(minutes=10)

#: The next suspect is published when the one before has run for this long and killed nothing.
PROBATION = timedelta(seconds=60)


class Relay:
    """The relay of one process."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        #: The processes that were silent at the last pass, and since when (monotonic seconds).
        self._silent: dict[UUID, float] = {}
        #: The last waiting run that was checked: when it was sent, and its id.
        self._checked_until: tuple[datetime, int] | None = None

    def run(self) -> None:
        """Make one pass.

        Raises:
            OperationalError, InterfaceError: the database is away.
            redis.RedisError: the broker is away.
        """
        self._release_orphans()
        cancel_stopped()
        TaskRun.objects.stop_waiting()
        if publish_due():
            self._resend_stuck()

    def _release_orphans(self) -> None:
        since = self._contact.gone_before()
        if since is None:
            return
        silent = unlocked(Process.objects.silent_since(since))
        now = monotonic()
        self._silent = {one.pk: self._silent.get(one.pk, now) for one in silent}
        confirmed = [one for one in silent if now - self._silent[one.pk] >= CONFIRM_SECONDS]
        left = read_presence([process.pk for process in confirmed]).left if confirmed else ()
        for process in confirmed:
            if give_up(process, since, in_order=process.pk in left):
                logger.warning("process gone", process=str(process), seen_at=process.seen_at)
        forget_replaced()
        for run in unlocked(TaskRun.objects.orphaned().order_by("pk")):
            with outages.skipping_locked(str(run)):
                release_orphan(run)

    def _resend_stuck(self) -> None:
        broker = get_broker()
        if not isinstance(broker, WakingBroker):
            return
        for _ in range(QUERIES_PER_PASS):
            runs = self._next_waiting()
            by_queue = attrgetter("queue")
            for queue, waiting in groupby(sorted(runs, key=by_queue), by_queue):
                resend_stuck(broker, queue, list(waiting))
            if len(runs) < RUNS_PER_QUERY:
                self._checked_until = None
                return

    def _next_waiting(self) -> list[TaskRun]:
        """Return the waiting runs after those that were checked last, the oldest first."""
        waiting = TaskRun.objects.waiting(longer_than=ASK_AFTER)
        if self._checked_until:
            sent_at, pk = self._checked_until
            waiting = waiting.filter(Q(sent_at__gt=sent_at) | Q(sent_at=sent_at, pk__gt=pk))
        runs = list(waiting.order_by("sent_at", "pk")[:RUNS_PER_QUERY])
        if runs and runs[-1].sent_at:
            self._checked_until = (runs[-1].sent_at, runs[-1].pk)
        return runs


def unlocked[M: Model](rows: QuerySet[M]) -> list[M]:
    """Return some of the rows that are not locked: changing a locked one would have to wait."""
    if not rows.exists():
        return []
    with transaction.atomic():
        return list(rows.select_for_update(skip_locked=True)[:RUNS_PER_QUERY])


def give_up(process: Process, since: datetime, *, in_order: bool) -> bool:
    """Delete the row of a process, if it has written no heartbeat meanwhile; remember it.

    A command is not remembered: nobody has to start it again, as workers continue its run. Nor is
    who ended in order while the database was away.
    """
    with transaction.atomic():
        gone, _ = Process.objects.silent_since(since).filter(pk=process.pk).delete()
        if gone and process.kind != ProcessKind.COMMAND and not in_order:
            # Not the future, in which its heartbeat was if the clock was set back since.
            Process.objects.leave_note(process, seen_at=min(process.seen_at, since))
    return bool(gone)


def forget_replaced() -> None:
    """Delete the notes of processes that others have replaced, or that are old."""
    if Process.objects.notes().exists():
        over = Notes(Process.objects.all(), database_now()).over
        Process.objects.filter(pk__in=[note.pk for note in over]).delete()


def release_orphan(run: TaskRun) -> None:
    if run.crashes + 1 >= MOST_CRASHES:
        orphaned = Q(pk__in=TaskRun.objects.filter(pk=run.pk).orphaned())
        reason = f"Its process died {MOST_CRASHES} times without any progress in between."
        fail_run(run, reason, orphaned)
    elif run.release():
        logger.warning("orphan released", task=run.task, run=run.pk)


def cancel_stopped() -> None:
    for run in unlocked(TaskRun.objects.to_cancel().order_by("pk")):
        with outages.skipping_locked(str(run)):
            if run.cancel(run.reason):
                run.refresh_from_db()
                store_result(run)


def publish_due() -> bool:
    """Publish the runs that are due and whose task a live worker knows.

    Returns:
        Whether the broker accepted them all.
    """
    due = TaskRun.objects.due()
    known = known_tasks(Process.objects.alive())
    if known is not None:
        fail_unknown(due.exclude(task__in=known))
        due = due.filter(task__in=known)
    for run in unlocked(due.unsuspected().order_by("due_at")):
        with outages.skipping_locked(str(run)):
            if not send(run) and outages.is_away("broker"):
                return False
    return publish_suspect(due)


def fail_unknown(due: TaskRunQuerySet) -> None:
    """Fail, of the runs whose task no live worker knows, those that have waited for too long.

    Only if a worker has been there for as long: others may have been about to come.
    """
    long_ago = Now() - UNKNOWN_FOR
    workers = Process.objects.alive().filter(kind=ProcessKind.WORKER, started_at__lt=long_ago)
    minutes = UNKNOWN_FOR // timedelta(minutes=1)
    # Nor where a pause has kept them from starting.
    held_up = Queue.objects.held_up_since(long_ago).filter(name=OuterRef("queue"))
    waiting = due.filter(Exists(workers), ~Exists(held_up), due_at__lt=long_ago)
    for run in unlocked(waiting.order_by("due_at")):
        with outages.skipping_locked(str(run)):
            reason = f"No live worker has known the task {run.task} for {minutes} minutes."
            fail_run(run, reason, Q(state=State.PENDING))


def publish_suspect(due: TaskRunQuerySet) -> bool:
    """Publish one suspect, of a queue in which no other is active; say if the broker accepted it.

    A run that kills its process interrupts every other run there. One at a time, suspects do not
    interrupt each other until all of them fail.
    """
    if not due.suspect().exists():
        return True
    active = TaskRun.objects.suspect().filter(
        Q(state=State.QUEUED) | Q(state=State.RUNNING, progressed_at__gt=Now() - PROBATION),
        queue=OuterRef("queue"),
    )
    with exclusive_transaction("suspects"):
        suspects = due.suspect().filter(~Exists(active)).order_by("crashes", "due_at")
        run = suspects.select_for_update(skip_locked=True).first()
        sent = run is not None and run.mark_sent()
    return publish(run) if run and sent else True


def resend_stuck(broker: WakingBroker, queue: str, runs: Sequence[TaskRun]) -> None:
    """Resend those of some waiting runs of a queue that no worker will start.

    A message that the broker has lost is resent a limited number of times. One that a worker has
    fetched may wait there behind other work, or be forgotten: it is resent once every liveness, and
    at once if the worker is silent. The worker that gets to either message first starts the run.
    """
    messages = broker.where(queue, [str(run.delivery) for run in runs])
    long_ago = database_now() - liveness()
    for run in runs:
        where = messages[str(run.delivery)]
        lost = where is Whereabouts.NOWHERE
        stuck = where is Whereabouts.FETCHED_BY_SILENT or (
            where is Whereabouts.FETCHED and run.sent_at is not None and run.sent_at < long_ago
        )
        if not (lost or stuck) or not unlocked(TaskRun.objects.filter(pk=run.pk)):
            continue
        with outages.skipping_locked(str(run)):
            if lost and run.losses + 1 >= MOST_LOSSES:
                same = Q(state=State.QUEUED, delivery=run.delivery)
                fail_run(run, f"The broker lost its message {MOST_LOSSES} times.", same)
            elif resend(run, lost=lost):
                logger.warning("run resent", task=run.task, run=run.pk, lost=lost)


def fail_run(run: TaskRun, reason: str, *conditions: Q) -> None:
    """Fail a run that meets the conditions, and store the result for callers that wait for it."""
    if run.fail(reason, *conditions, why=reason):
        run.refresh_from_db()
        store_result(run)
