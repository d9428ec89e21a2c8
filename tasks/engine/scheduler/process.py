"""The scheduler process: claims each slot on time, and relays.

APScheduler calls `_on_time` at the moment of each slot. `tick` does everything else, every two
seconds of monotonic time: it picks up changed schedules, claims the slots that were missed, relays,
and corrects APScheduler's plan when the machine's clock has been changed.
"""

import faulthandler
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from time import sleep
from types import FrameType

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.blocking import BlockingScheduler
from django.db import close_old_connections, connections
from django.utils import timezone
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.engine.alerts.process import Alerts
from tasks.engine.database import database_now
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, Schedule, TaskRun
from tasks.engine.outages import outages
from tasks.engine.runs.enqueue import publish
from tasks.engine.scheduler.claims import claim, reset_after_clock_change
from tasks.engine.scheduler.counting import HourlyCounts
from tasks.engine.scheduler.defaults import add_missing_schedules, default_schedules
from tasks.engine.scheduler.relay import CONFIRM_SECONDS, Relay

logger = structlog.get_logger(__name__)

#: Between two ticks.
TICK_SECONDS = 2.0

#: How long the process waits for the last tick when it stops.
LAST_TICK_SECONDS = 5.0

#: The process ends itself when a tick takes longer than this.
STUCK_SECONDS = 60

CLAIMING_THREADS = 4

#: APScheduler calls this long before a slot, so that the thread is ready when the slot comes.
LEAD = timedelta(milliseconds=50)

#: The longest wait for a slot whose moment has not come by the database's clock.
LONGEST_WAIT_SECONDS = 1.0

#: A planned slot that is off by more than this is planned again.
TOLERANCE = timedelta(milliseconds=200)


