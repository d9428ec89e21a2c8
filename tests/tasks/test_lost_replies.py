"""What a worker was given and never got, and what nobody can read: neither holds up the rest."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dramatiq
import psycopg
import pytest
import redis
from dramatiq import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.broker import WakingBroker, WakingConsumer, readable
from tests.counting import number
from tests.processes import Tidy
from tests.proxy import LossyProxy, lossy_proxy
from tests.tasks.faults import add_actors, enqueue, wait_for_state, watching

#: A worker reconciles every five seconds; the rest is for a slow machine.
SOON = 20

#: Entries of a queue that are none of Dramatiq's messages.
GARBAGE = [
    b"",
    b"\xff\xfe\x00 no text",
    b"null",
    b"[]",
    b"{}",
    b'{"queue_name": "default"}',
    b'{"queue_name": "default", "actor_name": 7, "args": {}, "kwargs": [], "options": null}',
    b"[" * 100_000,
]


@pytest.fixture
def proxied(tidy: Tidy) -> Iterator[tuple[Tidy, LossyProxy]]:
    """The project, with a proxy before its broker."""
    socket = Path(tidy.settings["REDIS_URL"].removeprefix("unix://"))
    with lossy_proxy(socket.parent, socket) as proxy:
        yield Tidy(tidy.folder, {**tidy.settings, "REDIS_URL": proxy.address}), proxy


@contextmanager
def worker_of(tidy: Tidy) -> Iterator[None]:
    with tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        worker.wait_for("Worker process is ready")
        yield
        assert worker.stop() == 0, worker.output()
    assert "Traceback" not in worker.output()


@pytest.mark.e2e
def test_messages_whose_reply_got_lost_run_soon_and_once(
    tidy: Tidy, proxied: tuple[Tidy, LossyProxy]
) -> None:
    behind, proxy = proxied
    with (
        psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as sql,
        ExitStack() as all_,
    ):
        add_actors(tidy, sql)
        all_.enter_context(worker_of(behind))
        verdicts = all_.enter_context(watching(tidy))
        proxy.cut_fetches(3)
        runs = [enqueue(tidy, "test_nap, seconds=0") for _ in range(4)]
        by_hand = tidy.manage("ping", "--wait=30")
        assert by_hand.returncode == 0, by_hand.stderr
        for run in runs:
            row = wait_for_state(sql, run, "succeeded", "failed", seconds=SOON)
            assert (row["state"], row["attempts"]) == ("succeeded", 1)
        # There is no scheduler that could have sent them again.
        verdicts.wait_for("No scheduler is alive.")
        assert proxy.cuts == 3
        assert number(sql, "SELECT count(*) FROM effect") == len(runs)


@pytest.mark.e2e
def test_unreadable_entries_become_dead_letters_and_those_behind_them_run(tidy: Tidy) -> None:
    client = redis.Redis.from_url(tidy.settings["REDIS_URL"])
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as sql:
        add_actors(tidy, sql)
        runs = [enqueue(tidy, "test_nap, seconds=0")]
        for data in GARBAGE:
            put(client, "dramatiq:default", data)
        client.rpush("dramatiq:default", "without any data")
        put(client, "dramatiq:default.DQ", b"garbage")
        runs.append(enqueue(tidy, "test_nap, seconds=0"))
        with worker_of(tidy), watching(tidy) as verdicts:
            for run in runs:
                row = wait_for_state(sql, run, "succeeded", "failed", seconds=SOON)
                assert (row["state"], row["attempts"]) == ("succeeded", 1)
            verdicts.wait_for(f"dead letters: {len(GARBAGE) + 1}", seconds=SOON)
            assert client.hlen("dramatiq:default.msgs") == client.llen("dramatiq:default") == 0
    client.close()


def put(client: "redis.Redis", queue: str, data: bytes) -> str:
    """Put an entry into a queue, as Dramatiq does; return what the broker calls it."""
    name = str(uuid4())
    client.hset(f"{queue}.msgs", name, data)
    client.rpush(queue, name)
    return name


@pytest.fixture
def broker(valkey: str) -> Iterator[WakingBroker]:
    """A broker of its own on the tests' server."""
    broker = WakingBroker(url=valkey, namespace="lossy", middleware=[])
    yield broker
    for key in broker.client.scan_iter("lossy:*"):
        broker.client.delete(key)
    broker.close()


