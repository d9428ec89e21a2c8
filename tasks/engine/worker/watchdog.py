"""Ends a worker process that is stuck, so that its supervisor starts another.

A thread looks once a second whether the process's threads do their work, and touches the process's
alive-file if they do. It counts its own seconds, so that time in which the process was frozen does
not count. Long runs, a full queue and an outage of the database or the broker are no faults. A
process that is frozen as a whole cannot end itself: its alive-file shows it (see `alive.py`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import structlog
from dramatiq import Worker
from redis.exceptions import RedisError

from tasks.engine.alive import VARIABLE, file_of_this_process
from tasks.engine.broker.waking import current_broker
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: The process ends itself when a queue was not asked for messages for this long, by the watchdog's
#: own seconds in which the broker answered.
STUCK_SECONDS = 60

#: From here on, the broker is asked whether the wait is its fault.
DOUBTFUL_SECONDS = 10

#: How long the last line may take: a log that nobody reads must not keep the process.
LAST_LINE_SECONDS = 2.0


class Watchdog:
    """Watches the threads of one worker process."""

    def __init__(self, worker: Worker, heartbeat: Heartbeat) -> None:
        self._worker = worker
        self._heartbeat = heartbeat
        self._stopped = Event()
        self._polls: dict[str, int] = {}
        self._seconds: dict[str, int] = {}
        folder = os.environ.get(VARIABLE)
        self._alive_file = file_of_this_process(Path(folder)) if folder else None

    def start(self) -> None:
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def fault(self) -> str:
        """Look once; return why the process is stuck, empty if it is not."""
        return next(self._faults(), "")

    def _watch(self) -> None:
        while True:
            fault = self.fault()
            # Asked last: threads end because the worker stops, perhaps while they are looked at.
            if self._stopped.is_set():
                return
            if fault:
                end_process(fault)
            self._touch()
            if self._stopped.wait(1):
                return

    def _faults(self) -> Iterator[str]:
        if not self._heartbeat.is_beating:
            yield "the thread of its heartbeat has ended"
        if not all(thread.is_alive() for thread in self._worker.workers):
            yield "a thread that processes messages has ended"
        for queue, thread in self._worker.consumers.items():
            if not thread.is_alive():
                yield f"the thread that fetches from the queue {queue} has ended"
            elif self._seconds_without_poll(queue) >= STUCK_SECONDS:
                yield f"the queue {queue} was not asked for messages for {STUCK_SECONDS} s"

    def _seconds_without_poll(self, queue: str) -> int:
        polls = current_broker().active(queue).polls
        seconds = 0 if polls != self._polls.get(queue) else self._seconds.get(queue, 0) + 1
        if seconds >= DOUBTFUL_SECONDS and not self._broker_answers():
            seconds = DOUBTFUL_SECONDS  # It waits for the broker, and needs a while afterwards.
        self._polls[queue], self._seconds[queue] = polls, seconds
        return seconds

    @staticmethod
    def _broker_answers() -> bool:
        try:
            current_broker().short_timeout_client.ping()
        except RedisError:
            return False
        return True

    def _touch(self) -> None:
        if self._alive_file:
            try:
                self._alive_file.touch()
            except OSError as error:  # The health check fails, then.
                outages.report("alive-file", error)
            else:
                outages.resolve("alive-file")


def end_process(reason: str) -> None:
    """End this process with one line; Dramatiq's master then stops the others and exits."""
    line = Thread(target=logger.critical, args=["worker stuck"], kwargs={"reason": reason})
    line.daemon = True
    line.start()
    line.join(LAST_LINE_SECONDS)
    os._exit(1)
