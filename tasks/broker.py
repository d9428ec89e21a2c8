"""Dramatiq's Redis broker, with workers that are woken, and that lose nothing they were given.

Dramatiq's own consumers look for messages at intervals: seldom, and a lone message waits; often,
and an idle worker burns its core. Ours sleep on a subscription, and whoever enqueues a message
wakes them. They still look once every `dramatiq_worker_timeout`, should a wake-up be lost, and for
the sake of messages that somebody else's program enqueued.

A fetch puts messages down to the worker before its reply is sent, so a reply that is lost leaves
them there for as long as that worker lives, and so does an entry that cannot be read. A consumer
therefore compares, every few seconds, what is down to it with what it has in hand.
"""

import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from itertools import count
from threading import Event, Lock
from time import monotonic
from typing import Any, cast

import redis
from dramatiq import Message, MessageProxy
from dramatiq.broker import Broker, get_broker
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed, DecodeError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

#: Whoever enqueues waits no longer than this for the connection, and again for the answer (s).
PATIENCE = 0.4

#: Between two comparisons of what is down to a consumer with what it has in hand (seconds).
RECONCILE_EVERY = 5.0

#: Entries of a queue that are read at a time to find some in it.
CHUNK = 10_000

#: Characters of an error that a dead letter keeps: the end says the most.
LONGEST_ERROR = 20_000

#: Writes an entry only where there is one: it may be gone by now.
REPLACE = """
    if redis.call("hexists", KEYS[1], ARGV[1]) == 1 then
        redis.call("hset", KEYS[1], ARGV[1], ARGV[2])
    end
"""


class Whereabouts(Enum):
    """Where the broker has a message."""

    NOWHERE = auto()
    #: In its queue, for any worker to fetch.
    WAITING = auto()
    #: Fetched by a worker that has been heard of lately, and not yet acknowledged.
    IN_HAND = auto()