def drain(consumer: WakingConsumer) -> list[str]:
    """Take and acknowledge messages until there is none; return their actors' names."""
    names = []
    for _ in range(2):  # What is given back comes with the next look.
        while (message := next(consumer)) is not None:
            names.append(message.actor_name)
            consumer.ack(message)
        consumer._reconcile_at = 0.0  # noqa: SLF001
    return names


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=200) | st.sampled_from(GARBAGE), max_size=6))
def test_whatever_is_in_a_queue_the_messages_among_it_come_through(
    broker: WakingBroker, entries: list[bytes]
) -> None:
    good: Message[Any] = Message(
        queue_name="default", actor_name="good", args=(), kwargs={}, options={}
    )
    for data in entries:
        put(broker.client, "lossy:default", data)
        broker.enqueue(good)
    consumer = WakingConsumer(broker, "default", prefetch=3, timeout=1)
    try:
        assert drain(consumer) == ["good"] * len(entries)
        assert broker.client.zcard("lossy:default.XQ") == len(entries)
        assert len(broker.in_hand("default")) == 0
        assert not broker.client.exists(broker.acks_key("default"))
    finally:
        consumer.close()
        for key in broker.client.scan_iter("lossy:*"):
            broker.client.delete(key)


def test_message_that_says_it_is_another_is_no_message_of_this_queue(broker: WakingBroker) -> None:
    sent = broker.enqueue(
        Message(queue_name="default", actor_name="good", args=(), kwargs={}, options={})
    )
    put(broker.client, "lossy:default", sent.encode())
    consumer = WakingConsumer(broker, "default", prefetch=9, timeout=1)
    drain(consumer)
    assert broker.client.zcard("lossy:default.XQ") == 1
    consumer.close()
    assert readable(sent.encode(), "default") is not None
    assert readable(sent.encode(), "other") is None


def test_consumer_that_is_closed_gives_back_what_no_thread_was_handed(
    broker: WakingBroker,
) -> None:
    for _ in range(3):
        broker.enqueue(
            Message(queue_name="default", actor_name="good", args=(), kwargs={}, options={})
        )
    consumer = WakingConsumer(broker, "default", prefetch=9, timeout=1)
    assert next(consumer) is not None
    assert broker.client.llen("lossy:default") == 0
    consumer.close()
    assert broker.client.llen("lossy:default") == 2
    assert len(broker.in_hand("default")) == 1


def test_delayed_messages_that_dramatiq_forgot_are_found_by_the_next_consumer(
    broker: WakingBroker,
) -> None:
    later: Message[Any] = Message(
        queue_name="default", actor_name="good", args=(), kwargs={}, options={}
    )
    broker.enqueue(later, delay=60_000)
    first = WakingConsumer(broker, "default.DQ", prefetch=9, timeout=1)
    assert next(first) is not None
    # As Dramatiq does after a lost connection: the consumer is made anew, the message forgotten.
    second = WakingConsumer(broker, "default.DQ", prefetch=9, timeout=1)
    assert next(second) is not None
    first.close()
    second.close()


def test_dead_letter_says_why_it_is_one(valkey: str, broker: WakingBroker) -> None:
    @dramatiq.actor(broker=broker)
    def known() -> None:
        """Do nothing."""

    for name in ("known", "unknown"):
        broker.enqueue(
            Message(queue_name="default", actor_name=name, args=(), kwargs={}, options={})
        )
    consumer = WakingConsumer(broker, "default", prefetch=9, timeout=1)
    for _ in range(2):
        message = next(consumer)
        assert message is not None
        message.fail()
        message.stuff_exception(ValueError(f"no {message.actor_name}"))
        consumer.nack(message)
    consumer.close()
    letters = broker.client.hvals("lossy:default.XQ.msgs")
    errors = {
        letter.options["traceback"]
        for data in cast("list[bytes]", letters)
        if (letter := readable(data)) is not None
    }
    assert errors == {"ValueError: no known", "ValueError: no unknown"}
