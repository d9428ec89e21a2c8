"""Sends a message from a command and waits for its result, with errors in one line."""

from time import monotonic, sleep
from typing import Any

from django.core.management.base import CommandError
from dramatiq import Actor, Message
from dramatiq.results import ResultFailure, ResultTimeout
from redis.exceptions import RedisError

from tasks.engine.models import State, TaskRun

#: Between two reads of a run's row.
READ_ROW_SECONDS = 0.1

#: One request for a result waits this long at most: less than the result client's socket time-out.
LONGEST_REQUEST_SECONDS = 10


def send[**P, R](actor: Actor[P, R], *args: P.args, **kwargs: P.kwargs) -> Message[R]:
    """Send a message to an actor.

    Raises:
        CommandError: the broker cannot be reached.
    """
    try:
        return actor.send(*args, **kwargs)
    except RedisError as error:
        raise CommandError(f"The broker cannot be reached: {error}") from error


def wait(message: Message[Any], *, seconds: int) -> Any:
    """Return the result of a message, when it comes.

    Args:
        message: one whose actor stores results.
        seconds: how long to wait at most.

    Raises:
        CommandError: no result came in time, the actor failed, or the broker went away.
    """
    deadline = monotonic() + seconds
    while True:
        request_seconds = max(1, min(LONGEST_REQUEST_SECONDS, round(deadline - monotonic())))
        try:
            return message.get_result(block=True, timeout=request_seconds * 1000)
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
    """Return the result of a run, when its row says that it has ended.

    Args:
        run: one that has been enqueued.
        seconds: how long to wait at most.

    Raises:
        CommandError: it did not end in time, or did not succeed.
    """
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        run.refresh_from_db()
        if run.state == State.SUCCEEDED:
            return run.result
        if run.is_finished:
            raise CommandError(f"{run.task} failed: {run.error_summary}")
        sleep(READ_ROW_SECONDS)
    raise CommandError(
        f"Run {run.pk} of {run.task} has not ended within {seconds} s; it is {run.state} and "
        "goes on by itself."
    )
