"""Stores the results of runs that did not end by the return of their actor."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from dramatiq import Message
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound
from dramatiq.results import ResultBackend
from redis.exceptions import RedisError

from tasks.engine.conf import RESULT_TTL_MS
from tasks.engine.models import State, TaskRun
from tasks.engine.runs.result_backend import RunFailed


def store_result(run: TaskRun) -> None:
    """Store the result of a finished run, for callers that wait for its message."""
    if run.state == State.SUCCEEDED:
        _store(run, lambda to, message: to.store_result(message, run.result, RESULT_TTL_MS))
    elif run.state == State.FAILED:
        store_exception(run, RunFailed(run.error_summary))
    elif run.state == State.CANCELLED:
        store_exception(run, RunFailed(run.reason))


def store_exception(run: TaskRun, exception: BaseException) -> None:
    """Store why a run failed, for callers that wait for its message."""
    # Dramatiq accepts any, whatever its annotation says: its own time limit is no Exception.
    error = cast("Exception", exception)
    _store(run, lambda to, message: to.store_exception(message, error, RESULT_TTL_MS))


def _store(run: TaskRun, store: Callable[[ResultBackend, Message[Any]], None]) -> None:
    """Store something unless the actor stores no results; with the broker away, the row must do."""
    broker = get_broker()
    with suppress(ActorNotFound, RedisError):
        if broker.get_actor(run.task).options.get("store_results", True):
            store(broker.get_results_backend(), run.message())