class Scheduler:
    """One scheduler; others may run at the same time.

    `run_once` and `tick` raise OperationalError or InterfaceError while the database is away, and
    redis.RedisError while the broker is.
    """

    def __init__(self, *, alive_file: Path | None = None) -> None:
        """Prepare a scheduler that touches `alive_file` at every tick, for a health check.

        Raises:
            ImproperlyConfigured: an entry of `TASKS_SCHEDULES` is wrong.
        """
        default_schedules()
        self._alive_file = alive_file
        self._heartbeat = Heartbeat(ProcessKind.SCHEDULER)
        self._relay = Relay(self._heartbeat.contact)
        self._counts = HourlyCounts()
        self._alerts = Alerts()
        self._stopped = Event()
        self._ticks = 0
        self._set_up = False
        #: The database's clock less this machine's.
        self._ahead = timedelta()
        self._clock = BlockingScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(CLAIMING_THREADS)},
            # A job that is late still runs. Two of a schedule may: while one waits for its slot,
            # a tick may plan the next.
            job_defaults={"misfire_grace_time": None, "max_instances": 2},
        )

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        ticking = Thread(target=self._keep_ticking, name="tick", daemon=True)
        with self._heartbeat, self._alerts:
            ticking.start()
            Thread(target=self._watch, name="watchdog", daemon=True).start()
            logger.info("scheduler started")
            self._clock.start()
            ticking.join(LAST_TICK_SECONDS)
        logger.info("scheduler stopped")

    def run_once(self) -> None:
        """Claim and relay, and return."""
        add_missing_schedules()
        self._claim_due_slots(database_now())
        self._relay.run()
        if TaskRun.objects.held_by_silent().exists():
            self._release_orphans()

    def _release_orphans(self) -> None:
        """Release orphans; wait first until a live process would have written a heartbeat."""
        with self._heartbeat:
            while self._heartbeat.contact.gone_before() is None:
                sleep(1)
            self._relay.run()
            sleep(CONFIRM_SECONDS)
            self._relay.run()

    def tick(self) -> None:
        """Claim the slots that were missed, plan the next ones, relay, and count the last hours."""
        if not self._set_up:
            add_missing_schedules()
            self._set_up = True
        now = database_now()
        self._ahead = now - timezone.now()
        self._plan(self._claim_due_slots(now))
        self._relay.run()
        self._counts.run()

    def _claim_due_slots(self, now: datetime) -> list[Schedule]:
        """Claim the slots that have come; return the enabled schedules that are usable."""
        usable = []
        for schedule in Schedule.objects.active():
            try:
                get_broker().get_actor(schedule.task)
                latest = next(schedule.starts_until(now), None)
            except (ActorNotFound, ValueError) as error:
                # A task of another version of the code, or a time zone that no longer exists.
                outages.report(f"schedule of {schedule}", error, how="unusable")
                continue
            usable.append(schedule)
            reset_after_clock_change(schedule, now)
            if latest and latest > schedule.handled_until:
                self._try_to_claim(schedule.pk)
        return usable

    def _keep_ticking(self) -> None:
        while not self._stopped.is_set():
            try:
                with outages.reporting(written=False):
                    self.tick()
            except Exception:
                logger.exception("tick failed")  # The next one may succeed.
            close_old_connections()
            self._ticks += 1
            if self._alive_file:
                self._alive_file.touch()
            self._stopped.wait(TICK_SECONDS)
        connections.close_all()

    def _plan(self, schedules: Iterable[Schedule]) -> None:
        planned = {job.id: job for job in self._clock.get_jobs()}
        for schedule in schedules:
            job = planned.pop(str(schedule.pk), None)
            moment = self._next_start(schedule)
            if moment is None:  # Once, and that was it.
                continue
            if job and job.next_run_time and abs(job.next_run_time + LEAD - moment) < TOLERANCE:
                continue
            self._plan_slot(moment, schedule.pk)
        for job in planned.values():
            with suppress(JobLookupError):  # It has just started.
                job.remove()

    def _next_start(self, schedule: Schedule) -> datetime | None:
        """Return when the next slot is to be claimed, by this machine's clock; None if none is."""
        start = schedule.next_start(timezone.now() + self._ahead)
        return start - self._ahead if start else None

    def _plan_slot(self, moment: datetime, schedule_id: int) -> None:
        self._clock.add_job(
            self._on_time,
            "date",
            run_date=moment - LEAD,
            args=[schedule_id, moment],
            id=str(schedule_id),
            replace_existing=True,
        )

    def _on_time(self, schedule_id: int, moment: datetime) -> None:
        """Claim the slot that comes at this moment, by this machine's clock, and plan the next."""
        with outages.reporting(written=False):
            close_old_connections()
            # The database's clock decides.
            early = (moment + self._ahead - database_now()).total_seconds()
            if early > 0:
                sleep(min(early, LONGEST_WAIT_SECONDS))
            self._try_to_claim(schedule_id)
            schedule = Schedule.objects.active().filter(pk=schedule_id).first()
            start = self._next_start(schedule) if schedule else None
            if start and not self._stopped.is_set():
                self._plan_slot(start, schedule_id)

    def _try_to_claim(self, schedule_id: int) -> None:
        """Claim a schedule's slots, unless its row is locked or its actor refuses the message."""
        name = f"schedule {schedule_id}"
        try:
            with outages.skipping_locked(name):
                run = claim(schedule_id)
                if run and publish(run):
                    sent = str(run.message_id)
                    logger.info("run published", task=run.task, run=run.pk, message_id=sent)
        except (TypeError, ValueError) as error:
            outages.report(name, error, how="unusable")

    def _watch(self) -> None:
        """End the process, so that it is restarted, if a tick does not end.

        This counts its own seconds, so that time in which the process was frozen does not count.
        """
        seen, seconds = self._ticks, 0
        while not self._stopped.wait(1):
            seconds = 0 if self._ticks != seen else seconds + 1
            seen = self._ticks
            if seconds >= STUCK_SECONDS:
                logger.critical("scheduler stuck", seconds=seconds)
                faulthandler.dump_traceback()
                os._exit(1)

    def _stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a handler's form)
        self._stopped.set()
        # In a thread: shutting down waits for a lock that the interrupted code may hold.
        Thread(target=self._shut_down, name="stop", daemon=True).start()

    def _shut_down(self) -> None:
        while not self._clock.running:  # The signal came while it started.
            sleep(0.05)
        # Waiting would hold APScheduler's locks, which an active claim may need to plan its next
        # slot. The interpreter waits for that claim before it exits.
        self._clock.shutdown(wait=False)
