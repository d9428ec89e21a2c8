"""The line that each run writes when it has ended for good."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from tasks.engine.database import DATABASE_AWAY
from tasks.engine.models.outcome import count_errors
from tasks.engine.models.states import State

if TYPE_CHECKING:
    from tasks.engine.models.run_queryset import TaskRunQuerySet
    from tasks.engine.models.run_record import RunRecord

logger = structlog.get_logger(__name__)

#: Counts in one line.
MOST_COUNTS = 20

#: What the line is made of: arguments and errors may be long.
COLUMNS = (
    *("task", "trigger", "attempts", "started_at", "finished_at", "result", "progress"),
    *("reason", "request_id"),
)


def log_end(
    rows: "TaskRunQuerySet", state: State, known: Mapping[str, Any], *, why: str = ""
) -> None:
    """Log that a run has ended, with the numbers of its result and no text of it.

    Args:
        rows: its row; the end is committed.
        known: what can be said of it if the database is away by now.
        why: it failed, in a line that quotes no row.
    """
    values = dict(known)
    try:
        run = rows.only(*COLUMNS).first()
    except DATABASE_AWAY:
        run = None
    if run is not None:
        values = {"task": run.task, "run": run.pk, "trigger": run.trigger}
        values |= {"attempts": run.attempts, "duration_seconds": duration_seconds(run)}
        values |= {"counts": counts(run)}
        # Whoever ends it may be another request.
        values |= {"request_id": run.request_id} if run.request_id else {}
    why = why or (run.reason if run else "")
    write = logger.error if state == State.FAILED else logger.info
    write(f"run {state}", **values, **({"why": why} if why else {}))


def duration_seconds(run: "RunRecord") -> float:
    """Return how long a run took from its first start to its end; 0 if nothing has started it."""
    if run.finished_at is None or run.started_at is None:
        return 0.0
    return round((run.finished_at - run.started_at).total_seconds(), 3)


def counts(run: "RunRecord") -> dict[str, int | float]:
    """Return the numbers of a run's result, or how many rows it has processed so far."""
    found = {"rows": run.progress.get("rows")} if run.result is None else run.result
    if not isinstance(found, Mapping):
        return {}
    numbers = {
        key: value
        for key, value in found.items()
        # A key that is no name may be text, such as an address.
        if type(value) in {int, float} and str(key).isidentifier()
    }
    if errors := count_errors(found):
        numbers["errors"] = errors
    return dict([*numbers.items()][:MOST_COUNTS])
