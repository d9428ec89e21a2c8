"""Starts an attempt at the run of a message."""

from uuid import UUID

import structlog
from django.db import OperationalError
from dramatiq import MessageProxy

from tasks.engine.broker.moments import moment_of
from tasks.engine.database import database_now, is_locked
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import Process, State, TaskRun, Trigger
from tasks.engine.runs.context import Context
from tasks.engine.runs.enqueue import arguments
from tasks.engine.runs.execution import Execution
from tasks.engine.runs.results import store_result
from tasks.engine.worker.active import ActiveAttempts, Attempt

logger = structlog.get_logger(__name__)


def open_attempt(
    message: MessageProxy, heartbeat: Heartbeat, active: ActiveAttempts, reserved: set[Attempt]
) -> Execution | None:
    """Start an attempt at a message's run.

    This may be called again after the database was away.

    Args:
        message: one whose id is a UUID.
        reserved: the attempts that this thread has reserved in earlier calls. This function adds to
            the set what it reserves, even if it then raises or returns None: the caller releases
            all but the attempt that is returned.

    Returns:
        None if there is nothing to do: the run has ended, or another attempt at it is active.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    delivery = uuid_from(message.options.get("delivery"))
    run = _run_of(message, UUID(message.message_id), delivery)
    if run is None:
        return None
    if run.is_finished:
        store_result(run)
        return None
    # An earlier call may have started it, and the database's answer have been lost.
    started = (run.pk, run.attempts) in reserved and run.held_by == heartbeat.id
    if not started and not (
        active.reserve((run.pk, run.attempts + 1), reserved) and _start(run, delivery, heartbeat)
    ):
        run.refresh_from_db()
        if run.is_finished:  # An operator has cancelled it meanwhile.
            store_result(run)
        return None
    return Execution(run, heartbeat)


def _start(run: TaskRun, delivery: UUID | None, heartbeat: Heartbeat) -> bool:
    """Start a run for this process; return whether that was possible."""
    try:
        if run.start(heartbeat.id, delivery=delivery):
            return True
    except OperationalError as error:
        if not is_locked(error):
            raise
        # The relay resends it when its row is free.
        logger.warning("run locked by another transaction", task=run.task, run=run.pk)
        return False
    # This process may count as gone to others; only a live process may start a run.
    if Process.objects.alive().filter(pk=heartbeat.id).exists():
        return False
    heartbeat.beat()
    return run.start(heartbeat.id, delivery=delivery)


def _run_of(message: MessageProxy, message_id: UUID, delivery: UUID | None) -> TaskRun | None:
    """Return a message's run; None if it should have one and has none."""
    run = TaskRun.objects.filter(message_id=message_id).first()
    if run or delivery is None:
        return run or _record(message, message_id)
    # Its row was committed before it was published, and no longer exists: the database has lost its
    # last moments. The slot is claimed again; who asked for any other run knows that it failed.
    logger.error("message without its run dropped", task=message.actor_name, id=str(message_id))
    return None


def _record(message: MessageProxy, message_id: UUID) -> TaskRun:
    """Create the run of a message that was sent by hand."""
    now = database_now()
    # The sender's clock may be ahead: a run must not refer to the future.
    sent_at = min(moment_of(message.message_timestamp) or now, now)
    run, _ = TaskRun.objects.get_or_create(
        message_id=message_id,
        defaults={
            "task": message.actor_name,
            "trigger": Trigger.API,
            "queue": message.queue_name,
            "arguments": arguments(message),
            **Context.sent_in(message.options).columns,
            "state": State.QUEUED,
            "sends": 1,
            "created_at": sent_at,
            "sent_at": sent_at,
        },
    )
    return run


def uuid_from(text: object) -> UUID | None:
    """Return a text as a UUID; None if it is none."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
