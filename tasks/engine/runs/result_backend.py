"""Dramatiq's result backend, without what the message of a database's error may quote.

The settings import this, so nothing here may need Django's apps.
"""

from typing import Any

from dramatiq import Message
from dramatiq.results.backends.redis import RedisBackend

from tasks.engine.errors import OF_THE_DATABASE, error_line


class RunFailed(Exception):  # noqa: N818  (named as the state is)
    """Why a run failed or was cancelled, in a line: what is stored as its result."""


class ResultBackend(RedisBackend):
    """Stores results in Redis; of a database's error not the message, which may quote a row."""

    def store_exception(self, message: Message[Any], exception: Exception, ttl: int) -> None:
        """Store why a message failed.

        Args:
            message: whose result it is.
            exception: what was raised.
            ttl: how long it is stored (ms).
        """
        if isinstance(exception, OF_THE_DATABASE):
            exception = RunFailed(error_line(exception))
        super().store_exception(message, exception, ttl)
