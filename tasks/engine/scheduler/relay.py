"""Sees that every run gets on: sends what is due, sends again what the broker has lost, takes runs
from processes that are gone, and in the end fails, with the reason, what will not work.

Any number of relays may be at it at once: each change is a verb of the run, which one of them wins.
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

from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tasks.engine.contact import Contact
from tasks.engine.database import database_now, exclusive_transaction
from tasks.engine.models import MOST_CRASHES, Process, State, TaskRun, TaskRunQuerySet
from tasks.engine.models.process import known_tasks, liveness
from tasks.engine.outages import outages
from tasks.engine.runs.enqueue import publish, resend, send
from tasks.engine.runs.results import store_result

logger = structlog.get_logger(__name__)

#: Runs that one query fetches, the oldest first.
RUNS_PER_QUERY = 200

#: Batches of waiting runs in one pass; the next pass goes on where it ended. A pass comes every few
#: seconds.
MOST_BATCHES = 10

#: How long a message may wait before the broker is asked whether it still has it.
ASK_AFTER = timedelta(seconds=10)

#: Messages in a row that the broker lost before any worker saw one.
MOST_LOSSES = 20

#: A process is silent for this long (seconds), with nobody holding a lock on its row, before it
#: counts as gone: it may have waited for that lock until now.
CONFIRM_SECONDS = 4.0

#: How long a run is kept back that no live worker knows the task of: a deploy takes no longer.
UNKNOWN_FOR = timedelta(minutes=10)

#: How long a run that is suspected of killing its process has the suspicion to itself.
PROBATION = timedelta(seconds=60)


class Relay:
    """The relay of one process."""

    def __init__(self, contact: Contact) -> None:
        """Prepare it.

        Args:
            contact: says for how long this process has been able to hear the others.
        """
        self._contact = contact
        #: The processes that were silent at the last pass, and since when (seconds).
        self._silent: dict[UUID, float] = {}
        #: The last waiting run that was looked at: when it was sent, and its number.
        self._looked_until: tuple[datetime, int] | None = None

    def run(self) -> None:
        """Make one pass.

        Raises:
            OperationalError, InterfaceError: the database is away.
            redis.RedisError: the broker is away.
        """
        self._release_orphans()
        end_stopped()
        if send_due():
            self._resend_stuck()

    def _release_orphans(self) -> None:
        """Have runs started again whose process is gone; fail those that keep killing theirs."""
        since = self._contact.gone_before()
        if since is None:
            return
        silent = unlocked(Process.objects.silent_since(since))
        now = monotonic()
        self._silent = {one.pk: self._silent.get(one.pk, now) for one in silent}
        for process in silent:
            if now - self._silent[process.pk] < CONFIRM_SECONDS:
                continue
            # If it still is: it may be heard of at this moment.
            gone, _ = Process.objects.silent_since(since).filter(pk=process.pk).delete()
            if gone:
                logger.warning("process gone", process=str(process), seen_at=process.seen_at)
        for run in unlocked(TaskRun.objects.orphaned().order_by("pk")):
            with outages.skipping_locked(str(run)):
                release_orphan(run)

    def _resend_stuck(self) -> None:
        """Send again what the broker has lost, or left with a worker that does not get to it."""
        broker = get_broker()
        if not isinstance(broker, WakingBroker):
            return
        for _ in range(MOST_BATCHES):
            runs = self._next_waiting()
            for queue, its in groupby(sorted(runs, key=attrgetter("queue")), attrgetter("queue")):
                resend_stuck(broker, queue, list(its))
            if len(runs) < RUNS_PER_QUERY:
                self._looked_until = None
                return

    def _next_waiting(self) -> list[TaskRun]:
        """Return the waiting runs after those that were looked at last, the oldest first."""
        waiting = TaskRun.objects.waiting(longer_than=ASK_AFTER)
        if self._looked_until:
            sent_at, pk = self._looked_until
            waiting = waiting.filter(Q(sent_at__gt=sent_at) | Q(sent_at=sent_at, pk__gt=pk))
        runs = list(waiting.order_by("sent_at", "pk")[:RUNS_PER_QUERY])
        if runs and runs[-1].sent_at:
            self._looked_until = (runs[-1].sent_at, runs[-1].pk)
        return runs


def unlocked[M: Model](rows: QuerySet[M]) -> list[M]:
    """Return some rows that nobody else holds a lock on: the others would have to be waited for."""
    if not rows.exists():
        return []
    with transaction.atomic():
        return list(rows.select_for_update(skip_locked=True)[:RUNS_PER_QUERY])


def is_locked_by_others(run: TaskRun) -> bool:
    """Say whether somebody holds a lock on a run: changing it would have to wait for them."""
    with transaction.atomic():
        return not TaskRun.objects.select_for_update(skip_locked=True).filter(pk=run.pk)


def release_orphan(run: TaskRun) -> None:
    """Have an orphaned run started again, unless it keeps killing its process."""
    if run.crashes + 1 >= MOST_CRASHES:
        orphaned = Q(pk__in=TaskRun.objects.filter(pk=run.pk).orphaned())
        reason = f"Its process died {MOST_CRASHES} times without getting any further."
        fail_run(run, reason, orphaned)
    elif run.release():
        logger.warning("run taken from a dead process", task=run.task, run=run.pk)


def end_stopped() -> None:
    """End the runs that were to stop and that nobody is at any more."""
    for run in unlocked(TaskRun.objects.to_be_ended().order_by("pk")):
        with outages.skipping_locked(str(run)):
            if run.cancel(run.reason):
                run.refresh_from_db()
                store_result(run)


def send_due() -> bool:
    """Send the runs that are due, as far as there are workers that know what to do.

    Returns:
        Whether the broker took them all.
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
    return send_suspect(due)


