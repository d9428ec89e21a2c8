"""Stores the results of runs that did not end by the return of their actor."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from dramatiq import Message
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound
from dramatiq.results import ResultBackend as Backend
from redis.exceptions import RedisError

from tasks.engine.broker.waking import current_broker
from tasks.engine.conf import RESULT_TTL_MS
from tasks.engine.models import State, TaskRun
from tasks.engine.runs.result_backend import ResultBackend, RunFailed


def store_result(run: TaskRun, backend: Backend | None = None) -> None:
    """Store the result of a finished run, for callers that wait for its message."""
    if run.state == State.SUCCEEDED:
        _store(run, lambda to, msg: to.store_result(msg, run.result, RESULT_TTL_MS), backend)
    elif run.state == State.FAILED:
        store_exception(run, RunFailed(run.error_summary), backend)
    elif run.state == State.CANCELLED:
        store_exception(run, RunFailed(run.reason), backend)


def tell_caller(run: TaskRun) -> None:
    """Store the result of a run that no worker ends, such as one that an operator has cancelled.

    If the broker is away, this costs less than a second.
    """
    backend = ResultBackend(client=current_broker().short_timeout_client)  # type: ignore[no-untyped-call]
    store_result(run, backend)


def store_exception(run: TaskRun, exception: BaseException, backend: Backend | None = None) -> None:
    """Store why a run failed, for callers that wait for its message."""
    # Dramatiq accepts any, whatever its annotation says: its own time limit is no Exception.
    error = cast("Exception", exception)
    _store(run, lambda to, msg: to.store_exception(msg, error, RESULT_TTL_MS), backend)


def _store(
    run: TaskRun, store: Callable[[Backend, Message[Any]], None], backend: Backend | None
) -> None:
    """Store something unless the actor stores no results; with the broker away, the row must do."""
    broker = get_broker()
    with suppress(ActorNotFound, RedisError):
        if broker.get_actor(run.task).options.get("store_results", True):
            store(backend or broker.get_results_backend(), run.message())
