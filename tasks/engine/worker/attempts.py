"""Records the attempts of one worker process, so that actors need no bookkeeping."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import connections
from dramatiq import Broker, MessageProxy, Worker
from dramatiq.middleware import SkipMessage
from structlog.contextvars import bind_contextvars

from tasks.engine.database import DATABASE_AWAY
from tasks.engine.errors import error_name, format_error
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, State, TaskRun
from tasks.engine.outages import outages
from tasks.engine.runs.execution import LOST_STEPS, Execution, set_current, shutting_down
from tasks.engine.runs.result_backend import RunFailed
from tasks.engine.runs.results import store_exception
from tasks.engine.worker.active import ActiveAttempts, Attempt
from tasks.engine.worker.closing import close_attempt
from tasks.engine.worker.control import Control, command_pid
from tasks.engine.worker.intake import NotTaken, check_paused, check_taken, give_back
from tasks.engine.worker.opening import open_attempt, uuid_from
from tasks.engine.worker.watchdog import Watchdog

logger = structlog.get_logger(__name__)

#: Before a run is published again, if the worker that got its message does not know its task.
UNKNOWN_TASK_DELAY = timedelta(seconds=5)


class Attempts:
    """Opens and closes the attempts of one worker process.

    Each thread knows its run (`tasks/engine/runs/execution.py`). A process may work on a message
    twice, once for each attempt; each attempt closes only itself.
    """

    def __init__(self) -> None:
        self._heartbeat: Heartbeat | None = None
        self._watchdog: Watchdog | None = None
        self._control: Control | None = None
        self._active = ActiveAttempts()

    def start(self, *, queues: Collection[str], tasks: Collection[str]) -> None:
        self._heartbeat = Heartbeat(
            ProcessKind.WORKER,
            queues=queues,
            tasks=tasks,
            command_pid=command_pid(),
            on_beat=self._put_strays_back,
        )
        self._heartbeat.start()

    def watch(self, worker: Worker) -> None:
        """Have a watchdog end this process when its threads are stuck; heed what operators ask."""
        if self._heartbeat:
            self._control = Control(worker, self._heartbeat)
            self._control.start()
            self._watchdog = Watchdog(worker, self._heartbeat)
            self._watchdog.start()

    def shut_down(self) -> None:
        """Let runs end at their next step; what stops may take its time."""
        if self._watchdog:
            self._watchdog.stop()
        if self._control:
            self._control.stop()
        shutting_down.set()

    def stop(self) -> None:
        """Stop the heartbeat; other workers may continue the runs that this one did not finish."""
        if self._heartbeat:
            self._heartbeat.stop()

    def open(self, message: MessageProxy) -> None:
        """Start an attempt at a message's run.

        Raises:
            SkipMessage: the run has ended, another attempt at it is active, it cannot be read, or
                its queue is paused.
        """
        set_current(None)
        if uuid_from(message.message_id) is None:
            message.fail()  # So that it becomes a dead letter.
            raise SkipMessage("not a Dramatiq message: its id is not a UUID")
        reserved: set[Attempt] = set()
        execution = None
        try:
            execution = outages.retry_until_database_returns(
                lambda: self._open(message, reserved), until=shutting_down, written=False
            )
        except NotTaken as error:
            message.options["store_results"] = False
            give_back(message)
            raise SkipMessage(str(error)) from error
        except Exception as error:
            # Without its run the message must not be processed. The relay resends the run.
            message.options["store_results"] = False
            logger.exception("run not opened", task=message.actor_name)
            raise SkipMessage from error
        finally:
            self._active.release(reserved - {execution.attempt} if execution else reserved)
        if execution is None:
            message.options["store_results"] = False
            raise SkipMessage(f"{message.actor_name} has ended, or another process works on it")
        set_current(execution)
        bind_contextvars(run=execution.run_id, attempt=execution.run.attempts)
        if execution.run.request_id:
            bind_contextvars(request_id=execution.run.request_id)

    def _open(self, message: MessageProxy, reserved: set[Attempt]) -> Execution | None:
        if self._heartbeat is None:
            raise RuntimeError("a message came before the worker had booted")
        check_taken(message.queue_name)
        execution = open_attempt(message, self._heartbeat, self._active, reserved)
        if execution is None:
            check_paused(message.queue_name)  # Then that is why, and the run still waits.
        return execution

    def close(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object,
        exception: BaseException | None,
    ) -> None:
        """Record how this thread's attempt ended, if it has one."""
        execution = set_current(None)
        if execution is None:
            return
        run = execution.run
        try:
            outages.retry_until_database_returns(
                lambda: close_attempt(broker, message, execution, result, exception),
                until=shutting_down,
            )
        except DATABASE_AWAY:
            raise  # This process is to stop: the relay releases the run.
        except Exception as failure:
            # Nothing else would end this run.
            what = "Its result" if exception is None else "Its end"
            reason = f"{what} cannot be stored: {error_name(failure)}."
            error = f"{format_error(failure)}{reason}"
            logger.exception("run not closed", task=run.task, run=run.pk)
            outages.retry_until_database_returns(
                lambda: run.fail(error, why=reason), until=shutting_down
            )
            message.options["store_results"] = False
            store_exception(run, RunFailed(reason))
        finally:
            # Not before: until then this thread has to end it.
            self._active.release({execution.attempt})

    @staticmethod
    def close_unrecorded(
        message: MessageProxy, *, result: object, exception: BaseException | None
    ) -> None:
        """End the run of an actor that is not recorded, if the message has one."""
        message_id = uuid_from(message.message_id)
        if message_id is None:
            return
        with outages.reporting():
            if exception is None:
                TaskRun.objects.succeed_unrecorded(message_id, result)
            else:
                error = format_error(exception)
                TaskRun.objects.fail_unrecorded(message_id, error, why=error_name(exception))

    @staticmethod
    def give_back(message: MessageProxy) -> None:
        """Leave the run of an actor that this process does not know to a worker that does.

        Called by the thread that fetches messages, which uses no database otherwise.
        """
        message_id = uuid_from(message.message_id)
        delivery = uuid_from(message.options.get("delivery"))
        if message_id is None or delivery is None:
            return
        try:
            with outages.reporting(written=False):
                for run in TaskRun.objects.filter(message_id=message_id):
                    if run.give_back(after=UNKNOWN_TASK_DELAY, delivery=delivery):
                        logger.warning("run of an unknown task returned", task=run.task, run=run.pk)
        finally:
            connections.close_all()

    def _put_strays_back(self, process: UUID) -> None:
        """Put runs back that are this process's by their rows, and that no thread works on.

        This happens after a failover to a database that does not have the end of a run.
        """
        held = TaskRun.objects.filter(state=State.RUNNING, held_by=process)
        strays = self._active.find_strays(set(held.values_list("pk", "attempts")))
        for pk, attempts in strays:
            for run in held.filter(pk=pk, attempts=attempts):
                if run.continue_later(after=timedelta(), interrupted_by=LOST_STEPS):
                    logger.warning("stray run released", task=run.task, run=pk)
