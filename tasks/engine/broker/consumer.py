"""A consumer of a queue that is woken by a message and loses none.

Dramatiq's fetch marks messages as this worker's before it answers. If the answer is lost, or holds
something unreadable, Dramatiq forgets them, and no other worker gets them while this one lives.
Ours compares the messages that the server has marked as this worker's with those that are active
here, every few seconds, and gives back the rest.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import batched
from threading import Event
from time import monotonic
from typing import Any, cast

import structlog
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.exceptions import RedisError

from tasks.engine.broker.active import ActiveMessages
from tasks.engine.broker.intake import Intake
from tasks.engine.broker.keys import IDS_PER_EXCHANGE, QueueKeys
from tasks.engine.broker.messages import decoded, failure_of, flaw_of, id_of
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: How often a consumer compares its active messages with those that the server has marked as its.
RECONCILE_SECONDS = 5.0

#: How many characters of a traceback a dead letter keeps: the last ones.
MAX_ERROR_LENGTH = 20_000

#: Replaces the value of a key of a hash, unless the key has been deleted: it must stay deleted.
REPLACE = """
if redis.call("hexists", KEYS[1], ARGV[1]) == 1 then
    redis.call("hset", KEYS[1], ARGV[1], ARGV[2])
end
"""


class FetchedMessage(MessageProxy):
    """A message in the hands of this process.

    Attributes:
        given_back: it goes back to its queue where Dramatiq would acknowledge it.
    """

    given_back = False


class WakingConsumer(_RedisConsumer):
    """A consumer that sleeps until a message comes, or until it may fetch one again.

    It belongs to one thread. Worker threads call `ack` and `nack`. While the broker is away, these,
    `__init__` and `__next__` raise ConnectionClosed: Dramatiq then repeats an `ack` or `nack`, as
    its message is still active, and restarts the consumer.
    """

    def __init__(
        self,
        broker: RedisBroker,
        keys: QueueKeys,
        active: ActiveMessages,
        intake: Intake,
        prefetch: int,
        timeout: int,
    ) -> None:
        """Give back what an earlier consumer lost, and subscribe; from here on nothing is missed.

        Args:
            prefetch: how many active messages there may be.
            timeout: how long to sleep at most (ms).
        """
        # Dramatiq's own consumer sleeps for `timeout` when it finds nothing: ours does that itself.
        super().__init__(broker, keys.queue, prefetch, timeout=0)
        self._keys = keys
        self._active = active
        self._intake = intake
        self._max_sleep_seconds = timeout / 1000
        self._has_room = Event()
        self._fetched: deque[Message[Any]] = deque()
        self._replace = broker.client.register_script(REPLACE)
        # Dramatiq drops what was delayed when the connection breaks.
        active.forget_kept()
        with errors_as_closed():
            self._reconcile()
            self._subscription = broker.client.pubsub(ignore_subscribe_messages=True)
            self._subscription.subscribe(keys.wake)

    @property
    def outstanding_message_count(self) -> int:
        return len(self._active)

    def __next__(self) -> MessageProxy | None:
        """Return a message; where there is none, sleep and return None."""
        self._active.polls += 1
        with errors_as_closed():
            self._return(self._active.to_return())
            if monotonic() >= self._reconcile_at:
                self._reconcile()
            if not self._intake.takes_from(self.queue_name):
                self._rest()
            elif not self._fetched:
                self._has_room.clear()
                # Only then look: either there is room now, or the thread that makes some wakes us.
                room = self.prefetch - self.outstanding_message_count
                if room <= 0 or not self._fetch(room):
                    self._sleep(full=room <= 0)
            if not self._fetched:
                return None
        message = self._fetched.popleft()
        # Dramatiq keeps those with an `eta` with the consumer.
        if message.options.get("eta") is None:
            self._active.pass_on(id_of(message))
        return FetchedMessage(message)

    def ack(self, message: MessageProxy) -> None:
        if isinstance(message, FetchedMessage) and message.given_back:
            self._active.give_back(id_of(message))
            self._has_room.set()
            return
        with errors_as_closed():
            self.broker.do_ack(self.queue_name, id_of(message))
        self._remove(message)

    def nack(self, message: MessageProxy) -> None:
        """Turn a message that failed into a dead letter, with its error.

        The message of a run whose actor this process does not know is dropped instead: the run is
        in its row, for another worker.
        """
        if "delivery" in message.options and message.actor_name not in self.broker.actors:
            self.ack(message)
            return
        with errors_as_closed():
            self._reject(id_of(message), failure_of(message))
        self._remove(message)

    def requeue(self, messages: Iterable[MessageProxy | Message[Any]]) -> None:
        """Give messages back that no thread has begun; by the consumer's thread, or after its end.

        If the broker is away they still stop being active: the next consumer gives them back, or
        another worker fetches them when this process is gone.
        """
        self._try_to_return([id_of(message) for message in messages])

    def close(self) -> None:
        """Give back what was fetched and not passed on, and end the subscription."""
        self._try_to_return([*self._active.to_return(), *map(id_of, self._fetched)])
        self._fetched.clear()
        with suppress(RedisError, OSError):
            self._subscription.close()
        super().close()

    def _return(self, ids: Sequence[bytes]) -> None:
        if ids:
            self.broker.do_requeue(self.queue_name, *ids)
            self._active.remove(*ids)

    def _try_to_return(self, ids: Sequence[bytes]) -> None:
        try:
            self._return(ids)
        except (RedisError, OSError) as error:
            logger.warning(
                "messages not returned yet",
                queue=self.queue_name,
                messages=len(ids),
                error=str(error),
            )
            self._active.remove(*ids)

    def _remove(self, message: MessageProxy) -> None:
        # Only once the server has been told: otherwise the message would be run again.
        self._active.remove(id_of(message))
        self._has_room.set()

    def _fetch(self, room: int) -> bool:
        """Fetch up to `room` messages; say whether there were any, readable or not."""
        contents = cast("list[bytes | None]", self.broker.do_fetch(self.queue_name, room))
        # Not where it is only read from: without memory it answers that, and takes no message.
        outages.resolve("broker")
        messages = [decoded(data) for data in contents]
        sound = [one for one in messages if one and not flaw_of(one, queue=self.queue_name)]
        # All at once, or what waits here would seem lost.
        self._active.add(*map(id_of, sound))
        self._fetched.extend(sound)
        if len(sound) < len(contents):
            self._reconcile()
        return bool(contents)

    def _rest(self) -> None:
        """Give back what was fetched and not passed on, and sleep: nothing may be taken now."""
        self.requeue(self._fetched)
        self._fetched.clear()
        # Or the broker takes this process for dead, and passes on what it is still at work on.
        self.broker.do_qsize(self.queue_name)
        self._sleep(full=False)

    def _reconcile(self) -> None:
        """Give back the messages that the server has marked as ours and that are not active here.

        A lost reply held them, or they were unreadable. A server that was held up may even execute
        the fetch after its reply was given up: hence every few seconds.
        """
        self._reconcile_at = monotonic() + RECONCILE_SECONDS
        # Only this thread adds active messages, so a message that the server names and that was not
        # active before the question is lost. What workers acknowledge in between was active; and
        # the scripts below do nothing to an id that is no longer marked as ours.
        active = self._active.ids()
        key = self._keys.fetched_by(self.broker.broker_id)
        ours = cast("set[bytes]", self.broker.client.smembers(key))
        for ids in batched(ours - active, IDS_PER_EXCHANGE):
            self._give_back(ids)

    def _give_back(self, ids: Sequence[bytes]) -> None:
        """Give lost messages back to the queue; turn what is unreadable into dead letters."""
        contents = self.broker.client.hmget(self._keys.messages, cast("list[str]", list(ids)))
        lost = []
        for key, data in zip(ids, cast("list[bytes | None]", contents), strict=True):
            message = decoded(data)
            flaw = "It is not one of Dramatiq's messages."
            if message:
                flaw = flaw_of(message, queue=self.queue_name, stored_as=key)
            if data is None:  # Nothing to keep.
                flaw = "It is only an id."
                self.broker.do_ack(self.queue_name, key)
            elif flaw:
                self._reject(key, flaw)
            else:
                lost.append(key)
                continue
            logger.error(
                "unreadable message moved to the dead letters",
                queue=self.queue_name,
                id=repr(key)[:100],
                reason=flaw,
            )
        if lost:
            self.broker.do_requeue(self.queue_name, *lost)
            logger.warning("lost messages returned", queue=self.queue_name, messages=len(lost))

    def _reject(self, key: bytes, error: str) -> None:
        stored = self.broker.client.hget(self._keys.messages, cast("str", key))
        # Not into the message that was run: an actor may have changed its arguments.
        if message := decoded(cast("bytes | None", stored)):
            message = message.copy(options={"traceback": error[-MAX_ERROR_LENGTH:]})
            self._replace([self._keys.messages], [key, message.encode()])
        self.broker.do_nack(self.queue_name, key)

    def _sleep(self, *, full: bool) -> None:
        if full:
            self._has_room.wait(self._max_sleep_seconds)
            return
        # Wake-ups since the queue was found empty wait in the socket: all of them count as one.
        woken = self._subscription.get_message(timeout=self._max_sleep_seconds)
        while woken:
            woken = self._subscription.get_message(timeout=0)


@contextmanager
def errors_as_closed() -> Iterator[None]:
    """Raise ConnectionClosed instead of any error of the broker's: Dramatiq then tries again.

    It takes others, timeouts among them, for its own bugs, and gives up the message or the thread.
    The outage is reported here, as Dramatiq's own lines are left out (see `worker/quiet.py`).
    """
    begun = monotonic()
    try:
        yield
    except (RedisError, OSError) as error:
        outages.report("broker", error, begun=begun)
        raise ConnectionClosed(error) from None
