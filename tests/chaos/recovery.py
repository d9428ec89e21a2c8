"""How long it took until everything was as it should be again, after each fault's end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep, time
from typing import Protocol

import psycopg

from tests.chaos.stage import LIVENESS_SECONDS, Stage
from tests.counting import number

#: What progress is told to, in lines.
type Tell = Callable[[str], None]

#: 90 seconds on default settings, of which 60 are the time after which a process counts as gone.
BOUND_SECONDS = 30.0 + LIVENESS_SECONDS

#: After this time (seconds) it is not waited for any longer.
TIMEOUT_SECONDS = 120.0

#: Runs that have not progressed since a moment.
STUCK = """
    SELECT {what} FROM tasks_taskrun AS run WHERE finished_at IS NULL
    AND created_at < to_timestamp({since})
    AND NOT (state = 'pending' AND due_at > clock_timestamp()) AND NOT EXISTS (
        SELECT FROM audit_run
        WHERE run_id = run.id AND progressed AND state = 'running' AND at > to_timestamp({since})
    )
"""

#: What there is to say of one.
ABOUT = """
    id, task, state, 'sends', sends, 'losses', losses, 'attempts', attempts, 'crashes', crashes,
    'sent', (clock_timestamp() - sent_at)::text,
    'progressed', (clock_timestamp() - progressed_at)::text
"""

#: Slots since a moment that have been run.
RUN = """
    SELECT count(*) FROM tasks_taskrun
    WHERE task = 'count' AND state = 'succeeded' AND scheduled_for > to_timestamp({since})
"""


class Looker(Protocol):
    """What is to be looked after, many times a second."""

    def look_after(self) -> None:
        """Do what is to be done now."""


@dataclass
class Recoveries:
    """How long each recovery took.

    Attributes:
        seconds: by what had been wrong.
        failed: what had not recovered when it was no longer waited for.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, kind: str, seconds: float | None) -> None:
        """Note one; None if it was not waited for any longer."""
        self.seconds.setdefault(kind, []).append(TIMEOUT_SECONDS if seconds is None else seconds)
        if seconds is None:
            self.failed.append(kind)

    @property
    def all(self) -> list[float]:
        """All of them, the shortest first."""
        return sorted(second for seconds in self.seconds.values() for second in seconds)

    @property
    def p95(self) -> float:
        """That which 95 in a hundred did not exceed."""
        return self.all[int(0.95 * (len(self.all) - 1))] if self.all else 0.0

    @property
    def too_long(self) -> int:
        """How many took longer than they may."""
        return sum(seconds > BOUND_SECONDS for seconds in self.all)


def missing(stage: Stage, since: float) -> list[str]:
    """Return what is still to come: a slot after a moment, runs that have not progressed."""
    try:
        with stage.connect() as database:
            stuck = database.execute(STUCK.format(what=ABOUT, since=since).encode()).fetchall()
            slots = number(database, RUN.format(since=since))
    except psycopg.OperationalError:
        return ["the database"]
    return [*(" ".join(map(str, run)) for run in stuck), *([] if slots else ["the next slot"])]


def recover(stage: Stage, *, look_after: Sequence[Looker], tell: Tell) -> float | None:
    """Disturb nothing until everything has recovered; return how long (seconds) that took.

    Args:
        stage: where nothing is wrong any more.
        look_after: what is to be looked after meanwhile.
        tell: called with what is missing when that takes too long.

    Returns:
        None if it takes longer than TIMEOUT_SECONDS.
    """
    since, begun = time(), monotonic()
    told = False
    while monotonic() < begun + TIMEOUT_SECONDS:
        for looker in look_after:
            looker.look_after()
        still_missing = missing(stage, since)
        if not still_missing:
            return monotonic() - begun
        if monotonic() > begun + BOUND_SECONDS and not told:
            told = True
            tell("".join(f"  still missing: {what}\n" for what in still_missing))
        sleep(0.2)
    return None
