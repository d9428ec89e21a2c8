"""Database and broker fail over to another server, and whoever uses them follows."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import pytest
import redis
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker

from project import cache as shared
from project.cache import SharedCache
from project.databases import database_from
from tasks.engine.broker import clients
from tasks.engine.broker.clients import client_for
from tests.counting import (
    add_counting_actor,
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)
from tests.failover import (
    PASSWORD,
    SENTINEL_PASSWORD,
    PostgreSQL,
    Sentinel,
    Valkey,
    address_of_databases,
    address_of_sentinels,
)
from tests.keys import SECRET_KEY
from tests.processes import Tidy, wait_until
from tests.servers import free_port

pytestmark = pytest.mark.e2e

LOCALHOST = "127.0.0.1"

#: With a margin for a slow machine (s); `make hosts-test` measures it.
SOON = 60

FINISHED = "SELECT count(*) FROM tasks_taskrun WHERE task = 'count' AND state = 'succeeded'"


@contextmanager
def databases(folder: Path) -> Iterator[tuple[PostgreSQL, PostgreSQL]]:
    """A PostgreSQL server, and one that is not started yet."""
    folder.chmod(0o755)  # For the system user that they run as.
    one, two = (PostgreSQL(folder / name, LOCALHOST, free_port()) for name in ("one", "two"))
    try:
        one.create()
        one.start()
        yield one, two
    finally:
        one.kill()
        two.kill()


@contextmanager
def brokers(folder: Path, sentinels: int) -> Iterator[tuple[Valkey, Valkey, list[Sentinel]]]:
    """A Valkey server, its replica, and the Sentinels that know both."""
    primary, replica = (Valkey(folder / n, LOCALHOST, free_port()) for n in ("primary", "replica"))
    watching = [
        Sentinel(folder / f"sentinel{index}", LOCALHOST, free_port()) for index in range(sentinels)
    ]
    try:
        primary.start()
        replica.start(primary)
        for sentinel in watching:
            sentinel.start(primary, quorum=sentinels // 2 + 1)
        wait_until(
            lambda: (
                replica.is_replica_in_sync()
                and all(s.knows(sentinels=sentinels - 1, replicas=1) for s in watching)
            ),
            seconds=SOON,
            otherwise=lambda: "the Sentinels do not find each other",
        )
        yield primary, replica, watching
    finally:
        for server in (primary, replica, *watching):
            server.kill()


@contextmanager
def connection_to(*servers: PostgreSQL) -> Iterator[BaseDatabaseWrapper]:
    """A connection as the settings make it; closed in the end."""
    handler = ConnectionHandler({"default": database_from(address_of_databases(*servers))})
    try:
        yield handler["default"]
    finally:
        handler.close_all()


def port_of(connection: BaseDatabaseWrapper) -> int:
    connection.ensure_connection()
    return int(connection.connection.info.port)


def test_connection_is_given_up_when_its_server_accepts_no_more_writes(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with (
        django_db_blocker.unblock(),
        databases(tmp_path) as (one, two),
        connection_to(two, one) as connection,
    ):
        two.follow(one)
        assert port_of(connection) == one.port
        assert connection.is_usable()

        # As who fails over by hand may do to the old primary; the connection itself goes on.
        one.configure(default_transaction_read_only="on")
        wait_until(lambda: not connection.is_usable(), seconds=SOON, otherwise=lambda: "usable")
        two.promote()
        # What Django does at the beginning of each request.
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE written (id int)")
        assert port_of(connection) == two.port

        # A server that is back, and no primary, is not taken: though it is tried first.
        one.kill()
        one.follow(two)
        connection.close()
        assert port_of(connection) == two.port


def test_silent_host_is_waited_for_once(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> None:
    with (
        django_db_blocker.unblock(),
        databases(tmp_path) as (one, two),
        socket.create_server((LOCALHOST, two.port)),  # It accepts, and never answers.
    ):
        # `two` first; libpq waits no shorter.
        address = f"{address_of_databases(two, one)}&connect_timeout=2"
        handler = ConnectionHandler({"default": database_from(address)})
        connection = handler["default"]
        took = []
        for _ in range(2):
            begun = monotonic()
            assert port_of(connection) == one.port
            took.append(monotonic() - begun)
            connection.close()
        assert took[0] >= 2
        assert took[1] < 2


def test_broker_fails_over_to_its_replica(tmp_path: Path) -> None:
    with brokers(tmp_path, 1) as (primary, replica, sentinels):
        client = client_for(address_of_sentinels(*sentinels))
        client.set("key", "value")
        cache = SharedCache([address_of_sentinels(*sentinels)], {})
        cache.set("counted", 7)
        assert client.get(cache.make_key("counted")) == b"7"
        wait_until(
            lambda: replica.client().exists("key", cache.make_key("counted")) == 2,
            seconds=SOON,
            otherwise=lambda: "the replica has not got it",
        )
        primary.kill()

        def answers() -> bool:
            try:
                return client.get("key") == b"value" and bool(client.set("key", "value"))
            except redis.RedisError:
                return False

        wait_until(answers, seconds=SOON, otherwise=lambda: "the replica was not found")
        shared.pause.end()
        assert cache.get("counted") == 7
        cache.incr("counted")
        assert client.get(cache.make_key("counted")) == b"8"
        client.close()


def test_clients_leave_a_primary_that_the_sentinels_no_longer_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is cut off from them and not from its clients: it does not refuse anything."""
    monkeypatch.setattr(clients, "ASK_AGAIN_SECONDS", 0.0)
    other = Valkey(tmp_path / "other", LOCALHOST, free_port())
    with brokers(tmp_path, 1) as (_, _, (sentinel,)), ExitStack() as stack:
        stack.callback(other.kill)
        other.start()
        client = stack.enter_context(client_for(address_of_sentinels(sentinel)))
        subscription = client.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("channel")
        assert client.set("key", "here")

        with sentinel.client() as operator:
            operator.execute_command("SENTINEL", "REMOVE", "tidy")
            operator.execute_command("SENTINEL", "MONITOR", "tidy", LOCALHOST, other.port, 1)
            operator.execute_command("SENTINEL", "SET", "tidy", "auth-pass", PASSWORD)

        def moved() -> bool:
            try:
                return client.get("key") is None
            except redis.RedisError:  # What is under way is interrupted.
                return False

        wait_until(moved, seconds=SOON, otherwise=lambda: "the client stays where it was")

        def hears() -> bool:
            client.publish("channel", "hello")
            try:
                return subscription.get_message(timeout=0.1) is not None
            except redis.RedisError:
                return False

        wait_until(hears, seconds=SOON, otherwise=lambda: "the subscription stays where it was")
        subscription.close()


