"""Workers are woken when there is something to do; these look by themselves every ten seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dramatiq
import pytest
from dramatiq import Message, Worker
from dramatiq.middleware import CurrentMessage

from tasks.broker import WakingBroker
from tests.processes import wait_until

#: Far less than ten seconds, and far more than a slow machine needs.
SOON = 5

done: list[int] = []


@pytest.fixture
def broker(valkey: str) -> Iterator[WakingBroker]:
    """A broker of its own on the tests' server."""
    done.clear()
    broker = WakingBroker(url=valkey, namespace="waking", middleware=[CurrentMessage()])
    yield broker
    for key in broker.client.scan_iter("waking:*"):
        broker.client.delete(key)
    broker.close()


@pytest.fixture
def note(broker: WakingBroker) -> dramatiq.Actor[[int], None]:
    @dramatiq.actor(broker=broker)
    def note(number: int) -> None:
        done.append(number)

    return note


@contextmanager
def worker(broker: WakingBroker) -> Iterator[Worker]:
    middleware = list(broker.middleware)
    worker = Worker(broker, worker_threads=2, worker_timeout=10_000)
    worker.start()
    try:
        yield worker
    finally:
        for thread in worker.workers:
            thread.stop()
        for consumer in worker.consumers.values():
            consumer.stop()
        broker.client.publish(broker.channel("default"), b"")
        broker.client.publish(broker.channel("default.DQ"), b"")
        worker.stop(timeout=1)
        broker.middleware = middleware


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, seconds=SOON, otherwise=lambda: f"{len(done)} done")


def is_idle(broker: WakingBroker) -> bool:
    """Say whether both consumers have subscribed."""
    listening = broker.client.pubsub_numsub(broker.channel("default"), broker.channel("default.DQ"))
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
