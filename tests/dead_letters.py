"""Dead letters, as Dramatiq leaves them."""

from time import time
from uuid import uuid4

import redis
from dramatiq import Message

from tasks.engine.broker.waking import WakingBroker

#: Where Dramatiq keeps those of the default queue.
KEY = "dramatiq:default.XQ"


def bury(
    broker: WakingBroker | str,
    actor: str = "ping",
    *,
    data: bytes | None = None,
    at: float | None = None,
    error: str = "KeyError: 1",
    **kwargs: object,
) -> str:
    """Have the broker hold a dead letter; return its id.

    Args:
        broker: which, or the address of its server.
        actor: whose message it is.
        data: what it holds instead of a message.
        at: when it failed, in seconds since the epoch; now by default.
        error: the last line of its traceback.
        kwargs: the message's arguments.
    """
    message = Message[object](
        queue_name="default",
        actor_name=actor,
        args=(),
        kwargs=kwargs,
        options={"traceback": f"Traceback (most recent call last):\n{error}"},
    )
    letter = str(uuid4())
    encoded = message.encode() if data is None else data
    given_up = time() if at is None else at
    client = redis.Redis.from_url(broker) if isinstance(broker, str) else broker.client
    client.zadd(KEY, {letter: given_up * 1000})
    client.hset(f"{KEY}.msgs", letter, encoded)
    if isinstance(broker, str):
        client.close()
    return letter
