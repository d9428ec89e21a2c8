"""Dramatiq's Redis broker, with workers that are woken by a message and lose none.

Dramatiq's own consumers poll: at long intervals a lone message waits, at short ones an idle worker
burns its core. Ours sleep on a subscription, and the sender of a message wakes them
(`consumer.py`). They still poll once every `dramatiq_worker_timeout`, in case a wake-up is lost or
a program other than ours enqueued a message.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import batched
from typing import Any, cast

import redis
from dramatiq import Message
from dramatiq.broker import get_broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tasks.engine.broker.active import ActiveMessages
from tasks.engine.broker.clients import client_for
from tasks.engine.broker.consumer import WakingConsumer
from tasks.engine.broker.intake import Intake
from tasks.engine.broker.keys import IDS_PER_EXCHANGE, QueueKeys, acks_key, heartbeats_key
from tasks.engine.broker.messages import check_arguments
from tasks.engine.broker.whereabouts import LOCATE, Whereabouts

#: A sender waits no longer than this for the connection, and again for the answer.
TIMEOUT_SECONDS = 0.4


class WakingBroker(RedisBroker):
    """A RedisBroker whose `enqueue` has a short timeout, and wakes the consumers."""

    def __init__(self, *, url: str, **options: Any) -> None:
        super().__init__(client=client_for(url), **options)
        client = client_for(
            url,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        #: For callers that cannot wait: `client` retries, and waits for longer.
        self.short_timeout_client: redis.Redis = client
        # Only its commands are used: the same ones, by the other client.
        self._sender = RedisBroker(client=client, **{**options, "middleware": []})
        self._locate = client.register_script(LOCATE)
        self._active: dict[str, ActiveMessages] = {}
        self.intake = Intake()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> WakingConsumer:
        """Return a new consumer of a queue; `timeout` is in milliseconds."""
        active = self.active(queue_name)
        active.polls += 1
        return WakingConsumer(self, self.keys(queue_name), active, self.intake, prefetch, timeout)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put a message into its queue.

        A message with the option `delivery` has that as its id in the broker, so that its sender
        can ask later whether the broker still has it (`where`).

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
            TypeError, ValueError: its arguments are wrong (`check_arguments`).
        """
        delivery = message.options.get("delivery")
        if delivery is None:
            # A run's were checked when it was created, perhaps by another version: its actor says
            # what is wrong with them.
            if "redis_message_id" not in message.options:  # Else it has been through here before.
                check_arguments(self, message)
            return super().enqueue(message, delay=delay)
        message = message.copy(options={"redis_message_id": delivery})
        if delay is not None:
            message = message.copy(
                queue_name=dq_name(message.queue_name), options={"eta": current_millis() + delay}
            )
        self.emit_before("enqueue", message, delay)
        self.do_enqueue(message.queue_name, delivery, message.encode())
        self.emit_after("enqueue", message, delay)
        return message

    def do_enqueue(self, queue_name: str, delivery: str, data: bytes) -> None:
        self._sender.do_enqueue(queue_name, delivery, data)
        self._wake(queue_name)

    def do_requeue(self, queue_name: str, *deliveries: str | bytes) -> None:
        self._dispatch("requeue")(queue_name, *deliveries)
        self._wake(queue_name)

    def where(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Say where messages are that were sent with these options `delivery`, 500 an exchange.

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        keys = self.keys(queue_name)
        of_queue = [keys.waiting, keys.messages, keys.delayed_messages]
        of_clients = [heartbeats_key(self.namespace), acks_key(self.namespace)]
        found: dict[str, Whereabouts] = {}
        for ids in batched(dict.fromkeys(deliveries), IDS_PER_EXCHANGE):
            alive_since = current_millis() - self.heartbeat_timeout
            codes = self._locate([*of_queue, *of_clients], [alive_since, queue_name, *ids])
            found |= dict(zip(ids, map(Whereabouts, cast("list[int]", codes)), strict=True))
        return found

    def close(self) -> None:
        super().close()
        self.client.close()
        self.short_timeout_client.close()

    def active(self, queue_name: str) -> ActiveMessages:
        """Return the active messages of a queue; they outlive the queue's consumers."""
        return self._active.setdefault(queue_name, ActiveMessages())

    def keys(self, queue_name: str) -> QueueKeys:
        return QueueKeys(self.namespace, queue_name)

    def _wake(self, queue_name: str) -> None:
        # A lost wake-up costs time alone: consumers poll as well.
        with suppress(RedisError):
            self._sender.client.publish(self.keys(queue_name).wake, b"")


def current_broker() -> WakingBroker:
    return cast("WakingBroker", get_broker())
