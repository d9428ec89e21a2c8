"""Runs that kill the process they are at, and others that happen to be beside them."""

import os
import signal
from time import sleep

import dramatiq

from tasks.engine.runs.execution import Execution, current_run


@dramatiq.actor(actor_name="poison", max_retries=0, time_limit=60_000)
def poison(*, once: bool) -> None:
    """Kill this process: at every attempt, or at the first."""
    sleep(0.5)  # Until it has company.
    current = current_run()
    assert isinstance(current, Execution)
    if not once or current.run.attempts == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor(actor_name="bystander", max_retries=0, time_limit=60_000)
def bystander() -> None:
    """Take a moment."""
    sleep(1.5)
