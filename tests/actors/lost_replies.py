"""An actor whose effects can be counted, and one that fails; neither is recorded."""

import dramatiq
from django.db import connection


@dramatiq.actor(actor_name="count", recorded=False, max_retries=0)
def count(number: int) -> None:
    """Write down that it ran."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO counted VALUES (%s)", [number])


@dramatiq.actor(actor_name="break", recorded=False, max_retries=0)
def break_down() -> None:
    """Fail."""
    raise ValueError("this is why")
