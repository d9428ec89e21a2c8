"""How often something may be done in a minute, counted in the cache that all processes share."""

from math import ceil
from time import time

from django.core.cache import cache

MINUTE_SECONDS = 60


def seconds_to_wait(key: str, *, a_minute: int) -> int:
    """Count once more what `key` names; say whether that is within the limit.

    Without a cache that answers, everything is.

    Args:
        key: what is counted, and whose.
        a_minute: how often it may be done in each minute of the clock.

    Returns:
        0 if it may be done now; otherwise the seconds until it may.
    """
    now = time()
    minute, gone = divmod(now, MINUTE_SECONDS)
    counted = f"{key}:{minute:.0f}"
    try:
        count = cache.incr(counted)
    except ValueError:  # The first one; or the cache has forgotten it, or is away.
        count = 1
        cache.add(counted, count, timeout=2 * MINUTE_SECONDS)
    return 0 if count <= a_minute else ceil(MINUTE_SECONDS - gone)
