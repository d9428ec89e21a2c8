"""Keeps the run ledger in a worker, so that actors hold no bookkeeping."""

import traceback
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Shutdown, SkipMessage
from redis.exceptions import RedisError

from tasks.execution import Execution, HandedOn, RunTaken, set_current, stopping
from tasks.models import MOST_CRASHES, ProcessKind, State, TaskRun, Trigger
from tasks.outages import DATABASE_AWAY, drop_connection, outages
from tasks.presence import Presence
from tasks.results import store_exception, store_result
from tasks.sending import arguments, send

logger = structlog.get_logger(__name__)

#: Nothing that the actor did wrong: the run is tried again without counting it as a failure.
INTERRUPTIONS = (*DATABASE_AWAY, RedisError, Shutdown)

#: Before a run goes on that was interrupted.
INTERRUPTED = timedelta(seconds=5)

#: Before the relay sends on a run that a worker gave up because it is to stop.
LEAVE_TO_OTHERS = timedelta(seconds=1)

#: For actors that say no limits of their own; milliseconds, as Dramatiq counts.
MOST_RETRIES = 3
SHORTEST_BACKOFF = 15_000
LONGEST_BACKOFF = 60 * 60 * 1000

#: Between two looks for a database that is away (seconds).
LOOK_AGAIN = 1.0


class WorkerLedger:
    """Opens and closes runs in one worker process."""

    def __init__(self) -> None:
        self._presence: Presence | None = None
        self._executions: dict[str, Execution] = {}

    def enter(self, *, queues: Collection[str]) -> None:
        """Say that this worker is there, and which queues it serves."""
        self._presence = Presence(ProcessKind.WORKER, queues=queues)
        self._presence.begin()

    def stop(self) -> None:
        """Have runs stop at their next step."""
        stopping.set()

    def leave(self) -> None:
        """Say that this worker is gone; runs that it could not finish are free for others."""
        if self._presence:
            self._presence.end()

    def open(self, message: MessageProxy) -> None:
        """Take a message's run up.

        Raises:
            SkipMessage: it is finished, or another process is at it.
        """
        try:
            execution = insist(lambda: self._open(message))
        except Exception as error:
            # Without its run it must not be worked on. The relay will find it missing.
            message.options["store_results"] = False
            logger.exception("run not opened", task=message.actor_name)
            raise SkipMessage from error
        if execution is None:
            message.options["store_results"] = False
            raise SkipMessage(f"{message.actor_name} is done, or being done elsewhere")
        self._executions[message.message_id] = execution
        set_current(execution)

    def close(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object,
        exception: BaseException | None,
    ) -> None:
        """Write how a message's run ended, if it was taken up."""
        set_current(None)
        execution = self._executions.pop(message.message_id, None)
        if execution is None:
            return
        run = execution.run
        try:
            insist(lambda: self._close(broker, message, run, result, exception))
        except DATABASE_AWAY:
            raise  # And this process is to stop: the relay takes the run from it.
        except Exception:
            # Such as a result that the database cannot hold. Nobody else would end this run.
            error = traceback.format_exc()
            logger.exception("run not closed", task=run.task, run=run.pk)
            insist(lambda: run.fail(error))
            message.options["store_results"] = False

    def record_pulse(self, message: MessageProxy, result: object) -> None:
        """Close the run of an actor that is not recorded, if a schedule asked for it."""
        with outages.tolerate():
            TaskRun.objects.record_pulse(UUID(message.message_id), result)

    def _open(self, message: MessageProxy) -> Execution | None:
        """Take the message's run up; None where that is not to be."""
        if self._presence is None:
            raise RuntimeError("a message came before the worker had booted")
        message_id = UUID(message.message_id)
        run = TaskRun.objects.filter(message_id=message_id).first()
        if run is None:  # Sent by hand.
            run, _ = TaskRun.objects.get_or_create(
                message_id=message_id,
                defaults={
                    "task": message.actor_name,
                    "trigger": Trigger.API,
                    "queue": message.queue_name,
                    "arguments": arguments(message),
                    "state": State.QUEUED,
                    "sends": 1,
                    "created_at": sent_at(message),
                    "sent_at": sent_at(message),
                },
            )
        if run.is_finished:
            store_result(run)
            return None
        if not run.start(self._presence.id):
            return None
        return Execution(run, self._presence.id)

    def _close(
        self,
        broker: Broker,
        message: MessageProxy,
        run: TaskRun,
        result: object,
        exception: BaseException | None,
    ) -> None:
        if exception is None:
            if not run.succeed(result) and not ended_here(run):
                message.options["store_results"] = False
        elif isinstance(exception, HandedOn):
            # Not by way of a worker that is about to end: it would fetch its own message again.
            if run.hand_on(after=LEAVE_TO_OTHERS if stopping.is_set() else timedelta()):
                run.refresh_from_db()
                send(run)
        elif isinstance(exception, RunTaken):
            logger.warning("run taken by another process", task=run.task, run=run.pk)
        else:
            self._close_failed(broker, message, run, exception)

    def _close_failed(
        self, broker: Broker, message: MessageProxy, run: TaskRun, exception: BaseException
    ) -> None:
        """Have the run tried again, or fail it for good."""
        options = {**broker.get_actor(run.task).options, **message.options}
        now = TaskRun.objects.only("crashes", "failures").get(pk=run.pk)
        error = "".join(traceback.format_exception(exception))
        expected = options.get("throws") or ()
        if isinstance(exception, INTERRUPTIONS) and not isinstance(exception, expected):
            if now.crashes + 1 < MOST_CRASHES:
                run.interrupt(error, after=INTERRUPTED)
                return
        elif not isinstance(exception, expected) and now.failures < options.get(
            "max_retries", MOST_RETRIES
        ):
            run.retry(error, after=backoff(options, now.failures))
            return
        # Not by message.fail(), which makes it a dead letter: all there is to know is in the row.
        if run.fail(error) or ended_here(run):
            store_exception(run, exception)


def insist[R](do: Callable[[], R]) -> R:
    """Do something with the database; while it is away, wait, unless this process is to stop.

    Raises:
        OperationalError, InterfaceError: it is away, and this process is to stop.
    """
    while True:
        try:
            done = do()
        except DATABASE_AWAY as error:
            outages.report("database", error)
            drop_connection()
            if stopping.wait(LOOK_AGAIN):
                raise
        else:
            outages.over("database")
            return done


def ended_here(run: TaskRun) -> bool:
    """Say whether the run has been ended by this attempt: the answer got lost on its way here."""
    return TaskRun.objects.filter(pk=run.pk, attempts=run.attempts).finished().exists()


def backoff(options: Mapping[str, Any], failures: int) -> timedelta:
    """Return how long to wait after so many earlier failures: twice as long each time."""
    shortest = options.get("min_backoff", SHORTEST_BACKOFF)
    longest = options.get("max_backoff", LONGEST_BACKOFF)
    return timedelta(milliseconds=min(shortest * 2**failures, longest))


def sent_at(message: MessageProxy) -> datetime:
    """Return when a message was first sent."""
    return datetime.fromtimestamp(message.message_timestamp / 1000, tz=UTC)