def test_error_of_a_sentinel_says_no_password(tmp_path: Path) -> None:
    with brokers(tmp_path, 1) as (_, _, sentinels):
        address = address_of_sentinels(*sentinels).replace("7inel%2C", "8inel%2C")
        with client_for(address) as client, pytest.raises(redis.RedisError) as refused:
            client.ping()
        assert "sen:tinel" not in str(refused.value)
        assert PASSWORD not in str(refused.value)
    with client_for(address) as client, pytest.raises(redis.RedisError) as away:
        client.ping()
    assert str(away.value).startswith("No master found for 'tidy'")
    assert SENTINEL_PASSWORD not in str(away.value)


def test_running_processes_follow_database_and_broker(tmp_path: Path, checkout: Path) -> None:
    with (
        databases(tmp_path) as (one, two),
        brokers(tmp_path, 3) as (primary, replica, sentinels),
        ExitStack() as stack,
    ):
        tidy = Tidy(
            checkout,
            {
                "DJANGO_SECRET_KEY": SECRET_KEY,
                "DJANGO_ALLOWED_HOSTS": "tidy.example",
                "DATABASE_URL": address_of_databases(one, two),
                "REDIS_URL": address_of_sentinels(*sentinels),
                "TASKS_LIVENESS_SECONDS": "5",
            },
            logs=tmp_path,
            starts_forks=True,
        )
        with one.connect() as database:
            add_counting_actor(tidy, database)
        assert tidy.manage("migrate", "-v0").returncode == 0
        two.follow(one)
        one.configure(synchronous_standby_names="two")
        worker = stack.enter_context(
            tidy.start("rundramatiq", "--processes", "1", "--threads", "2")
        )
        scheduler = stack.enter_context(tidy.start("runscheduler"))

        def finished(server: PostgreSQL) -> int:
            with server.connect() as database:
                return number(database, FINISHED)

        wait_until(lambda: finished(one) >= 2, seconds=SOON, otherwise=worker.output)

        one.kill()
        two.promote()
        before = finished(two)
        wait_until(lambda: finished(two) > before + 1, seconds=SOON, otherwise=worker.output)

        primary.kill()
        wait_until(
            lambda: all(sentinel.takes_for_primary(replica) for sentinel in sentinels),
            seconds=SOON,
            otherwise=lambda: "the Sentinels did not fail over",
        )
        before = finished(two)
        wait_until(lambda: finished(two) > before + 1, seconds=SOON, otherwise=worker.output)

        assert (scheduler.stop(), worker.stop()) == (0, 0)
        with two.connect() as database:
            assert slots_without_a_row(database) == 0
            assert runs_without_their_effect(database) == 0
            assert effects_too_many(database) == 0
