"""Does what operators ask of a worker process: leave a paused queue alone; finish and leave.

A thread reads both from the database every two seconds. While that is away, what was last read
holds. Whatever this process has read, the statement that starts an attempt (`TaskRun.start`) asks
for the pause, so that no run of a queue starts after it is committed.
"""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty
from threading import Event, Thread

import structlog
from django.db import connections
from dramatiq import Worker

from tasks.engine.broker.messages import id_of
from tasks.engine.broker.waking import current_broker
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import Process, Queue, State, TaskRun
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: Between two looks.
LOOK_SECONDS = 2.0


class Control:
    """The control of one worker process."""

    def __init__(self, worker: Worker, heartbeat: Heartbeat) -> None:
        self._worker = worker
        self._heartbeat = heartbeat
        self._intake = current_broker().intake
        self._stopped = Event()
        #: Of the workers of one command that leave together, one ends the command.
        self._leads = False

    def start(self) -> None:
        Thread(target=self._look_on, name="control", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> None:
        """Look once at what is asked, and do it.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        self._intake.set_paused(Queue.objects.paused().values_list("name", flat=True))
        me = Process.objects.filter(pk=self._heartbeat.id).first()
        if me and me.leave_requested_at and not self._intake.is_shut:
            logger.info("worker finishing, to leave")
            together = workers_with(me)
            self._leads = not together or together[0].pk == me.pk
            self._intake.shut()
        if self._intake.is_restricted:
            self._give_back()
        if me and self._intake.is_shut:
            Process.objects.note_leaving(me.pk)
            if self._leads and have_finished(workers_with(me)):
                self._end_command()

    def _look_on(self) -> None:
        while not self._stopped.is_set():
            try:
                with outages.reporting(written=False):
                    self.look()
            except Exception:
                logger.exception("control failed")  # The next look may succeed.
            self._stopped.wait(LOOK_SECONDS)
        connections.close_all()

    def _give_back(self) -> None:
        """Give back the messages that wait for a thread here, and may not be begun."""
        broker, work_queue, items = current_broker(), self._worker.work_queue, []
        with suppress(Empty):
            while True:
                items.append(work_queue.get_nowait())
        for item in items:
            name = item.message.queue_name
            if self._intake.takes_from(name):
                work_queue.put(item)
            else:
                broker.active(name).give_back(id_of(item.message))
            work_queue.task_done()

    def _end_command(self) -> None:
        """Have Dramatiq end all of the command's workers in order, unless it does so already.

        A process that ended alone would take the others with it. The signal is sent once: Dramatiq
        passes each on, and a worker dies of a second one.
        """
        if not self._stopped.is_set():
            self._leads = False
            logger.info("workers leaving: they have finished")
            os.kill(command_pid(), signal.SIGTERM)


def workers_with(process: Process) -> Sequence[Process]:
    """Return the workers that leave with one, and itself, the one that leads first.

    One that was silent when the others were asked is asked now.
    """
    together = Process.objects.workers_of_command(process)
    together.request_leave(by=process.leave_requested_by_id)
    return list(together.order_by("pid"))


def have_finished(workers: Sequence[Process]) -> bool:
    """Say whether workers that leave have taken note of that, and have no run in hand."""
    at_work = TaskRun.objects.filter(state=State.RUNNING, held_by__in=[one.pk for one in workers])
    return all(one.leaving_since for one in workers) and not at_work.exists()


def command_pid() -> int:
    """Return the process that ends this one in order: Dramatiq's, which has started it, or this."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent and parent.pid and parent.is_alive() else os.getpid()
