"""The processes that are alive, and those that may not be."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Subquery

from tasks.engine.broker.presence import read_presence
from tasks.engine.database import (
    CLOCK_TOLERANCE,
    clock,
    database_now,
    is_read_only,
    read_only_setting,
)
from tasks.engine.models import Process, State, TaskRun
from tasks.engine.models.process import Notes, liveness
from tasks.engine.monitoring.clock import clock_ahead

#: A process without a heartbeat for this part of the liveness is silent: it does not count as gone
#: yet, but an operator should know.
SILENT_AFTER = 0.5


@dataclass(frozen=True, kw_only=True)
class SilentProcess:
    """A process without a recent heartbeat.

    Attributes:
        run: the first of the runs that it holds, if any.
        gone: it counts as gone, and no other has started since; `row` is the note of it.
    """

    row: Process
    run: int | None
    gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Processes:
    """All processes.

    Attributes:
        now: the database's time when they were read.
        clock_ahead_seconds: by how much this host's clock was ahead of that.
        alive: some of them may be silent, too.
        absent: those of them that are alive for the database, and not for the broker.
        broker_unused: nobody has ever signed in at this process's broker.
        read_only: whether the database is: then none of them can write a heartbeat.
    """

    now: datetime
    clock_ahead_seconds: float
    alive: tuple[Process, ...]
    absent: tuple[Process, ...]
    broker_unused: bool
    silent: tuple[SilentProcess, ...]
    read_only: bool


def read_processes() -> Processes:
    """Return all processes, and whether they can write at all, with one query.

    Where there is none, two more ask for the time and whether the database is read-only.

    The broker is asked, too; if it does not answer, nobody is absent.
    """
    held = TaskRun.objects.filter(state=State.RUNNING, held_by=OuterRef("pk")).order_by("pk")
    found = Process.objects.annotate(
        now=clock(), read_only=read_only_setting(), run=Subquery(held.values("pk")[:1])
    )
    rows = list(found.order_by("kind", "host", "pid"))
    now = vars(rows[0])["now"] if rows else database_now()
    ahead = clock_ahead(now)  # At once, not when the broker has answered.
    read_only = vars(rows[0])["read_only"] == "on" if rows else is_read_only()
    notes = Notes(rows, now)
    everyone = notes.processes
    alive = tuple(process for process in everyone if abs(now - process.seen_at) <= liveness())
    presence = read_presence([process.pk for process in everyone])
    silent = [
        process
        for process in everyone
        if is_silent(process, now) and process.pk not in presence.left
    ]
    could_be_absent = [process for process in alive if has_had_time(process, now)]
    return Processes(
        now=now,
        clock_ahead_seconds=ahead,
        alive=alive,
        absent=tuple(one for one in could_be_absent if one.pk in presence.absent),
        broker_unused=presence.is_new and bool(could_be_absent),
        silent=(
            *(SilentProcess(row=row, run=vars(row)["run"]) for row in silent),
            *(SilentProcess(row=note, run=None, gone=True) for note in notes.missing),
        ),
        read_only=read_only,
    )


def is_silent(process: Process, now: datetime) -> bool:
    """Say whether a process's heartbeat is old, or later than now as the clock was set back."""
    age = now - process.seen_at
    return age > liveness() * SILENT_AFTER or age < -CLOCK_TOLERANCE


def has_had_time(process: Process, now: datetime) -> bool:
    """Say whether a process, which sends heartbeats, would have signed in if it could."""
    return (
        process.signs_in and not is_silent(process, now) and now - process.started_at > liveness()
    )
