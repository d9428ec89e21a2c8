"""How the shared cache keeps values in Valkey: so that nobody else can have written them.

Django pickles them: who can write to Valkey could run code here. Ours are JSON, signed together
with their key and with when they end: none can be moved to another key, or kept for longer.
Anything else counts as absent.

Integers stand as they are, so that the server can count them. They count as absent where the caller
keeps something else.
"""

import json
import re
from time import time
from typing import Any

from django.core.cache.backends.redis import RedisCacheClient
from django.core.signing import BadSignature, Signer
from redis.exceptions import ResponseError

#: Nothing else that is signed with the site's key counts as a value.
SALT = "project.cache"

#: An integer that the server can count up for ever.
COUNTED = re.compile(rb"-?\d{1,18}")

#: How far the clocks of two hosts may be apart.
SKEW_SECONDS = 60

#: Instead of a value; and stored where the server has a list or the like.
ABSENT: Any = object()
NO_VALUE = b""


def seal(key: str, value: Any, seconds: int | None) -> str | int:
    """Return what to store instead of a value that lasts for so long; None is for ever."""
    if type(value) is int and COUNTED.fullmatch(b"%d" % value):
        return value
    ends_at = None if seconds is None else int(time()) + seconds + SKEW_SECONDS
    return signer(key).sign(json.dumps([ends_at, value]))


def unseal(key: str, stored: bytes, *, like: Any = None) -> Any:
    """Return the value that is stored; ABSENT if that is none of ours.

    Args:
        like: a value such as the caller keeps there, if known.
    """
    if COUNTED.fullmatch(stored):
        return ABSENT if isinstance(like, bool | str | list | dict) else int(stored)
    try:
        ends_at, value = json.loads(signer(key).unsign(stored.decode()))
    except (BadSignature, UnicodeDecodeError):
        return ABSENT
    return value if ends_at is None or time() < ends_at else ABSENT


def signer(key: str) -> Signer:
    return Signer(salt=f"{SALT} {key}")


class AsItIs:
    """How Django's client stores what is sealed."""

    def dumps(self, obj: Any) -> Any:
        return obj


class SealedClient(RedisCacheClient):
    """Django's own, for values that are sealed. The stubs allow keys and times of any kind."""

    def __init__(self, servers: list[str], **options: Any) -> None:
        super().__init__(servers, serializer=AsItIs, **options)  # type: ignore[arg-type]

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        sealed = seal(key, value, timeout)
        if super().add(key, sealed, timeout):
            return True
        stored = self._stored(key)
        # One that has ended meanwhile is left to the next call: others may add theirs now.
        if stored is None or unseal(key, stored, like=value) is not ABSENT:
            return False
        super().set(key, sealed, timeout)
        return True

    def get(self, key: Any, default: Any) -> Any:
        found = self._value(key, like=default)
        return default if found is ABSENT else found

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        super().set(key, seal(key, value, timeout), timeout)

    def touch(self, key: Any, timeout: Any) -> bool:
        if (found := self._value(key)) is ABSENT:
            return False
        self.set(key, found, timeout)
        return True

    def has_key(self, key: Any) -> bool:
        return self._value(key) is not ABSENT

    def get_many(self, keys: Any) -> dict[Any, Any]:
        stored: Any = self.get_client().mget(keys)
        pairs = zip(keys, stored, strict=True)
        found = {key: unseal(key, each) for key, each in pairs if each is not None}
        return {key: value for key, value in found.items() if value is not ABSENT}

    def set_many(self, data: Any, timeout: Any) -> None:
        for key, value in data.items():
            self.set(key, value, timeout)

    def _value(self, key: Any, *, like: Any = None) -> Any:
        stored = self._stored(key)
        return ABSENT if stored is None else unseal(key, stored, like=like)

    def _stored(self, key: Any) -> Any:
        try:
            return self.get_client(key).get(key)
        except ResponseError:
            return NO_VALUE
