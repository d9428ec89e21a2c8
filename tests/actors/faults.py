"""Actors that faults befall: each leaves a row for what it has done, in a table of the test's."""

import os
import signal
from time import sleep

import dramatiq
from django.db import connection

from tasks.engine.runs.execution import current_run

MINUTE = 60_000


def did(what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effect (what) VALUES (%s)", [what])


@dramatiq.actor(actor_name="test.steps", max_retries=0, time_limit=20 * MINUTE, store_results=True)
def steps(*, number: int, pause: float = 0.5) -> int:
    """Take steps with a pause after each; each does something outside of its transaction first."""
    taken = 0
    while taken < number:
        with current_run().step() as checkpoint:
            taken = checkpoint.get("taken", 0) + 1
            checkpoint["taken"] = taken
            did(f"step {taken}")
        sleep(pause)
    return taken


@dramatiq.actor(actor_name="test.nap", max_retries=0, time_limit=20 * MINUTE, store_results=True)
def nap(*, seconds: float) -> str:
    """Sleep, without a step."""
    did("nap begun")
    sleep(seconds)
    return "rested"


@dramatiq.actor(
    actor_name="test.stumble", max_retries=3, min_backoff=200, max_backoff=200, time_limit=MINUTE
)
def stumble(*, times: int) -> str:
    """Fail some times, then succeed."""
    did("stumble")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM effect WHERE what = 'stumble'")
        (tried,) = cursor.fetchone()
    if tried <= times:
        raise ValueError(f"try {tried}")
    return "upright"


@dramatiq.actor(actor_name="test.poison", max_retries=0, time_limit=20 * MINUTE)
def poison() -> None:
    """Kill the process."""
    did("poison")
    sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
