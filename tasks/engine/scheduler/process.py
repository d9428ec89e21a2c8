"""The scheduler process: claims each slot as it comes, and relays.

APScheduler wakes us at the moment of each slot. Everything else is done by `tick`, every two
seconds of monotonic time: it takes up changed schedules, claims what was missed while nobody was
there, relays, and sets APScheduler right if the machine's clock has been changed.
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

from tasks.engine.database import database_now
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, Schedule, TaskRun
from tasks.engine.outages import outages
from tasks.engine.runs.enqueue import publish
from tasks.engine.scheduler.claims import claim, reset_after_clock_change
from tasks.engine.scheduler.relay import CONFIRM_SECONDS, Relay
from tasks.schedules import SCHEDULES, add_missing_schedules

logger = structlog.get_logger(__name__)

#: Between two ticks (seconds).
TICK_SECONDS = 2.0

#: How long (seconds) the last tick may go on when the process is to stop.
LAST_TICK_SECONDS = 5.0

#: A tick that takes longer than this (seconds) is stuck.
STUCK_SECONDS = 60

#: We are woken so much before a slot, to be ready when it comes.
LEAD = timedelta(milliseconds=50)

#: By how much the plan of a slot may be off before it is made anew.
TOLERANCE = timedelta(milliseconds=200)


class Scheduler:
    """One scheduler; others may run beside it."""

    def __init__(self, *, alive_file: Path | None = None) -> None:
        """Prepare it.

        Args:
            alive_file: touched at every tick, for a health check to look at.

        Raises:
            ActorNotFound: a schedule of `tasks/schedules.py` names a task that no actor does.
        """
        for default in SCHEDULES:
            get_broker().get_actor(default.task)
        self._alive_file = alive_file
        self._heartbeat = Heartbeat(ProcessKind.SCHEDULER)
        self._relay = Relay(self._heartbeat.contact)
        self._stopped = Event()
        self._ticks = 0
        self._set_up = False
        #: What to take from the database's time to have this machine's.
        self._ahead = timedelta()
        # Late or not, what is planned is done; several threads are for slots that come together.
        self._clock = BlockingScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(4)},
            # Two of a schedule: a tick may plan the slot that one is just waiting for.
            job_defaults={"misfire_grace_time": None, "max_instances": 2},
        )

    def run(self) -> None:
        """Work until told to stop (SIGTERM or SIGINT)."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        ticking = Thread(target=self._tick_on, name="tick", daemon=True)
        with self._heartbeat:
            ticking.start()
            Thread(target=self._watch, name="watchdog", daemon=True).start()
            logger.info("scheduler started")
            self._clock.start()
            ticking.join(LAST_TICK_SECONDS)
        logger.info("scheduler stopped")

    def run_once(self) -> None:
        """Claim and relay once.

        Raises:
            OperationalError, InterfaceError: the database is away.
            redis.RedisError: the broker is away.
        """
        add_missing_schedules()
        self._claim_what_is_due(database_now())
        self._relay.run()
        if TaskRun.objects.held_by_silent().exists():
            self._release_orphans()

    def _release_orphans(self) -> None:
        """Stay until it is known who is gone: whoever is there is heard of within a liveness."""
        with self._heartbeat:
            while self._heartbeat.contact.gone_before() is None:
                sleep(1)
            self._relay.run()
            sleep(CONFIRM_SECONDS)
            self._relay.run()

    def tick(self) -> None:
        """Do what is to be done every so often; see the module."""
        if not self._set_up:
            add_missing_schedules()
            self._set_up = True
        now = database_now()
        self._ahead = now - timezone.now()
        self._plan(self._claim_what_is_due(now))
        self._relay.run()

    def _claim_what_is_due(self, now: datetime) -> list[Schedule]:
        """Claim the slots that have come by now; return the enabled schedules that can be used."""
        usable = []
        for schedule in Schedule.objects.filter(enabled=True):
            try:
                get_broker().get_actor(schedule.task)
                latest = next(schedule.recurrence.until(now), None)
            except (ActorNotFound, ValueError) as error:
                # A task of another version of the code, a time zone that is no more.
                outages.report(f"schedule of {schedule.task}", error, how="unusable")
                continue
            usable.append(schedule)
            reset_after_clock_change(schedule, now)
            if latest and latest > schedule.handled_until:
                self._try_to_claim(schedule.pk)
        return usable

    def _tick_on(self) -> None:
        while not self._stopped.is_set():
            try:
                with outages.reporting():
                    self.tick()
            except Exception:
                logger.exception("tick failed")  # The next one may do better.
            close_old_connections()
            self._ticks += 1
            if self._alive_file:
                self._alive_file.touch()
            self._stopped.wait(TICK_SECONDS)
        connections.close_all()

    def _plan(self, schedules: Iterable[Schedule]) -> None:
        """Have APScheduler wake us at each schedule's next slot."""
        planned = {job.id: job for job in self._clock.get_jobs()}
        for schedule in schedules:
            job = planned.pop(str(schedule.pk), None)
            moment = self._next(schedule)
            if job and job.next_run_time and abs(job.next_run_time + LEAD - moment) < TOLERANCE:
                continue
            self._wake_at(moment, schedule.pk)
        for job in planned.values():
            with suppress(JobLookupError):  # Its moment has come just now.
                job.remove()

    def _next(self, schedule: Schedule) -> datetime:
        """Return when, by this machine's clock, the next slot comes."""
        return next(schedule.recurrence.after(timezone.now() + self._ahead)) - self._ahead

    def _wake_at(self, moment: datetime, schedule_id: int) -> None:
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
        with outages.reporting():
            close_old_connections()
            # The database's clock decides.
            early = (moment + self._ahead - database_now()).total_seconds()
            if early > 0:
                sleep(min(early, 1.0))
            self._try_to_claim(schedule_id)
            schedule = Schedule.objects.filter(pk=schedule_id, enabled=True).first()
            if schedule and not self._stopped.is_set():
                self._wake_at(self._next(schedule), schedule_id)

    def _try_to_claim(self, schedule_id: int) -> None:
        """Claim its slots, unless somebody holds a lock on it, or its actor refuses to start."""
        name = f"schedule {schedule_id}"
        try:
            with outages.skipping_locked(name):
                self._claim(schedule_id)
        except (TypeError, ValueError) as error:
            outages.report(name, error, how="unusable")

    def _claim(self, schedule_id: int) -> None:
        run = claim(schedule_id)
        if run and publish(run):
            logger.info("sent", task=run.task, run=run.pk, message_id=str(run.message_id))

    def _watch(self) -> None:
        """End the process, to be started anew, if a tick does not come to its end.

        It counts its own seconds, so the time for which the whole process was held up is not held
        against it.
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
        # From a thread: shutting down waits for a lock that the interrupted code may hold.
        Thread(target=self._shut_down, name="stop", daemon=True).start()

    def _shut_down(self) -> None:
        while not self._clock.running:  # It was told to stop while it started.
            sleep(0.05)
        # Not waiting, with APScheduler's locks held, for a claim in hand that may need them to plan
        # its next slot. The interpreter waits for it before it exits.
        self._clock.shutdown(wait=False)
