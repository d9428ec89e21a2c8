"""Dramatiq's Redis broker, with workers that are woken when there is something to do.

Dramatiq's own consumers look for messages at intervals: seldom, and a lone message waits; often,
and an idle worker burns its core. Ours sleep on a subscription, and whoever enqueues a message
wakes them. They still look once every `dramatiq_worker_timeout`, should a wake-up be lost, and for
the sake of messages that somebody else's program enqueued.
"""

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from threading import Event
from typing import Any, cast

import redis
from dramatiq import Message, MessageProxy
from dramatiq.broker import get_broker
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

#: Whoever enqueues waits no longer than this for the connection, and again for the answer (s).
PATIENCE = 0.4


class Whereabouts(Enum):
    """Where the broker has a message."""

    NOWHERE = auto()
    WAITING = auto()
    IN_HAND = auto()


class WakingBroker(RedisBroker):
    """A RedisBroker whose `enqueue` gives up soon, and wakes those who wait."""

    def __init__(self, *, url: str, **options: Any) -> None:
        """Prepare to use the server at `url`; `options` are RedisBroker's."""
        super().__init__(url=url, **options)
        # Only its commands are used: the same ones, by an impatient client.
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=PATIENCE,
            socket_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        #: A client that gives up soon.
        self.prompt_client: redis.Redis = client
        self._sender = RedisBroker(client=client, **{**options, "middleware": []})

    @property
    def consumer_class(self) -> type["WakingConsumer"]:
        """What looks for messages in a worker."""
        return WakingConsumer

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put a message into its queue.

        A message with the option `delivery` keeps that as its name in the broker, so that whoever
        sent it can ask later whether the broker still has it (`has`).

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        delivery = message.options.get("delivery")
        if delivery is None or delay is not None:
            return super().enqueue(message, delay=delay)
        message = message.copy(options={"redis_message_id": delivery})
        self.emit_before("enqueue", message, delay)
        self.do_enqueue(message.queue_name, delivery, message.encode())
        self.emit_after("enqueue", message, delay)
        return message

    def do_enqueue(self, queue_name: str, delivery: str, data: bytes) -> None:
        """Put an encoded message into a queue and wake its consumers."""
        self._sender.do_enqueue(queue_name, delivery, data)
        self._wake(queue_name)

    def do_requeue(self, queue_name: str, *deliveries: str) -> None:
        """Give messages back to their queue and wake its consumers."""
        self._dispatch("requeue")(queue_name, *deliveries)
        self._wake(queue_name)

    def has(self, queue_name: str, delivery: str) -> bool:
        """Say whether a message is in its queue, or fetched by a worker and not yet acknowledged.

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        client = self._sender.client
        queue = f"{self.namespace}:{queue_name}"
        if not client.hexists(f"{queue}.msgs", delivery):
            return False
        if client.lpos(queue, delivery) is not None:
            return True
        acks = f"{self.namespace}:__acks__.{{}}.{queue_name}"
        workers = cast("list[bytes]", client.zrange(f"{self.namespace}:__heartbeats__", 0, -1))
        with client.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.sismember(acks.format(worker.decode()), delivery)
            return any(pipe.execute())

    def where(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Say where messages are."""
        return {
            delivery: Whereabouts.WAITING if self.has(queue_name, delivery) else Whereabouts.NOWHERE
            for delivery in deliveries
        }

    def _wake(self, queue_name: str) -> None:
        # They look by themselves, too, if only every so often.
        with suppress(RedisError):
            self._sender.client.publish(self.channel(queue_name), b"")

    def channel(self, queue_name: str) -> str:
        """Return the name of the channel on which a queue's consumers are woken."""
        return f"{self.namespace}:{queue_name}.wake"


class WakingConsumer(_RedisConsumer):
    """A consumer that sleeps until a message comes, or until it may fetch one again."""

    def __init__(self, broker: WakingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        """Subscribe; from here on nothing is missed."""
        # Dramatiq's own consumer sleeps for `timeout` when it finds nothing: that is our part.
        super().__init__(broker, queue_name, prefetch, timeout=0)
        self._longest_sleep = timeout / 1000
        self._room = Event()
        try:
            self._subscription = broker.client.pubsub(ignore_subscribe_messages=True)
            self._subscription.subscribe(broker.channel(queue_name))
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None

    def __next__(self) -> MessageProxy | None:
        """Return a message; sleep and return None where there is none."""
        self._room.clear()
        # Asked before: then either it looks into the queue now, or whoever makes room wakes us.
        full = self.outstanding_message_count >= self.prefetch
        message: MessageProxy | None = super().__next__()
        if message is None:
            self._sleep(full=full)
        return message

    def ack(self, message: MessageProxy) -> None:
        """Have done with a message."""
        super().ack(message)
        self._room.set()

    def nack(self, message: MessageProxy) -> None:
        """Have done with a message that failed."""
        super().nack(message)
        self._room.set()

    def close(self) -> None:
        """Give the subscription back."""
        with suppress(RedisError, OSError):
            self._subscription.close()
        super().close()

    def _sleep(self, *, full: bool) -> None:
        if full:
            self._room.wait(self._longest_sleep)
            return
        try:
            # What came since the queue was found empty waits in the socket; all of it is one call.
            woken = self._subscription.get_message(timeout=self._longest_sleep)
            while woken:
                woken = self._subscription.get_message(timeout=0)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None


def prompt_client() -> "redis.Redis":
    """Return a client of this process's broker that gives up soon."""
    return cast("WakingBroker", get_broker()).prompt_client


def queue_key(name: str) -> str:
    """Return what the broker calls a queue."""
    return f"{cast('WakingBroker', get_broker()).namespace}:{name}"
