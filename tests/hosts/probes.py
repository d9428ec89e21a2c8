"""Writers that remember what a server has acknowledged, to see what a fail-over loses of it."""

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

import psycopg
import redis

from tests.failover import PostgreSQL, Valkey

TABLE = "CREATE TABLE IF NOT EXISTS probe (id int PRIMARY KEY)"
KEY = "hosts:probe"


class Probe:
    """Writes one number after the other, as fast as they are acknowledged."""

    def __init__(self, write: Callable[[int], object]) -> None:
        self._write = write
        self.acknowledged: dict[int, float] = {}
        self._over = Event()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                self._write(number)
            except (psycopg.Error, redis.RedisError):
                return
            self.acknowledged[number] = monotonic()

    def lost(self, there: set[int], since: float) -> str:
        """Say how many of those acknowledged before a `monotonic` moment are lost, and how old."""
        counted = {n: at for n, at in self.acknowledged.items() if at <= since}
        lost = {n: at for n, at in counted.items() if n not in there}
        if not lost:
            return f"0 of {len(counted)} acknowledged writes lost"
        age = since - min(lost.values())
        return (
            f"{len(lost)} of {len(counted)} acknowledged writes lost, the oldest"
            f" {1000 * age:.0f} ms before the fault"
        )

    def end(self) -> None:
        self._over.set()
        self._thread.join(10)


def database_probe(server: PostgreSQL) -> Probe:
    """Write rows, each in a transaction of its own."""
    connection = psycopg.connect(server.conninfo(), autocommit=True, tcp_user_timeout=3000)
    connection.execute("SET synchronous_commit = on")
    connection.execute(TABLE)
    connection.execute("TRUNCATE probe")
    return Probe(lambda number: connection.execute("INSERT INTO probe VALUES (%s)", [number]))


def in_database(server: PostgreSQL) -> set[int]:
    with server.connect() as database:
        return {number for (number,) in database.execute("SELECT id FROM probe").fetchall()}


def broker_probe(server: Valkey) -> Probe:
    """Append to a list."""
    client = server.client()
    client.delete(KEY)
    return Probe(lambda number: client.rpush(KEY, number))


def in_broker(server: Valkey) -> set[int]:
    with server.client() as client:
        return {int(number) for number in client.lrange(KEY, 0, -1)}
