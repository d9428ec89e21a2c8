"""Dramatiq's result backend; the settings import it, so nothing here may need Django's apps."""

from typing import Any

from dramatiq import Message
from dramatiq.results.backends.redis import RedisBackend

from tasks.engine.errors import OF_THE_DATABASE, error_line


class RunFailed(Exception):  # noqa: N818  (named as the state is)
    """Why a run failed or was cancelled, in a line: stored as its result."""


class ResultBackend(RedisBackend):
    """Stores results in Redis; of a database's error not the message, which may quote a row."""

    def store_exception(self, message: Message[Any], exception: Exception, ttl: int) -> None:
        """Store why a message failed, for `ttl` milliseconds."""
        if isinstance(exception, OF_THE_DATABASE):
            exception = RunFailed(error_line(exception))
        super().store_exception(message, exception, ttl)
