"""The cache that all processes share, for rate limits: it survives the broker's being away."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, cast

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.utils.functional import cached_property
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from project.sealed import SealedClient
from tasks.engine.broker.clients import connection_pool

logger = structlog.get_logger(__name__)

#: How long to wait for the server: at most once in a pause.
TIMEOUT_SECONDS = 1.0

#: After a failure, this process counts alone for so long before it tries the server again.
PAUSE_SECONDS = 10.0

#: What this process's own memory is called, and how many keys it holds.
MEMORY, MAX_ENTRIES = "while the broker is away", 10_000


class BrokerPool:
    """Where Django asks for a pool of connections to an address."""

    from_url = staticmethod(connection_pool)


class SharedCache(RedisCache):
    """Django's own cache in Redis, kept beside the broker's queues."""

    @cached_property
    def _cache(self) -> Any:
        return Survivor(
            SealedClient(
                self._servers,  # type: ignore[attr-defined]  # The stubs leave it out.
                pool_class=cast("type[ConnectionPool]", BrokerPool),
                socket_connect_timeout=TIMEOUT_SECONDS,
                socket_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        )

    def clear(self) -> None:
        """Refuse to: Django's own would empty the broker's queues too.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("The broker's queues are in the same database.")


class Pause:
    """How long a server that has failed is left alone, by all threads of this process."""

    def __init__(self) -> None:
        self.ends_at = 0.0
        self.lock = Lock()

    def is_over(self) -> bool:
        """Return whether to try the server; one thread is told so at the end of a pause."""
        with self.lock:
            now = monotonic()
            if now < self.ends_at:
                return False
            if self.ends_at:
                self.ends_at = now + PAUSE_SECONDS
            return True

    def begin(self) -> None:
        self.ends_at = monotonic() + PAUSE_SECONDS

    def end(self) -> None:
        self.ends_at = 0.0


pause = Pause()


class Survivor:
    """Calls the server's client; while the server is away, this process's own memory.

    What is counted is then counted by each process.
    """

    def __init__(self, server: SealedClient) -> None:
        self.server = server
        self.memory = LocMemCache(MEMORY, {"OPTIONS": {"MAX_ENTRIES": MAX_ENTRIES}})

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """Return a method that both have, such as `add`."""
        return partial(self._call, verb)

    def _call(self, verb: str, *arguments: Any) -> Any:
        if pause.is_over():
            try:
                answer = getattr(self.server, verb)(*arguments)
            except RedisError as error:
                logger.warning("shared cache is away", error=type(error).__name__)
                pause.begin()
            except ValueError:  # It answers: there is no such key to count.
                pause.end()
                raise
            else:
                pause.end()
                return answer
        return getattr(self.memory, verb)(*arguments)