def fail_unknown(due: TaskRunQuerySet) -> None:
    """Fail those of the runs whose task no live worker knows that have waited for one too long."""
    minutes = UNKNOWN_FOR // timedelta(minutes=1)
    for run in unlocked(due.filter(due_at__lt=Now() - UNKNOWN_FOR).order_by("due_at")):
        with outages.skipping_locked(str(run)):
            reason = f"No live worker has known the task {run.task} for {minutes} minutes."
            fail_run(run, reason, Q(state=State.PENDING))


def send_suspect(due: TaskRunQuerySet) -> bool:
    """Send one of the runs that may be what kills their process, if no other is on its way.

    So a run that does kill it takes no bystander along time and again, which would be failed with
    it in the end.

    Returns:
        Whether the broker took what was sent.
    """
    if not due.suspect().exists():
        return True
    on_its_way = TaskRun.objects.suspect().filter(
        Q(state=State.QUEUED) | Q(state=State.RUNNING, progressed_at__gt=Now() - PROBATION),
        queue=OuterRef("queue"),
    )
    with exclusive_transaction("suspects"):
        suspects = due.suspect().filter(~Exists(on_its_way)).order_by("crashes", "due_at")
        run = suspects.select_for_update(skip_locked=True).first()
        sent = run is not None and run.mark_sent()
    return publish(run) if run and sent else True


def resend_stuck(broker: WakingBroker, queue: str, runs: Sequence[TaskRun]) -> None:
    """Send again those of some waiting runs of a queue that no worker will get to.

    What the broker has lost is sent again a limited number of times, until a worker has taken it
    up. What only a worker has may be behind other work there, or nobody knows of it: it is sent
    again every so often, and at once if the worker is silent; whoever gets to it first takes the
    run up.
    """
    messages = broker.where(queue, [str(run.delivery) for run in runs])
    long_ago = database_now() - liveness()
    for run in runs:
        where = messages[str(run.delivery)]
        lost = where is Whereabouts.NOWHERE
        stuck = where is Whereabouts.FETCHED_BY_SILENT or (
            where is Whereabouts.FETCHED and run.sent_at is not None and run.sent_at < long_ago
        )
        if not (lost or stuck) or is_locked_by_others(run):
            continue
        with outages.skipping_locked(str(run)):
            if lost and run.losses + 1 >= MOST_LOSSES:
                same = Q(state=State.QUEUED, delivery=run.delivery)
                fail_run(run, f"The broker lost its message {MOST_LOSSES} times.", same)
            elif resend(run, lost=lost):
                logger.warning("sent again", task=run.task, run=run.pk, lost=lost)


def fail_run(run: TaskRun, reason: str, *conditions: Q) -> None:
    """Fail a run, aloud, and tell whoever waits on it; unless it has got on meanwhile."""
    if run.fail(reason, *conditions):
        run.refresh_from_db()
        store_result(run)
        logger.error("run given up", task=run.task, run=run.pk, reason=reason)