class InHand:
    """What this process has been given of one queue and has not yet acknowledged.

    It outlives the consumer, which Dramatiq makes anew after each error: messages of the one before
    may still be at work.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: set[bytes] = set()
        self._unread: deque[Message[Any]] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, message: Message[Any]) -> None:
        """Take a message that was fetched, to be handed to a thread."""
        with self._lock:
            self._ids.add(delivery_of(message))
            self._unread.append(message)

    def next(self) -> Message[Any] | None:
        """Return the next one to be handed to a thread."""
        with self._lock:
            return self._unread.popleft() if self._unread else None

    def waiting(self) -> list[Message[Any]]:
        """Take out all that are still to be handed to a thread, and return them."""
        with self._lock:
            waiting = list(self._unread)
            self._unread.clear()
        return waiting

    def put_back(self, messages: Iterable[Message[Any]]) -> None:
        """Keep messages that could not be handed to anybody."""
        with self._lock:
            self._unread.extend(messages)

    def remove(self, message: Message[Any] | MessageProxy) -> None:
        """Have done with a message: the broker knows."""
        with self._lock:
            self._ids.discard(delivery_of(message))

    def strays(self, ids: set[bytes]) -> set[bytes]:
        """Return those of some ids that are not in hand."""
        with self._lock:
            return ids - self._ids

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._ids.clear()
            self._unread.clear()


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
        self._in_hand: dict[str, InHand] = {}
        #: Writes an entry only where there is one.
        self.replace = self.client.register_script(REPLACE)

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
            TypeError: the actor takes no such arguments.
            ValueError: an argument is out of the bounds that the actor's `check` knows.
        """
        delivery = message.options.get("delivery")
        if "redis_message_id" not in message.options:  # Else it has been through here before.
            check_arguments(self, message)
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

    def where(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Say where messages of a queue are, in a handful of exchanges.

        What only a worker that is gone has fetched counts as nowhere.

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        found = dict.fromkeys(deliveries, Whereabouts.NOWHERE)
        # One that is fetched or given back meanwhile is missed by one look, not by three.
        for look in (self._fetched, self._queued, self._fetched):
            missing = [name for name, where in found.items() if where is Whereabouts.NOWHERE]
            found.update(look(queue_name, missing))
        return found

    def _fetched(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Return those that a live worker has fetched."""
        if not deliveries:
            return {}
        client = self._sender.client
        alive_since = current_millis() - self.heartbeat_timeout
        workers = cast(
            "list[bytes]",
            client.zrangebyscore(f"{self.namespace}:__heartbeats__", alive_since, "+inf"),
        )
        with client.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.smismember(self.acks_key(queue_name, worker.decode()), list(deliveries))
            answers = pipe.execute()
        return {
            name: Whereabouts.IN_HAND
            for name, *held in zip(deliveries, *answers, strict=True)
            if any(held)
        }

    def _queued(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Return those that are in the queue, with what they say."""
        client, key = self._sender.client, f"{self.namespace}:{queue_name}"
        with client.pipeline(transaction=False) as pipe:
            for name in deliveries:
                pipe.hexists(f"{key}.msgs", name)
            kept = pipe.execute()
        wanted = {name.encode() for name, there in zip(deliveries, kept, strict=True) if there}
        found: set[bytes] = set()
        for start in count(0, CHUNK):
            if not wanted:
                break
            chunk = cast("list[bytes]", client.lrange(key, start, start + CHUNK - 1))
            found |= wanted.intersection(chunk)
            wanted -= found
            if len(chunk) < CHUNK:
                break
        return {name.decode(): Whereabouts.WAITING for name in found}

    def close(self) -> None:
        """Close the connections of both clients."""
        super().close()
        self.client.close()
        self.prompt_client.close()

    def in_hand(self, queue_name: str) -> InHand:
        """Return what this process has been given of a queue."""
        return self._in_hand.setdefault(queue_name, InHand())

    def acks_key(self, queue_name: str, worker: str | None = None) -> str:
        """Return what the broker calls the messages that a worker has fetched.

        Args:
            queue_name: of this queue.
            worker: what the broker calls the worker; None for this process.
        """
        return f"{self.namespace}:__acks__.{worker or self.broker_id}.{queue_name}"

    def _wake(self, queue_name: str) -> None:
        # They look by themselves, too, if only every so often.
        with suppress(RedisError):
            self._sender.client.publish(self.channel(queue_name), b"")

    def channel(self, queue_name: str) -> str:
        """Return the name of the channel on which a queue's consumers are woken."""
        return f"{self.namespace}:{queue_name}.wake"


@contextmanager
def closing() -> Iterator[None]:
    """Have Dramatiq connect anew, after a while, when the broker does not do what it should.

    Raises:
        ConnectionClosed: instead of any of redis-py's own errors, which would end a thread.
    """
    try:
        yield
    except RedisError as error:
        raise ConnectionClosed(error) from None


class WakingConsumer(_RedisConsumer):
    """A consumer that sleeps until a message comes, or until it may fetch one again."""

    def __init__(self, broker: WakingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        """Subscribe; from here on nothing is missed."""
        # Dramatiq's own consumer sleeps for `timeout` when it finds nothing: that is our part.
        super().__init__(broker, queue_name, prefetch, timeout=0)
        self._longest_sleep = timeout / 1000
        self._room = Event()
        self._reconcile_at = 0.0
        self._in_hand = broker.in_hand(queue_name)
        if queue_name.endswith(".DQ"):
            # Dramatiq forgets what was to be delayed when it makes a new consumer.
            self._in_hand.clear()
        with closing():
            self._subscription = broker.client.pubsub(ignore_subscribe_messages=True)
            self._subscription.subscribe(broker.channel(queue_name))

    @property
    def outstanding_message_count(self) -> int:
        """How many messages this process has in hand."""
        return len(self._in_hand)

    def __next__(self) -> MessageProxy | None:
        """Return a message; sleep and return None where there is none."""
        self._room.clear()
        # Asked before: then either it looks into the queue now, or whoever makes room wakes us.
        room = self.prefetch - self.outstanding_message_count
        with closing():
            if monotonic() >= self._reconcile_at:
                self._reconcile()
            message = self._in_hand.next()
            if message is None and room > 0:
                self._fetch(room)
                message = self._in_hand.next()
        if message is None:
            self._sleep(full=room <= 0)
            return None
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Have done with a message."""
        with closing():
            super().ack(message)
        self._done_with(message)

    def nack(self, message: MessageProxy) -> None:
        """Have done with a message that failed: it becomes a dead letter, with its error.

        Not so one that was sent for a run, and whose actor this process does not know: the run has
        been left to another worker (`RunLedger.before_nack`).
        """
        known = message.actor_name in self.broker.get_declared_actors()
        if "delivery" in message.options and not known:
            self.ack(message)
            return
        with closing():
            self._keep_error(message)
            super().nack(message)
        self._done_with(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back."""
        messages = list(messages)
        with closing():
            super().requeue(messages)
        for message in messages:
            self._done_with(message)

    def close(self) -> None:
        """Give back the subscription, and what no thread has been handed yet."""
        waiting = self._in_hand.waiting()
        try:
            self.requeue(MessageProxy(message) for message in waiting)
        except ConnectionClosed:
            self._in_hand.put_back(waiting)
        with suppress(RedisError, OSError):
            self._subscription.close()
        super().close()

    def _done_with(self, message: MessageProxy) -> None:
        # Not before the broker knows: until then it is down to this process, and would be a stray.
        self._in_hand.remove(message)
        self._room.set()

    def _fetch(self, number: int) -> None:
        """Take some messages in hand."""
        # If the reply is lost, or some of it cannot be read, this stands.
        self._reconcile_at = 0.0
        fetched = self.broker.do_fetch(self.queue_name, number)
        messages = [readable(data, self.queue_name) for data in fetched]
        for message in messages:
            if message is not None:
                self._in_hand.add(message)
        if None not in messages:
            self._reconcile_at = monotonic() + RECONCILE_EVERY

    def _reconcile(self) -> None:
        """Deal with what is down to this consumer and not in hand.

        Only this thread fetches for it, so whatever it was given before and does not know is lost.
        A message that another thread acknowledges at this moment is no longer down to it when one
        of the commands below comes, which then does nothing.
        """
        down = self.broker.client.smembers(self.broker.acks_key(self.queue_name))
        for stray in self._in_hand.strays(down):
            self._put_right(stray)
        self._reconcile_at = monotonic() + RECONCILE_EVERY

    def _put_right(self, stray: bytes) -> None:
        data = self.broker.client.hget(f"{self.broker.namespace}:{self.queue_name}.msgs", stray)
        message = readable(data, self.queue_name)
        if data is None:
            self.broker.do_ack(self.queue_name, stray)
        elif message is None or delivery_of(message) != stray:
            self.logger.error(
                "Unreadable entry %r of %r made a dead letter.", stray, self.queue_name
            )
            self.broker.do_nack(self.queue_name, stray)
        else:
            self.logger.warning("Lost message %r given back to %r.", stray, self.queue_name)
            self.broker.do_requeue(self.queue_name, stray)

    def _keep_error(self, message: MessageProxy) -> None:
        """Have the dead letter say why it is one: what the broker has of it does not."""
        error = str(message.options.get("traceback") or "") or explained(message)
        kept = message.copy(options={"traceback": error[-LONGEST_ERROR:]})
        key = f"{self.broker.namespace}:{self.queue_name}.msgs"
        self.broker.replace(keys=[key], args=[delivery_of(message), kept.encode()])

    def _sleep(self, *, full: bool) -> None:
        if full:
            self._room.wait(self._longest_sleep)
            return
        with closing():
            # What came since the queue was found empty waits in the socket; all of it is one call.
            woken = self._subscription.get_message(timeout=self._longest_sleep)
            while woken:
                woken = self._subscription.get_message(timeout=0)


def explained(message: MessageProxy) -> str:
    """Return why a message was given up that has no traceback."""
    error = message._exception  # noqa: SLF001  (Dramatiq has no public name for it)
    if error is None:
        return "It was given up before its actor was called: it was too old, or refused."
    return f"{type(error).__name__}: {error}"


def readable(data: bytes | None, queue_name: str | None = None) -> Message[Any] | None:
    """Return the message that an entry holds; None if it is none that Dramatiq could deal with.

    Args:
        data: the entry: whoever wrote it need not have been Dramatiq.
        queue_name: the queue that it must be for; None for any.
    """
    try:
        message = Message.decode(data or b"")
    except (DecodeError, TypeError, ValueError, RecursionError):
        return None
    parts: tuple[tuple[object, Any], ...] = (
        *((message.args, list | tuple), (message.kwargs, dict), (message.options, dict)),
        *((message.actor_name, str), (message.message_id, str), (message.queue_name, str)),
        (message.message_timestamp, int),
    )
    sound = all(isinstance(part, kind) for part, kind in parts)
    if sound and queue_name is not None:
        sound = message.queue_name == queue_name and "redis_message_id" in message.options
    return message if sound else None


def delivery_of(message: Message[Any] | MessageProxy) -> bytes:
    """Return what the broker calls a message that came from it."""
    return str(message.options["redis_message_id"]).encode()


def check_arguments(broker: Broker, message: Message[Any]) -> None:
    """Refuse a message that its actor could do nothing with, if this process knows the actor.

    Raises:
        TypeError: the actor takes no such arguments.
        ValueError: an argument is out of the bounds that the actor's `check` knows.
    """
    actor = broker.actors.get(message.actor_name)
    if actor is None:
        return
    try:
        inspect.signature(actor.fn).bind(*message.args, **message.kwargs)
    except TypeError as error:
        raise TypeError(f"{message.actor_name}: {error}") from error
    if check := actor.options.get("check"):
        check(*message.args, **message.kwargs)


def prompt_client() -> "redis.Redis":
    """Return a client of this process's broker that gives up soon."""
    return cast("WakingBroker", get_broker()).prompt_client


def queue_key(name: str) -> str:
    """Return what the broker calls a queue."""
    return f"{cast('WakingBroker', get_broker()).namespace}:{name}"
