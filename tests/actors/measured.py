"""Actors that benchmarks measure."""

from time import sleep

import dramatiq
from django.utils import timezone


@dramatiq.actor(actor_name="start", max_retries=0, time_limit=1_000, store_results=True)
def start() -> float:
    """Say when this began."""
    return timezone.now().timestamp()


@dramatiq.actor(actor_name="linger", max_retries=0, time_limit=5 * 60_000)
def linger() -> None:
    """Take long enough to be killed in."""
    sleep(120)
