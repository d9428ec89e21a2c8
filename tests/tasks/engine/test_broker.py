"""Workers are woken when there is something to do, and lose nothing that they were given.

These look by themselves every ten seconds.
"""

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast
from uuid import uuid4

import dramatiq
import pytest
from dramatiq import Message, MessageProxy, Worker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AgeLimit, CurrentMessage, Retries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.engine.broker.consumer import FetchedMessage
from tasks.engine.broker.messages import decoded
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tests.examples import examples
from tests.processes import wait_until
from tests.proxy import proxy
from tests.servers import start_valkey

#: Far less than ten seconds, and far more than a slow machine needs.
SOON = 5

#: More than it takes a consumer to start again and to compare what it has (s).
IN_THE_END = 30

done: list[int] = []


@pytest.fixture
def broker(valkey: str) -> Iterator[WakingBroker]:
    """A broker of its own on the tests' server."""
    done.clear()
    broker = new_broker(valkey)
    yield broker
    for key in broker.client.scan_iter("waking:*"):
        broker.client.delete(key)
    broker.close()


def new_broker(url: str) -> WakingBroker:
    middleware = [CurrentMessage(), AgeLimit(), Retries(max_retries=0)]
    return WakingBroker(url=url, namespace="waking", middleware=middleware)


@pytest.fixture
def note(broker: WakingBroker) -> dramatiq.Actor[[int], None]:
    return actor_of(broker)


def actor_of(broker: WakingBroker) -> dramatiq.Actor[[int], None]:
    @dramatiq.actor(broker=broker)
    def note(number: int) -> None:
        done.append(number)

    return note


@pytest.fixture
def _soon_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have consumers start again sooner than after three seconds, and compare more often."""
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.2)
    monkeypatch.setattr("tasks.engine.broker.consumer.RECONCILE_SECONDS", 0.5)


@contextmanager
def worker(broker: WakingBroker, *, timeout: int = 10_000) -> Iterator[Worker]:
    middleware = list(broker.middleware)
    worker = Worker(broker, worker_threads=2, worker_timeout=timeout)
    worker.start()
    try:
        yield worker
    finally:
        for thread in worker.workers:
            thread.stop()
        for consumer in worker.consumers.values():
            consumer.stop()
        broker.client.publish(broker.keys("default").wake, b"")
        broker.client.publish(broker.keys("default.DQ").wake, b"")
        worker.stop(timeout=1)
        for consumer in worker.consumers.values():
            consumer.join(SOON)
        broker.middleware = middleware


def wait_for(condition: Callable[[], bool], *, seconds: float = SOON) -> None:
    wait_until(condition, seconds=seconds, otherwise=lambda: f"{len(done)} done")


def is_idle(broker: WakingBroker) -> bool:
    """Say whether both consumers have subscribed."""
    listening = broker.client.pubsub_numsub(
        broker.keys("default").wake, broker.keys("default.DQ").wake
    )
    return all(number == 1 for _, number in listening)


def test_idle_worker_is_woken_by_a_message(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    with worker(broker):
        wait_for(lambda: is_idle(broker))
        note.send(1)
        wait_for(lambda: done == [1])
        note.send(2)
        wait_for(lambda: done == [1, 2])


def test_worker_that_has_all_it_can_hold_fetches_on_as_soon_as_it_has_room(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    numbers = range(500)
    for number in numbers:
        note.send(number)
    with worker(broker):
        wait_for(lambda: len(done) == len(numbers))
    assert sorted(done) == list(numbers)


def test_message_that_another_worker_gives_back_wakes_one(
    broker: WakingBroker, note: dramatiq.Actor[[int], None], valkey: str
) -> None:
    other = WakingBroker(url=valkey, namespace="waking", middleware=[])
    note.send(1)
    (data,) = other.do_fetch("default", 1)
    with worker(broker):
        wait_for(lambda: is_idle(broker))
        assert done == []
        other.do_requeue("default", Message.decode(data).options["redis_message_id"])
        wait_for(lambda: done == [1])
    other.close()


# What was lost on its way.


def start_server(folder: Path, request: pytest.FixtureRequest) -> "subprocess.Popen[bytes]":
    """Start a server of the test's own, which ends with the test."""
    server = start_valkey(folder)
    request.addfinalizer(server.wait)
    request.addfinalizer(server.kill)
    return server


