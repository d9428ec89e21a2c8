"""Keeps the run ledger in a worker, so that actors hold no bookkeeping."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, connections
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Shutdown, SkipMessage, TimeLimitExceeded
from redis.exceptions import RedisError

from tasks.engine.database import database_now
from tasks.engine.errors import error_name, format_error
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import MOST_CRASHES, Process, ProcessKind, State, TaskRun, Trigger
from tasks.engine.outages import DATABASE_AWAY, is_locked, outages, refuses_everyone
from tasks.engine.runs.enqueue import arguments, send
from tasks.engine.runs.execution import (
    Continued,
    Execution,
    Rewound,
    RunTakenOver,
    Stopped,
    set_current,
    stopping,
)
from tasks.engine.runs.results import store_exception, store_result

logger = structlog.get_logger(__name__)

#: Nothing that the actor did wrong: the run is tried again without counting it as a failure.
INTERRUPTIONS = (*DATABASE_AWAY, RedisError, Shutdown)

#: Before a run goes on that was interrupted: three times as long after each interruption without
#: getting any further, so that a table locked for two minutes does not use all of them up.
FIRST_INTERRUPTION = timedelta(seconds=5)
LONGEST_INTERRUPTION = timedelta(seconds=60)

#: Before the relay sends on a run that a worker gave up because it is to stop.
SHUTDOWN_DELAY = timedelta(seconds=1)

#: For actors that say no limits of their own; milliseconds, as Dramatiq counts.
MOST_RETRIES = 3
SHORTEST_BACKOFF = 15_000
LONGEST_BACKOFF = 60 * 60 * 1000

#: Before a run is sent again whose task the worker that got it does not know.
UNKNOWN_TASK_DELAY = timedelta(seconds=5)


class WorkerLedger:
    """Opens and closes runs in one worker process.

    Each thread knows which run it works on (`tasks/engine/runs/execution.py`). One message may be
    at work twice in a process, once for each attempt; each attempt closes only itself.
    """

    def __init__(self) -> None:
        self._heartbeat: Heartbeat | None = None
        #: Attempts that a thread of this process is at, or is taking up: the run and its number.
        self._active: set[tuple[int, int]] = set()
        self._lock = Lock()
        #: Those of this process's runs that no thread was at when it last looked.
        self._strays: set[tuple[int, int]] = set()

    def enter(self, *, queues: Collection[str], tasks: Collection[str]) -> None:
        """Say that this worker is there, which queues it serves and which tasks it knows."""
        self._heartbeat = Heartbeat(
            ProcessKind.WORKER, queues=queues, tasks=tasks, on_beat=self._put_strays_back
        )
        self._heartbeat.begin()

    def stop(self) -> None:
        """Have runs stop at their next step."""
        stopping.set()

    def leave(self) -> None:
        """Say that this worker is gone; runs that it could not finish are free for others."""
        if self._heartbeat:
            self._heartbeat.end()

    def open(self, message: MessageProxy) -> None:
        """Take a message's run up.

        Raises:
            SkipMessage: it is finished, or another process is at it.
        """
        set_current(None)
        if uuid_from(message.message_id) is None:
            message.fail()  # So that it becomes a dead letter.
            raise SkipMessage("no message of Dramatiq's own: its id is no UUID")
        reserved: set[tuple[int, int]] = set()
        execution = None
        try:
            execution = outages.retry_until_database_returns(
                lambda: self._open(message, reserved), until=stopping
            )
        except Exception as error:
            # Without its run it must not be worked on. The relay will find it missing.
            message.options["store_results"] = False
            logger.exception("run not opened", task=message.actor_name)
            raise SkipMessage from error
        finally:
            self._release(reserved - {execution.attempt} if execution else reserved)
        if execution is None:
            message.options["store_results"] = False
            raise SkipMessage(f"{message.actor_name} is done, or being done elsewhere")
        set_current(execution)

    def close(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object,
        exception: BaseException | None,
    ) -> None:
        """Write how the attempt that this thread is at ended, if it is at one."""
        execution = set_current(None)
        if execution is None:
            return
        run = execution.run
        try:
            outages.retry_until_database_returns(
                lambda: self._close(broker, message, execution, result, exception),
                until=stopping,
            )
        except DATABASE_AWAY:
            raise  # And this process is to stop: the relay takes the run from it.
        except Exception as failure:
            # Such as a result that the database cannot hold. Nobody else would end this run.
            error = format_error(failure)
            logger.exception("run not closed", task=run.task, run=run.pk)
            outages.retry_until_database_returns(lambda: run.fail(error), until=stopping)
            message.options["store_results"] = False
        finally:
            # Not before: until then it is this thread's to end.
            self._release({execution.attempt})

    def close_unrecorded(
        self, message: MessageProxy, *, result: object, exception: BaseException | None
    ) -> None:
        """Close the run of an actor that is not recorded, if somebody asked for it by a run."""
        message_id = uuid_from(message.message_id)
        if message_id is None:
            return
        with outages.reporting():
            if exception is None:
                TaskRun.objects.succeed_unrecorded(message_id, result)
            else:
                error = format_error(exception)
                TaskRun.objects.fail_unrecorded(message_id, error)

    def give_back(self, message: MessageProxy) -> None:
        """Leave a run whose actor this process does not know to one that does.

        Called by the thread that fetches messages, which uses no database otherwise.
        """
        message_id, delivery = (
            uuid_from(text) for text in (message.message_id, message.options.get("delivery"))
        )
        if message_id is None or delivery is None:
            return
        try:
            with outages.reporting():
                for run in TaskRun.objects.filter(message_id=message_id):
                    if run.give_back(after=UNKNOWN_TASK_DELAY, delivery=delivery):
                        logger.warning("unknown task given back", task=run.task, run=run.pk)
        finally:
            connections.close_all()

    def _open(self, message: MessageProxy, reserved: set[tuple[int, int]]) -> Execution | None:
        """Take the message's run up; None where that is not to be.

        Args:
            message: which.
            reserved: the attempts that this thread was about to begin when the database went away.
        """
        if self._heartbeat is None:
            raise RuntimeError("a message came before the worker had booted")
        delivery = uuid_from(message.options.get("delivery"))
        run = self._run_of(message, UUID(message.message_id), delivery)
        if run is None:
            return None
        if run.is_finished:
            store_result(run)
            return None
        # It may have begun, and the database's answer have got lost.
        begun = (run.pk, run.attempts) in reserved and run.held_by == self._heartbeat.id
        if not begun and not self._begin(run, delivery, self._heartbeat, reserved):
            return None
        return Execution(run, self._heartbeat)

    def _begin(
        self,
        run: TaskRun,
        delivery: UUID | None,
        heartbeat: Heartbeat,
        reserved: set[tuple[int, int]],
    ) -> bool:
        """Begin the next attempt at a run; return whether it is this thread's."""
        if not self._reserve((run.pk, run.attempts + 1), reserved):
            return False
        try:
            if run.start(heartbeat.id, delivery=delivery):
                return True
        except OperationalError as error:
            if not is_locked(error):
                raise
            # The relay sends it again when whoever holds its row has let go.
            logger.warning("run locked by somebody else", task=run.task, run=run.pk)
            return False
        # Others may have taken this process for dead; whoever takes a run up must be alive.
        if Process.objects.alive().filter(pk=heartbeat.id).exists():
            return False
        heartbeat.beat()
        return run.start(heartbeat.id, delivery=delivery)

    def _put_strays_back(self) -> None:
        """Have runs started again that are this process's by their row, and that no thread is at.

        Such as after a fail-over to a database that does not have the end of a run. A run that was
        one at two looks is one: the ledger's own changes take no time between them.
        """
        if self._heartbeat is None:
            return
        held = TaskRun.objects.filter(state=State.RUNNING, held_by=self._heartbeat.id)
        rows = set(held.values_list("pk", "attempts"))
        with self._lock:
            strays = rows - self._active
        for pk, attempts in strays & self._strays:
            for run in held.filter(pk=pk, attempts=attempts):
                if run.continue_later(after=timedelta()):
                    logger.warning("run at which nobody is, put back", task=run.task, run=pk)
        self._strays = strays

    def _reserve(self, attempt: tuple[int, int], reserved: set[tuple[int, int]]) -> bool:
        """Begin an attempt in this process, unless another thread is about to, or at it."""
        with self._lock:
            if attempt in self._active - reserved:
                return False
            self._active.add(attempt)
            reserved.add(attempt)
        return True

    def _release(self, attempts: set[tuple[int, int]]) -> None:
        """Have done with attempts."""
        with self._lock:
            self._active -= attempts

    def _run_of(
        self, message: MessageProxy, message_id: UUID, delivery: UUID | None
    ) -> TaskRun | None:
        """Return a message's run; None where there should be one and is none."""
        run = TaskRun.objects.filter(message_id=message_id).first()
        if run or delivery is None:
            return run or self._record(message, message_id)
        # Its row was committed before it was sent, and is gone: the database has lost its last
        # moments. The slot is claimed again, or whoever asked for the run knows that it failed.
        logger.error("message without its run dropped", task=message.actor_name, id=str(message_id))
        return None

    def _record(self, message: MessageProxy, message_id: UUID) -> TaskRun:
        """Write the row of a message that was sent by hand."""
        # By the clock of whoever sent it: what is still to come is not to be touched.
        sent = min(sent_at(message), database_now())
        run, _ = TaskRun.objects.get_or_create(
            message_id=message_id,
            defaults={
                "task": message.actor_name,
                "trigger": Trigger.API,
                "queue": message.queue_name,
                "arguments": arguments(message),
                "state": State.QUEUED,
                "sends": 1,
                "created_at": sent,
                "sent_at": sent,
            },
        )
        return run

    def _close(
        self,
        broker: Broker,
        message: MessageProxy,
        execution: Execution,
        result: object,
        exception: BaseException | None,
    ) -> None:
        run = execution.run
        if exception is None and execution.is_kept():
            if not run.succeed(result) and not ended_here(run):
                message.options["store_results"] = False
        elif exception is None or isinstance(exception, Continued | Rewound):
            message.options["store_results"] = False
            # Not by way of a worker that is about to end: it would fetch its own message again.
            if run.continue_later(after=SHUTDOWN_DELAY if stopping.is_set() else timedelta()):
                run.refresh_from_db()
                send(run)
        elif isinstance(exception, Stopped):
            if run.end_stopped():
                run.refresh_from_db()
                store_result(run)
        elif isinstance(exception, RunTakenOver):
            logger.warning("run taken by another process", task=run.task, run=run.pk)
        else:
            self._close_failed(broker, message, execution, exception)

    def _is_interruption(self, exception: BaseException, execution: Execution) -> bool:
        """Say whether an attempt ended by nothing that the actor did wrong.

        Its time limit is none of its doing, either, if the time went by while the database was away
        or the process frozen.
        """
        if isinstance(exception, TimeLimitExceeded):
            return self._heartbeat is not None and self._heartbeat.was_held_up_since(
                execution.begun
            )
        return isinstance(exception, INTERRUPTIONS)

    def _close_failed(
        self,
        broker: Broker,
        message: MessageProxy,
        execution: Execution,
        exception: BaseException,
    ) -> None:
        """Have the run tried again, or fail it for good."""
        run = execution.run
        options = {**broker.get_actor(run.task).options, **message.options}
        crashes = TaskRun.objects.values_list("crashes", flat=True).get(pk=run.pk)
        error = format_error(exception)
        expected = options.get("throws") or ()
        if self._is_interruption(exception, execution) and not isinstance(exception, expected):
            counted = not refuses_everyone(exception)
            after = min(FIRST_INTERRUPTION * 3**crashes, LONGEST_INTERRUPTION)
            if not counted or crashes + 1 < MOST_CRASHES:
                logger.warning(
                    "run interrupted", task=run.task, run=run.pk, reason=error_name(exception)
                )
                run.interrupt(error, after=after, counted=counted)
                return
        elif not isinstance(exception, expected) and run.failures < options.get(
            "max_retries", MOST_RETRIES
        ):
            run.retry(error, after=backoff(options, run.failures))
            return
        # Not by message.fail(), which makes it a dead letter: all there is to know is in the row.
        if run.fail(error) or ended_here(run):
            store_exception(run, exception)


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


def uuid_from(text: object) -> UUID | None:
    """Return the UUID that a text is; None if it is none."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
