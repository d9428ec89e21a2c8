"""Reads messages that anybody may have written."""

from math import isfinite
from typing import Any

from dramatiq import Message
from dramatiq.errors import DecodeError


def decoded(data: bytes | None) -> Message[Any] | None:
    """Return the message that these bytes hold; None if they are none of Dramatiq's.

    Dramatiq takes any JSON object with the right keys, and breaks later, where it cannot be helped.
    """
    try:
        message = Message.decode(data or b"")
        # What is nested too deeply for this would end the thread that logs it.
        repr(message)
    except (DecodeError, RecursionError, ValueError):
        return None
    kinds: tuple[tuple[object, Any], ...] = (
        *((message.queue_name, str), (message.actor_name, str), (message.message_id, str)),
        *((message.args, tuple), (message.kwargs, dict), (message.options, dict)),
    )
    if not all(isinstance(part, kind) for part, kind in kinds):
        return None
    return message if is_number(message.message_timestamp) else None


def is_number(value: object) -> bool:
    """Say whether this is a finite number that arithmetic can deal with."""
    try:
        return isinstance(value, int | float) and isfinite(value)
    except OverflowError:  # An integer that no float can hold.
        return False
