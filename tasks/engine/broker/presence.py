"""Which processes use this broker: each signs in every few seconds, besides its heartbeat.

A heartbeat reaches the database alone. A process that sends one and does not sign in is cut off
from the broker, or uses another one: it is alive, and gets or sends no message.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from tasks.engine.broker.keys import presence_key
from tasks.engine.broker.waking import current_broker
from tasks.engine.conf import liveness_seconds

logger = structlog.get_logger(__name__)

HERE, LEFT = b"here", b"left"

#: How long (seconds) the broker remembers who has left in order.
LEFT_SECONDS = 60 * 60

#: While the broker is away, the next try comes this soon: whoever asks it must find everyone.
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Presence:
    """What the broker knows of some processes.

    Attributes:
        absent: those that have not signed in within the liveness.
        left: those that ended in order, and could not tell the database.
        is_new: it answers, and nobody has ever signed in there.
    """

    absent: frozenset[UUID] = frozenset()
    left: frozenset[UUID] = frozenset()
    is_new: bool = False


def read_presence(processes: Sequence[UUID]) -> Presence:
    """Ask the broker about some processes; if it does not answer, it knows nothing of any.

    Nobody is absent while it remembers less than the liveness: it may have lost everything.
    """
    broker = current_broker()
    since_key = presence_key(broker.namespace)
    keys = [presence_key(broker.namespace, process) for process in processes]
    try:
        with broker.short_timeout_client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.mget([since_key, *keys])
            (now, _), (since, *found) = pipe.execute()
    except RedisError:
        return Presence()
    states = list(zip(processes, found, strict=True))
    began = began_at(since, now)
    remembers = began is not None and now - began > liveness_seconds()
    return Presence(
        absent=frozenset(process for process, state in states if state is None and remembers),
        left=frozenset(process for process, state in states if state == LEFT),
        is_new=since is None,
    )


def began_at(since: bytes | None, now: int) -> int | None:
    """Return since when the broker remembers who is there; None if it does not say.

    Anybody may have written it, and the broker's clock may have been ahead.
    """
    if since is None or not since.isdigit() or len(since) > len(str(now)):
        return None
    began = int(since)
    return began if began <= now else None


class SignIns:
    """Signs a process in again and again, in a thread of its own: the broker may hang."""

    def __init__(self, process: UUID, *, every_seconds: Callable[[], float]) -> None:
        self._process = process
        self._every_seconds = every_seconds
        self._told = False
        self._ended = Event()
        self._thread = Thread(target=self._keep_signing_in, name="sign-ins", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, told: bool) -> None:
        """Sign out, if the broker can be told within a second.

        Args:
            told: whether the database knows that the process has ended. If not, the broker
                remembers it, for whoever finds that its heartbeats have stopped.
        """
        self._told = told
        self._ended.set()
        self._thread.join(1)

    def _keep_signing_in(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            pause = self._every_seconds()
            try:
                sign_in(self._process)
            except RedisError:  # Whoever needs the broker reports that.
                pause = min(RETRY_SECONDS, pause)
            except Exception:
                logger.exception("sign-in failed")  # The next one may succeed.
        with suppress(RedisError):
            sign_out(self._process, remembered=not self._told)


def sign_in(process: UUID) -> None:
    """Tell the broker that a process uses it, and since when it remembers such things.

    Raises:
        redis.RedisError: it is away.
    """
    broker = current_broker()
    client = broker.short_timeout_client
    with client.pipeline(transaction=False) as pipe:
        pipe.set(presence_key(broker.namespace, process), HERE, ex=liveness_seconds())
        pipe.time()
        pipe.get(presence_key(broker.namespace))
        _, (now, _), since = pipe.execute()
    if began_at(since, now) is None:
        client.set(presence_key(broker.namespace), now)


def sign_out(process: UUID, *, remembered: bool) -> None:
    """Tell the broker that a process has ended in order.

    Raises:
        redis.RedisError: it is away.
    """
    broker = current_broker()
    key, client = presence_key(broker.namespace, process), broker.short_timeout_client
    if remembered:
        client.set(key, LEFT, ex=LEFT_SECONDS)
    else:
        client.delete(key)
