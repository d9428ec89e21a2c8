"""How much a person may do in a minute."""

from time import time

from django.core.cache import cache

from accounts.models import User

#: Todos that a person may add in a minute: more than anybody types.
ADDS_A_MINUTE = 120


def may_add(user: User) -> bool:
    """Count one more todo of this minute; say whether it is within the limit.

    Without a cache that answers, everything is.
    """
    key = f"adds:{user.pk}:{int(time() / 60)}"
    cache.add(key, 0, timeout=120)
    try:
        return cache.incr(key) <= ADDS_A_MINUTE
    except ValueError:  # The cache has forgotten it, or is away.
        return True
