"""An actor whose effect can be counted."""

import dramatiq
from django.db import connection

from tasks.engine.runs.execution import current_run


@dramatiq.actor(actor_name="count", max_retries=3, time_limit=30_000, store_results=True)
def count() -> str:
    """Count each slot once, in two steps, the first of which has an effect.

    The effect is a row in a table without any constraint.
    """
    run = current_run()
    with run.step() as checkpoint:
        if not checkpoint:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO effect (slot) VALUES (%s)", [run.as_of])
            checkpoint["counted"] = True
            in_first_step()
    between_steps()
    with run.step() as checkpoint:
        checkpoint["checked"] = True
    at_the_end()
    return "counted"


# Places for fail points.


def in_first_step() -> None: ...


def between_steps() -> None: ...


def at_the_end() -> None: ...
