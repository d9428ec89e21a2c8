"""Where results are kept for whoever waits: Dramatiq's own, but for what a database's error quotes.

The settings import this, so nothing here may need Django's apps.
"""

from typing import Any

from dramatiq import Message
from dramatiq.results.backends.redis import RedisBackend

from tasks.engine.errors import OF_THE_DATABASE, error_line


class RunFailed(Exception):  # noqa: N818  (named as the state is)
    """What a run that failed or was cancelled leaves as its result: why, in a line."""


class ResultBackend(RedisBackend):
    """Keeps results in Redis. Of a database's error, not its message: it may quote a row."""

    def store_exception(self, message: Message[Any], exception: Exception, ttl: int) -> None:
        """Tell whoever waits on a message why it failed.

        Args:
            message: whose result it is.
            exception: what was raised.
            ttl: how long it is kept (ms).
        """
        if isinstance(exception, OF_THE_DATABASE):
            exception = RunFailed(error_line(exception))
        super().store_exception(message, exception, ttl)
