"""What a look finds: the verdict, also while it cannot be asked for."""

from collections.abc import Collection
from dataclasses import dataclass, field

from django.db import Error as DatabaseFailure
from redis.exceptions import RedisError

from tasks.engine.alerts.check_ins import succeeded_slots
from tasks.engine.alerts.deadline import within
from tasks.engine.broker.waking import current_broker
from tasks.engine.database import statement_timeout
from tasks.engine.errors import error_line
from tasks.engine.monitoring.problem import Problem
from tasks.engine.monitoring.problems import find_problems
from tasks.engine.monitoring.status import gather
from tasks.engine.words import reason

#: For everything that is read from the database, and for one statement.
READING_SECONDS = 15.0
STATEMENT_TIMEOUT_MS = 3_000


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        problems: empty if all is well.
        succeeded: by task, the latest slot, if its run has succeeded.
        database_answers: whether the database could be queried.
    """

    problems: tuple[Problem, ...]
    succeeded: dict[str, float] = field(default_factory=dict)
    database_answers: bool = True


def look(tasks: Collection[str]) -> Look:
    """Look at everything, and at the latest slots of some tasks."""
    try:
        return within(READING_SECONDS, lambda: look_at_database(tasks))
    except TimeoutError:
        text = f"The database does not answer within {READING_SECONDS:.0f} s."
    except DatabaseFailure as error:
        text = f"The database cannot be queried: {error_line(error)}"
    problems = (Problem("database", text), *problems_of_broker())
    return Look(problems, database_answers=False)


def look_at_database(tasks: Collection[str]) -> Look:
    with statement_timeout(STATEMENT_TIMEOUT_MS):
        status = gather()
    return Look(tuple(find_problems(status)), succeeded_slots(status, tasks))


def failed_look(error: Exception) -> Look:
    """Return what a look has found that failed otherwise, by a fault of ours or of an extension."""
    text = f"The verdict cannot be read: {type(error).__name__}. Read the schedulers' logs."
    return Look((Problem("verdict", text),))


def problems_of_broker() -> list[Problem]:
    """Return what is wrong with the broker, which the verdict cannot say now."""
    try:
        current_broker().short_timeout_client.ping()
    except RedisError as error:
        return [Problem("broker", f"The broker cannot be used: {reason(error)}")]
    return []
