"""Sends the last errors and spans of a worker: its processes end without Python's exit handlers."""

import logging
from collections.abc import Callable

from dramatiq import Broker, Middleware, Worker


class Flush(Middleware):
    def __init__(self, end_tracing: Callable[[], None] | None) -> None:
        self._end_tracing = end_tracing

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        if self._end_tracing:
            self._end_tracing()
        for handler in logging.getLogger().handlers:
            handler.flush()
