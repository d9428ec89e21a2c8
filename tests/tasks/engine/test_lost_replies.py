"""Replies that are lost and entries that nobody can read, with a real worker behind a proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis
from dramatiq import Message

from tasks.engine.broker.messages import decoded
from tasks.engine.broker.waking import WakingBroker
from tests.counting import number
from tests.processes import Process, Tidy, wait_until
from tests.proxy import Proxy, proxy

pytestmark = pytest.mark.e2e

#: How long it may take until what a lost reply held has run (s): 3 until the consumer starts again,
#: 5 until it compares; the rest is for a slow machine.
RECOVERED = 30


@pytest.fixture
def between(tidy: Tidy) -> Iterator[Proxy]:
    """What the worker takes for the broker."""
    tidy.inject(actors="lost_replies")
    server = Path(tidy.settings["REDIS_URL"].removeprefix("unix://"))
    with proxy(server.parent, server) as running:
        yield running


@pytest.fixture
def counted(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """The database, with a table for what ran."""
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        database.execute("CREATE TABLE counted (number integer)")
        yield database


@pytest.fixture
def sender(tidy: Tidy) -> Iterator[WakingBroker]:
    """A client of the broker that nothing is lost for."""
    sender = WakingBroker(url=tidy.settings["REDIS_URL"], middleware=[])
    yield sender
    sender.client.close()


@contextmanager
def worker(tidy: Tidy, between: Proxy) -> Iterator[Process]:
    """Run a worker behind the proxy, which must still be there in the end, and end well."""
    behind = replace(tidy, settings={**tidy.settings, "REDIS_URL": between.address})
    with behind.start("rundramatiq", "--processes=1", "--threads=2") as process:
        process.wait_for("ready for action", seconds=60)
        yield process
        assert process.popen.poll() is None, process.output()
        assert process.stop() == 0


def send(sender: WakingBroker, value: int, *, delay: int | None = None) -> None:
    message = Message[object]("default", "count", (value,), {}, {})
    sender.enqueue(message, delay=delay)


def push(sender: WakingBroker, queue: str, data: bytes | None) -> bytes:
    """Put anything into a queue; return its id."""
    key = uuid4().bytes
    if data is not None:
        sender.client.hset(f"dramatiq:{queue}.msgs", key, data)
    sender.client.rpush(f"dramatiq:{queue}", key)
    return key


def wait_for_effects(database: psycopg.Connection, effects: int, process: Process) -> None:
    wait_until(
        lambda: number(database, "SELECT count(*) FROM counted") >= effects,
        seconds=RECOVERED,
        otherwise=process.output,
    )


def effects(database: psycopg.Connection) -> list[int]:
    return [row[0] for row in database.execute("SELECT number FROM counted ORDER BY number")]


def test_messages_whose_reply_was_lost_run_once(
    tidy: Tidy, between: Proxy, counted: psycopg.Connection, sender: WakingBroker
) -> None:
    with worker(tidy, between) as process:
        send(sender, 0)
        wait_for_effects(counted, 1, process)
        for value in range(1, 60):
            if value % 20 == 1:
                between.cut_next_fetch_reply()
            send(sender, value)
        wait_until(lambda: between.lost == 3, seconds=RECOVERED, otherwise=process.output)
        wait_for_effects(counted, 60, process)
        between.cut_next_fetch_reply()
        send(sender, 60, delay=1)
        wait_for_effects(counted, 61, process)
    assert between.lost == 4
    assert effects(counted) == list(range(61))
    assert sender.client.hlen("dramatiq:default.msgs") == 0


@pytest.mark.parametrize("queue", ["default", "default.DQ"])
def test_unreadable_entries_are_dead_letters_and_those_behind_them_run(
    tidy: Tidy, between: Proxy, counted: psycopg.Connection, sender: WakingBroker, queue: str
) -> None:
    delay = None if queue == "default" else 1
    unreadable = []
    for value, data in enumerate((b"\xff\xfe\x00", b"null", b"[1, 2]", b"{}", b"", None)):
        send(sender, value, delay=delay)
        unreadable.append(push(sender, queue, data))
        send(sender, 10 + value, delay=delay)
    with worker(tidy, between) as process:
        wait_for_effects(counted, 12, process)
        wait_until(
            lambda: letters(sender.client).keys() == set(unreadable[:-1]),
            seconds=RECOVERED,
            otherwise=process.output,
        )
        send(sender, 20, delay=delay)
        wait_for_effects(counted, 13, process)
        process.wait_for("unreadable message moved to the dead letters", times=6)
    assert effects(counted) == [*range(6), *range(10, 16), 20]
    assert sender.client.llen(f"dramatiq:{queue}") == 0
    assert sender.client.hlen(f"dramatiq:{queue}.msgs") == 0
    checked = tidy.manage("tasks_status", "--check")
    assert checked.returncode == 1
    assert "The queue default has 5 dead letters" in checked.stdout + checked.stderr


def test_dead_letter_of_a_worker_says_why(tidy: Tidy, between: Proxy, sender: WakingBroker) -> None:
    sender.enqueue(Message("default", "break", (), {}, {}))
    with worker(tidy, between) as process:
        wait_until(
            lambda: len(letters(sender.client)) == 1,
            seconds=RECOVERED,
            otherwise=process.output,
        )
    (data,) = letters(sender.client).values()
    message = decoded(data)
    assert message
    assert str(message.options["traceback"]).endswith("ValueError: this is why\n")


def letters(client: "redis.Redis") -> dict[bytes, bytes]:
    """Return the dead letters by their ids."""
    found = client.hgetall("dramatiq:default.XQ.msgs")
    assert isinstance(found, dict)
    return found  # type: ignore[return-value]
