"""Tells whoever waits on a message how its run ended, when that was not the message's own doing."""

from contextlib import suppress

from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound
from redis.exceptions import RedisError

from tasks.models import State, TaskRun

#: How long a result is kept for whoever asks (ms).
RESULT_TTL = 24 * 60 * 60 * 1000


class RunFailed(Exception):  # noqa: N818  (named as the state is)
    """What a run that failed leaves as its result: the last line of its error."""


def store_result(run: TaskRun) -> None:
    """Give the result of a finished run to whoever waits on its message.

    A broker that is away is let be: the run's row has the result.
    """
    broker = get_broker()
    try:
        wanted = broker.get_actor(run.task).options.get("store_results")
    except ActorNotFound:
        return
    if not wanted:
        return
    backend, message = broker.get_results_backend(), run.message()
    with suppress(RedisError):
        if run.state == State.SUCCEEDED:
            backend.store_result(message, run.result, RESULT_TTL)
        elif run.state == State.FAILED:
            backend.store_exception(message, RunFailed(run.last_words), RESULT_TTL)
