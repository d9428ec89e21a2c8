"""The clock: sends each schedule's message when its time comes."""

import signal
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from types import FrameType

import structlog
from apscheduler.schedulers.blocking import BlockingScheduler
from django.conf import settings
from dramatiq import Actor
from dramatiq.broker import get_broker
from redis.exceptions import RedisError

from tasks import actors  # noqa: F401  (registers the actors with the broker)
from tasks.schedules import Schedule

logger = structlog.get_logger(__name__)

ALIVE_EVERY = 10  # seconds


def run_scheduler(schedules: Iterable[Schedule], *, alive_file: Path | None = None) -> None:
    """Send messages on schedule until the process is told to stop (SIGTERM or SIGINT).

    Args:
        schedules: what to send, and when.
        alive_file: touched every ten seconds by the clock itself, for a health check to look at.

    Raises:
        ActorNotFound: a schedule names a task that no actor does.
    """
    # A slot that the clock reaches late, after a suspended laptop or a busy machine, still counts;
    # several missed ones count once. APScheduler by itself drops what is a second late.
    clock = BlockingScheduler(
        timezone=settings.TIME_ZONE, job_defaults={"misfire_grace_time": None, "coalesce": True}
    )
    for schedule in schedules:
        actor = get_broker().get_actor(schedule.task)
        clock.add_job(send, schedule.trigger(settings.TIME_ZONE), [actor], name=str(schedule.task))
    if alive_file:
        alive_file.touch()
        clock.add_job(alive_file.touch, "interval", seconds=ALIVE_EVERY)
    stop_on_signal(clock)
    logger.info("scheduler started", time_zone=settings.TIME_ZONE)
    clock.start()
    logger.info("scheduler stopped")


def send(actor: Actor[[], object]) -> None:
    """Send an actor its message; log it when the broker cannot be reached."""
    try:
        message = actor.send()
    except RedisError as error:
        # The reason is enough: a traceback would show the client's insides, every minute.
        logger.error("not sent", task=actor.actor_name, reason=str(error))  # noqa: TRY400
    else:
        logger.info("sent", task=actor.actor_name, message_id=message.message_id)


def stop_on_signal(clock: BlockingScheduler) -> None:
    """Stop the clock, once the jobs in hand are done, on SIGTERM and SIGINT."""

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a handler's form)
        # From a thread: shutting down waits for a lock that the interrupted code may hold.
        Thread(target=clock.shutdown, name="stop").start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
