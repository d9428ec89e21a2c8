"""Sending a message from a command and waiting for its result, with errors in one line."""

from time import monotonic, sleep
from typing import Any

from django.core.management.base import CommandError
from dramatiq import Actor, Message
from dramatiq.results import ResultFailure, ResultTimeout
from redis.exceptions import RedisError

from tasks.engine.models import State, TaskRun

#: Between two looks at a run's row (seconds).
LOOK_AT_ROW = 0.1

#: One look for a result waits this long (seconds), well within the result client's socket time-out.
LOOK = 10


def send[**P, R](actor: Actor[P, R], *args: P.args, **kwargs: P.kwargs) -> Message[R]:
    """Send an actor a message.

    Raises:
        CommandError: the broker cannot be reached.
    """
    try:
        return actor.send(*args, **kwargs)
    except RedisError as error:
        raise CommandError(f"The broker cannot be reached: {error}") from error


def wait(message: Message[Any], *, seconds: int) -> Any:
    """Wait for a message's result and return it.

    Args:
        message: one whose actor stores results.
        seconds: how long to wait at most.

    Raises:
        CommandError: no result came in time, the actor failed, or the broker went away.
    """
    deadline = monotonic() + seconds
    while True:
        look = max(1, min(LOOK, round(deadline - monotonic())))
        try:
            return message.get_result(block=True, timeout=look * 1000)
        except ResultTimeout as error:
            if monotonic() >= deadline:
                raise CommandError(
                    f"No worker has finished {message.actor_name} within {seconds} s; the message "
                    f"stays in the queue ({message.message_id})."
                ) from error
        except ResultFailure as error:
            raise CommandError(f"{message.actor_name} failed: {error}") from error
        except RedisError as error:
            raise CommandError(f"The broker cannot be reached: {error}") from error


def wait_for(run: TaskRun, *, seconds: int) -> Any:
    """Wait for a run to end, by its row, and return its result.

    Args:
        run: one that has been enqueued.
        seconds: how long to wait at most.

    Raises:
        CommandError: it did not end in time, or failed.
    """
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        run.refresh_from_db()
        if run.state == State.SUCCEEDED:
            return run.result
        if run.is_finished:
            raise CommandError(f"{run.task} failed: {run.error_summary}")
        sleep(LOOK_AT_ROW)
    raise CommandError(
        f"Run {run.pk} of {run.task} has not ended within {seconds} s; it is {run.state} and "
        "goes on by itself."
    )
