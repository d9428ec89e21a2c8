"""Sees that every run gets on: sends what is due, sends again what the broker has lost, takes runs
from processes that are gone, and in the end fails, with the reason, what will not work.

Any number of relays may be at it at once: each change is a verb of the run, which one of them wins.
"""

from datetime import timedelta

import structlog
from dramatiq.broker import get_broker

from tasks.broker import WakingBroker
from tasks.models import MOST_CRASHES, Process, TaskRun
from tasks.outages import outages
from tasks.results import store_result
from tasks.sending import send

logger = structlog.get_logger(__name__)

#: Runs in one pass for each of the steps below, the oldest first; a pass comes every few seconds.
BATCH = 200

#: How long a message may wait before the broker is asked whether it still has it.
ASK_AFTER = timedelta(seconds=10)

#: Sends of which the broker lost each one.
MOST_SENDS = 20


def relay() -> None:
    """Make one pass.

    Raises:
        OperationalError, InterfaceError: the database is away.
        redis.RedisError: the broker is away.
    """
    Process.objects.dead().delete()
    take_from_the_dead()
    for run in TaskRun.objects.due().order_by("due_at")[:BATCH]:
        if not send(run) and outages.is_away("broker"):
            return
    send_again()


def take_from_the_dead() -> None:
    """Have runs started again whose process is gone; fail those that keep killing theirs."""
    for run in TaskRun.objects.orphaned().order_by("pk")[:BATCH]:
        if run.crashes + 1 >= MOST_CRASHES:
            give_up(run, f"Its process died {MOST_CRASHES} times without getting any further.")
        elif run.release():
            logger.warning("run taken from a dead process", task=run.task, run=run.pk)


def send_again() -> None:
    """Send again what the broker has lost; fail what it keeps losing."""
    broker = get_broker()
    if not isinstance(broker, WakingBroker):
        return
    for run in TaskRun.objects.waiting(longer_than=ASK_AFTER).order_by("sent_at")[:BATCH]:
        if broker.has(run.queue, str(run.delivery)):
            continue
        if run.sends >= MOST_SENDS:
            give_up(run, f"The broker lost its message {MOST_SENDS} times.")
        elif send(run, first=False):
            logger.warning("message lost by the broker, sent again", task=run.task, run=run.pk)


def give_up(run: TaskRun, reason: str) -> None:
    """Fail a run, aloud, and tell whoever waits on it."""
    if run.fail(reason):
        run.refresh_from_db()
        store_result(run)
        logger.error("run given up", task=run.task, run=run.pk, reason=reason)
