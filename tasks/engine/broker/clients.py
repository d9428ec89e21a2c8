"""Clients of the broker, from its address: nothing else builds any.

Addresses are redis-py's own (`redis://`, `rediss://`, `unix://`), and one more, of Sentinels that
know which server is the primary at the moment:

    redis+sentinel://[user:password@]host[:26379][,host2...]/name[/db][?option=value]

`rediss+sentinel://` uses TLS. User and password are the servers' own; the Sentinels' are the
options `sentinel_username` and `sentinel_password`.
"""

from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

SENTINEL_SCHEMES = {"redis+sentinel", "rediss+sentinel"}
DEFAULT_SENTINEL_PORT = 26_379

#: How long to wait for a Sentinel, before the next one is asked; none has much to do.
SENTINEL_TIMEOUT_SECONDS = 0.5

#: How often a client asks them whether another server is the primary now.
ASK_AGAIN_SECONDS = 5.0


class WrongAddress(ValueError):  # noqa: N818  (what it says is for the reader of a setting)
    """What is wrong with an address, in words that quote nothing of it: it may hold a password."""


class PrimaryPool(SentinelConnectionPool):
    """Connections to whichever server the Sentinels say is the primary, asked every few seconds.

    redis-py asks them for each new connection, and after a replica has refused a write. But a
    former primary that is cut off from the Sentinels, and not from us, refuses nothing: the rest of
    the site would no longer hear from whoever stays connected to it.
    """

    _ask_again_at = 0.0

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        if monotonic() >= self._ask_again_at:
            self._ask_again_at = monotonic() + ASK_AGAIN_SECONDS
            # Aside: nobody has to wait here for Sentinels that are silent.
            Thread(target=self._follow_primary, daemon=True).start()
        return super().get_connection(*arguments, **options)

    def _follow_primary(self) -> None:
        former = self.master_address
        # Without an answer we stay where we are.
        with suppress(redis.RedisError):
            if former and self.get_master_address() != former:
                # Idle connections were closed by that. One in use, such as a subscription, begins
                # anew as soon as nobody waits for its answer.
                self.update_active_connections_for_reconnect()


def client_for(url: str, **options: Any) -> redis.Redis:
    """Return a client of the broker; it does not connect yet.

    Args:
        url: the broker's address; see the module.
        options: redis-py's, for each connection; those of the address count more.

    Raises:
        ValueError: the address is none. If it is a WrongAddress, its text may be shown.
    """
    return redis.Redis.from_pool(connection_pool(url, **options))


def connection_pool(url: str, **options: Any) -> redis.ConnectionPool:
    """Return a pool of connections to the broker (see `client_for`)."""
    scheme, _, rest = url.partition("://")
    pool: redis.ConnectionPool
    if scheme in SENTINEL_SCHEMES:
        pool = _pool_by_sentinels(rest, options, tls=scheme.startswith("rediss"))
    else:
        pool = redis.ConnectionPool.from_url(url, **options)
    try:
        pool.connection_class(**pool.connection_kwargs)  # It is not opened.
    except TypeError as error:
        raise WrongAddress("has an option that does not exist.") from error
    return pool


def _pool_by_sentinels(rest: str, options: Mapping[str, Any], *, tls: bool) -> PrimaryPool:
    authority, _, path_and_query = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    path, _, query = path_and_query.partition("?")
    name, _, db = path.partition("/")
    if not name:
        raise WrongAddress("lacks the name that the Sentinels have for the primary.")
    if db and not db.isdecimal():
        raise WrongAddress("must end with the number of a database, or the name of the primary.")
    # The rest is redis-py's to read.
    given = {**options, **parse_url(f"redis://{credentials}{at}-/{db}?{query}")}
    del given["host"]
    credentials_of_sentinels = {
        key: given.pop(f"sentinel_{key}", None) for key in ("username", "password")
    }
    sentinel = Sentinel(
        [_host_and_port(host) for host in hosts.split(",")],
        sentinel_kwargs={
            "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
            "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "ssl": tls,
            **credentials_of_sentinels,
            **{key: value for key, value in given.items() if key.startswith("ssl_")},
        },
    )
    return PrimaryPool(name, sentinel, ssl=tls, **given)


def _host_and_port(text: str) -> tuple[str, int]:
    """Read `host`, `host:port`, `[::1]` or `[::1]:port`.

    Raises:
        ValueError: it is none of these; its text may quote it.
    """
    one = parse_url(f"redis://{text}")
    if set(one) - {"host", "port"} or "host" not in one:
        raise WrongAddress("must name a host between each two commas.")
    if urlsplit(f"//{text}").port == 0:  # redis-py leaves it out.
        raise WrongAddress("has an invalid port.")
    return one["host"], one.get("port", DEFAULT_SENTINEL_PORT)