def fetched(broker: WakingBroker, queue: str = "default") -> set[bytes]:
    """Return what the server has down as this broker's."""
    acks = broker.client.smembers(f"waking:__acks__.{broker.broker_id}.{queue}")
    return cast("set[bytes]", acks)


def dead_letters(broker: WakingBroker) -> dict[bytes, bytes]:
    """Return the queue's dead letters by their ids."""
    return cast("dict[bytes, bytes]", broker.client.hgetall("waking:default.XQ.msgs"))


def error_of(broker: WakingBroker) -> str:
    """Return the error of the only dead letter."""
    (data,) = dead_letters(broker).values()
    message = decoded(data)
    assert message
    return str(message.options["traceback"])


def push(broker: WakingBroker, data: bytes | None, queue: str = "default") -> bytes:
    """Put anything into a queue, as anybody might; return its id."""
    key = uuid4().bytes
    if data is not None:
        broker.client.hset(f"waking:{queue}.msgs", key, data)
    broker.client.rpush(f"waking:{queue}", key)
    return key


@pytest.mark.usefixtures("_soon_restarted")
def test_messages_whose_reply_was_lost_run_once(valkey: str, broker: WakingBroker) -> None:
    folder = Path(valkey.removeprefix("unix://")).parent
    with proxy(folder, folder / "valkey.sock") as between:
        other = new_broker(between.address)
        note = actor_of(other)
        for number in range(20):
            note.send(number)
        between.cut_next_fetch_reply(times=2)
        with worker(other):
            wait_for(lambda: len(done) >= 20, seconds=IN_THE_END)
            wait_for(lambda: not fetched(other))
        assert between.lost == 2
    assert sorted(done) == list(range(20))


@pytest.mark.usefixtures("_soon_restarted")
def test_fetch_that_a_held_up_server_carries_out_later_strands_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done.clear()
    monkeypatch.setattr(
        "tasks.engine.broker.waking.TIMEOUT_SECONDS", SOON
    )  # Of whoever sends, here.
    server = start_server(tmp_path, request)
    broker = new_broker(f"unix://{tmp_path}/valkey.sock?socket_timeout=0.3")
    note = actor_of(broker)
    with worker(broker, timeout=200):
        wait_for(lambda: is_idle(broker))
        for number in range(40):
            note.send(number)
            if number % 10 == 5:
                server.send_signal(signal.SIGSTOP)
                # Several consumers ask in vain meanwhile; each request is carried out afterwards.
                Event().wait(1.5)
                server.send_signal(signal.SIGCONT)
                broker.short_timeout_client.ping()
        wait_for(lambda: set(done) == set(range(40)), seconds=IN_THE_END)
        wait_for(lambda: not fetched(broker), seconds=IN_THE_END)


@pytest.mark.usefixtures("_soon_restarted")
def test_message_that_was_fetched_behind_the_consumers_back_is_given_back_in_time(
    broker: WakingBroker, note: dramatiq.Actor[[int], None], valkey: str
) -> None:
    consumer = broker.consume("default", timeout=10)
    note.send(1)
    late = new_broker(valkey)
    late.broker_id = broker.broker_id
    assert len(late.do_fetch("default", 1)) == 1

    wait_for(lambda: next(consumer) is not None)
    consumer.close()


