"""Messages as they are stored: decoded, checked, and named in the broker.

Anybody may have written what is stored. Dramatiq takes any JSON object with the right keys, and
breaks later, where nothing can be done about it.
"""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, cast

from dramatiq import Message, MessageProxy
from dramatiq.broker import Broker, get_broker
from dramatiq.errors import ActorNotFound, DecodeError
from dramatiq.middleware import SkipMessage

from tasks.engine.errors import format_error

#: Of JSON, the escape of a character NUL, and not a backslash before `u0000`.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def decoded(data: bytes | None) -> Message[Any] | None:
    """Return the message that these bytes hold; None if they hold none."""
    try:
        message = Message.decode(data or b"")
        # What is nested too deeply for this would end the thread that logs it.
        repr(message)
    except (DecodeError, RecursionError, ValueError):
        return None
    types: tuple[tuple[object, type], ...] = (
        *((message.queue_name, str), (message.actor_name, str), (message.message_id, str)),
        *((message.args, tuple), (message.kwargs, dict), (message.options, dict)),
    )
    is_sound = all(isinstance(part, expected) for part, expected in types)
    return message if is_sound and is_number(message.message_timestamp) else None


def is_number(value: object) -> bool:
    """Say whether this is a finite number that arithmetic can deal with."""
    try:
        return isinstance(value, int | float) and isfinite(value)
    except OverflowError:  # An integer that no float can hold.
        return False


def id_of(message: MessageProxy | Message[Any]) -> bytes:
    """Return a message's id in the broker."""
    return cast("str", message.options["redis_message_id"]).encode()


def flaw_of(message: Message[Any], *, queue: str, stored_as: bytes | None = None) -> str:
    """Say why Dramatiq could not process a message found in `queue`, under the id `stored_as`.

    Empty if it could. `stored_as` is None where the id is not known.
    """
    options = message.options
    try:
        own = id_of(message)
    except (KeyError, AttributeError, UnicodeEncodeError):
        return "Its option redis_message_id is missing or no text."
    if stored_as is not None and own != stored_as:
        return "It is stored under another id than its option redis_message_id."
    if message.queue_name != queue:
        return f"It belongs to the queue {message.queue_name!r}, not {queue!r}."
    if options.get("eta") is not None and not is_number(options["eta"]):
        return "Its option eta is no number."
    if options.get("throws"):  # A class, which no message can hold.
        return "It has the option throws, which only an actor can have."
    return ""


def failure_of(message: MessageProxy) -> str:
    """Return why a message failed, for its dead letter."""
    exception = message._exception  # noqa: SLF001  (Dramatiq has no other way to read it)
    if isinstance(exception, SkipMessage):
        return f"It was not run: {exception}."
    if isinstance(exception, ActorNotFound):
        return f"This worker's version of the code has no actor {message.actor_name!r}."
    if exception is not None:
        return f"{format_error(exception).rstrip()}\n"
    return str(message.options.get("traceback") or "It failed without an error.")


def message_for(
    task: str, arguments: Mapping[str, Any], *, args: Sequence[Any] = ()
) -> Message[Any]:
    """Return a message that asks for a run of a task with these keyword arguments.

    Args:
        args: the positional arguments that precede them.

    Raises:
        ActorNotFound: this process has no actor for the task.
        TypeError, ValueError: the actor does not take the arguments.
    """
    broker = get_broker()
    # Not by `message()`: an actor's parameters may have any name.
    message = broker.get_actor(task).message_with_options(args=tuple(args), kwargs=dict(arguments))
    check_arguments(broker, message)
    return message


def check_storable(value: object) -> None:
    """Raise ValueError if a value is no JSON as databases store it, which Python's own may be."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("This has half of a character, a surrogate.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("This cannot be written as JSON.") from error
    if NUL.search(text):
        raise ValueError("This has a NUL character, which cannot be stored.")


def check_arguments(broker: Broker, message: Message[Any]) -> None:
    """Check a message's arguments, if this process knows its actor.

    Raises:
        TypeError: the actor takes no such arguments.
        ValueError: the actor's option `check` refuses an argument, or no database stores it.
    """
    check_storable([message.args, message.kwargs])
    actor = broker.actors.get(message.actor_name)
    if actor is None:
        return
    try:
        bound = inspect.signature(actor.fn).bind(*message.args, **message.kwargs)
    except TypeError as error:
        raise TypeError(f"{message.actor_name}: {error}") from error
    if check := actor.options.get("check"):
        bound.apply_defaults()
        check(*bound.args, **bound.kwargs)