@pytest.mark.usefixtures("_soon_restarted")
def test_delayed_message_that_comes_due_while_the_broker_is_away_runs_when_it_is_back(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    done.clear()
    server = start_server(tmp_path, request)
    broker = new_broker(f"unix://{tmp_path}/valkey.sock")
    note = actor_of(broker)
    with worker(broker, timeout=200) as running:
        note.send_with_options(args=(1,), delay=1_500)
        note.send_with_options(args=(2,), delay=3_600_000)
        wait_for(lambda: len(fetched(broker, "default.DQ")) == 2)
        server.terminate()
        server.wait()
        Event().wait(2)
        start_server(tmp_path, request)
        wait_for(lambda: done == [1], seconds=IN_THE_END)
        assert all(consumer.is_alive() for consumer in running.consumers.values())
        # The one that is not due yet is fetched again, too, and the next one comes as ever.
        wait_for(lambda: len(broker.active("default.DQ")) == 1, seconds=IN_THE_END)
        note.send_with_options(args=(3,), delay=1)
        wait_for(lambda: done == [1, 3], seconds=IN_THE_END)


def test_what_is_in_hand_is_never_taken_for_lost(
    broker: WakingBroker, note: dramatiq.Actor[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.broker.consumer.RECONCILE_SECONDS", 0)
    for number in range(300):
        note.send(number)
    for number in range(300, 320):
        note.send_with_options(args=(number,), delay=100)
    with worker(broker, timeout=50):
        wait_for(lambda: len(done) >= 320, seconds=IN_THE_END)
        wait_for(lambda: not fetched(broker) and not fetched(broker, "default.DQ"))
    assert sorted(done) == list(range(320))


def test_message_stays_in_hand_until_the_server_knows_that_it_is_done(
    valkey: str, broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    folder = Path(valkey.removeprefix("unix://")).parent
    note.send(1)
    with proxy(folder, folder / "valkey.sock") as between:
        other = new_broker(between.address)
        consumer = other.consume("default", timeout=10)
        message = next(consumer)
        assert message
        between.close()
        for end in (consumer.ack, consumer.nack):
            with pytest.raises(ConnectionClosed):
                end(message)
        assert len(other.active("default")) == 1
        consumer.requeue([message])  # It is the next one's to give back.
        assert len(other.active("default")) == 0
        consumer.close()


def test_message_given_back_can_be_fetched_again_and_only_then_ends(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    note.send(1)
    consumer = broker.consume("default", timeout=10)
    for _ in range(3):
        message = next(consumer)
        assert isinstance(message, FetchedMessage)
        message.given_back = True
        consumer.ack(message)
        assert len(broker.active("default")) == 1
    message = next(consumer)
    assert message
    consumer.ack(message)
    assert next(consumer) is None
    assert not fetched(broker)
    assert not broker.client.hlen(broker.keys("default").messages)
    consumer.close()


def test_message_given_back_goes_to_the_queue_before_the_consumer_closes(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    note.send(1)
    consumer = broker.consume("default", timeout=10)
    message = next(consumer)
    assert isinstance(message, FetchedMessage)
    message.given_back = True
    consumer.ack(message)
    assert broker.client.llen(broker.keys("default").waiting) == 0
    consumer.close()
    assert broker.client.llen(broker.keys("default").waiting) == 1
    assert not fetched(broker)


def test_server_that_never_answers_is_a_lost_connection(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        broker = new_broker(f"unix://{tmp_path}/socket?socket_timeout=0.1")
        with pytest.raises(ConnectionClosed):
            broker.consume("default")


# What nobody can read.


def altered(**changes: object) -> bytes:
    """Return a message that is sound but for these changes."""
    sound = Message[Any]("default", "note", (9,), {}, {"redis_message_id": "1"})
    return json.dumps({**sound.asdict(), **changes}).encode()


UNREADABLE = {
    "bytes": b"\xff\xfe\x00",
    "nothing": b"",
    "null": b"null",
    "a list": b"[1, 2]",
    "a number": b"7",
    "an empty object": b"{}",
    "too deep": b"[" * 200_000,
    "args": altered(args=7),
    "actor": altered(actor_name=None),
    "options": altered(options=[]),
    "time": altered(message_timestamp="soon"),
    "no id": altered(options={}),
    "id": altered(options={"redis_message_id": 7}),
    "id of another": altered(),
    "id that is no text": altered(options={"redis_message_id": "\ud800"}),
    "throws": altered(options={"redis_message_id": "1", "throws": "x"}),
    "another queue": altered(queue_name="elsewhere"),
    "eta": altered(options={"redis_message_id": "1", "eta": float("inf")}),
}


@pytest.mark.parametrize("queue", ["default", "default.DQ"])
def test_unreadable_entries_become_dead_letters_and_those_behind_them_run(
    broker: WakingBroker, note: dramatiq.Actor[[int], None], queue: str
) -> None:
    broken = {}
    for number, (name, data) in enumerate(UNREADABLE.items()):
        broken[push(broker, data, queue)] = name
        note.send_with_options(args=(number,), delay=1 if queue == "default.DQ" else None)
    push(broker, None, queue)
    with worker(broker, timeout=100) as running:
        wait_for(lambda: set(range(len(UNREADABLE))) <= set(done), seconds=IN_THE_END)
        wait_for(lambda: dead_letters(broker).keys() == broken.keys())
        wait_for(lambda: not fetched(broker, queue))
        threads = [*running.consumers.values(), *running.workers]
        assert all(thread.is_alive() for thread in threads)
    assert set(done) <= {*range(len(UNREADABLE)), 9}
    assert broker.client.hlen(f"waking:{queue}.msgs") == 0


def test_dead_letter_says_what_is_wrong_with_a_message_of_another_queue(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    message = Message[Any]("elsewhere", "note", (1,), {}, {"redis_message_id": "1"})
    broker.do_enqueue("default", "1", message.encode())
    consumer = broker.consume("default", timeout=1)
    assert next(consumer) is None
    assert error_of(broker) == "It belongs to the queue 'elsewhere', not 'default'."
    consumer.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
fields = st.sampled_from([*Message("q", "a", (), {}, {}).asdict(), "unknown"])
options = st.dictionaries(
    st.sampled_from(["redis_message_id", "eta", "throws", "delivery", "retries"]), json_values
)
entries = (
    st.none()
    | st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(fields, json_values).map(lambda changes: altered(**changes))
    | options.map(lambda changed: altered(options={"redis_message_id": "1", **changed}))
)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pushed=st.lists(entries, min_size=1, max_size=4), queue=st.sampled_from(["", ".DQ"]))
def test_nothing_that_anybody_pushes_stops_a_consumer(
    broker: WakingBroker, pushed: list[bytes | None], queue: str
) -> None:
    queue = f"default{queue}"
    for key in broker.client.scan_iter("waking:*"):
        broker.client.delete(key)
    keys = {push(broker, data, queue) for data in pushed if data is not None}
    for data in pushed:
        if data is None:
            push(broker, data, queue)
    good = Message[Any]("default", "note", (1,), {}, {})
    if queue == "default":
        broker.enqueue(good)
    else:
        broker.enqueue(good, delay=0)

    consumer = broker.consume(queue, prefetch=2, timeout=1)
    seen: list[MessageProxy] = []
    for _ in range(50):
        message = next(consumer)
        if message:
            seen.append(message)
            consumer.ack(message)
    consumer._reconcile()  # noqa: SLF001  (in time it would itself)
    consumer.close()

    assert [message.message_id for message in seen].count(good.message_id) == 1
    assert dead_letters(broker).keys() <= keys
    assert len(dead_letters(broker)) + len(seen) - 1 >= len(keys)
    assert broker.client.llen(f"waking:{queue}") == 0
    assert fetched(broker, queue) == set()


# Dead letters say why.


def test_dead_letter_holds_the_traceback_of_its_failure(broker: WakingBroker) -> None:
    @dramatiq.actor(broker=broker)
    def fail(numbers: list[int]) -> None:
        numbers.clear()
        raise ValueError("x" * 50_000 + "the end")

    fail.send([1, 2])
    with worker(broker):
        wait_for(lambda: len(dead_letters(broker)) == 1)
    assert error_of(broker).endswith("the end\n")
    assert len(error_of(broker)) == 20_000
    (data,) = dead_letters(broker).values()
    message = decoded(data)
    assert message
    assert message.args == ([1, 2],)  # As they were sent.


def test_dead_letter_that_came_too_late_says_so(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    late = note.message_with_options(args=(1,), max_age=1).copy(message_timestamp=1)
    broker.enqueue(late)
    with worker(broker):
        wait_for(lambda: len(dead_letters(broker)) == 1)
    assert error_of(broker) == "It was not run: Message age limit exceeded."
    assert done == []


def test_message_of_an_unknown_actor_is_a_dead_letter_that_says_so(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    broker.enqueue(Message("default", "newer", (), {}, {}))
    with worker(broker):
        wait_for(lambda: len(dead_letters(broker)) == 1)
    assert error_of(broker) == "This worker's version of the code has no actor 'newer'."


def test_run_of_an_unknown_actor_becomes_no_dead_letter(
    broker: WakingBroker, note: dramatiq.Actor[[int], None]
) -> None:
    for number in range(3):
        broker.enqueue(Message("default", "newer", (), {}, {"delivery": f"run {number}"}))
    note.send(1)
    with worker(broker):
        wait_for(lambda: done == [1])
        wait_for(lambda: broker.client.hlen("waking:default.msgs") == 0)
    assert dead_letters(broker) == {}


def test_error_brings_nothing_back_to_life(broker: WakingBroker) -> None:
    consumer = broker.consume("default")
    consumer._reject(b"gone", "x")  # noqa: SLF001  (as when a worker acknowledges it meanwhile)
    consumer.close()
    assert broker.client.exists("waking:default.msgs") == 0


# Where a message is.


def test_whereabouts_of_messages_are_told_all_at_once(
    broker: WakingBroker, note: dramatiq.Actor[[int], None], valkey: str
) -> None:
    def send(name: str, *, delay: int | None = None) -> None:
        broker.enqueue(Message("default", "note", (1,), {}, {"delivery": name}), delay=delay)

    frozen, alive = new_broker(valkey), new_broker(valkey)
    for name, client in (("of the frozen", frozen), ("fetched", alive)):
        send(name)
        client.do_fetch("default", 1)
    for name in ("waiting", "off the list", "done"):
        send(name)
    send("delayed", delay=60_000)
    broker.client.lrem("waking:default", 1, "off the list")
    broker.client.hdel("waking:default.msgs", "done")
    broker.client.zadd("waking:__heartbeats__", {frozen.broker_id: 1})

    many = [f"none {number}" for number in range(1200)]
    found = broker.where("default", ["waiting", "fetched", *many, "delayed", "of the frozen"])
    gone = broker.where("default", ["off the list", "done"])

    assert {name: where for name, where in found.items() if where is not Whereabouts.NOWHERE} == {
        "waiting": Whereabouts.WAITING,
        "fetched": Whereabouts.FETCHED,
        "delayed": Whereabouts.WAITING,
        "of the frozen": Whereabouts.FETCHED_BY_SILENT,
    }
    assert len(found) == 1204
    assert set(gone.values()) == {Whereabouts.NOWHERE}
    assert broker.where("default", []) == {}


def test_message_far_back_in_a_long_queue_is_found(broker: WakingBroker) -> None:
    for first in range(0, 5000, 1000):
        ids = [str(number) for number in range(first, first + 1000)]
        broker.client.rpush("waking:default", *ids)
        broker.client.hset("waking:default.msgs", mapping=dict.fromkeys(ids, "x"))
    sought = ["0", "999", "1000", "4999"]
    assert broker.where("default", sought) == dict.fromkeys(sought, Whereabouts.WAITING)
