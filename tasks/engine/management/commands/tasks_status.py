"""`manage.py tasks_status`: how background work is doing, for people and for monitoring."""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from threading import Timer
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.database import DATABASE_AWAY, statement_timeout
from tasks.engine.management.migrated import check_migrated
from tasks.engine.monitoring.problems import problems, shown
from tasks.engine.monitoring.status import EndedRun, Status, gather

#: How long (s) to wait for everything, and (ms) for one statement.
DEADLINE_SECONDS = 15.0
STATEMENT_TIMEOUT_MS = 3_000


#: Keys of the JSON that differ from the attributes of `Status`: what reads them relies on them.
JSON_NAMES = {"active_runs": "runs_in_hand"}

UNITS = (("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60))


class Command(BaseCommand):
    """Show the status of background work."""

    help = (
        "Shows schedules, runs in hand, failures of the last day, queues and live processes. With "
        "--check, says only what an operator must act on, and then exits with 1."
    )

    #: Those of models ask the database, and nothing would end that wait.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--json", action="store_true", help="print one line of JSON, for machines")
        add("--check", action="store_true", help="print problems alone; exit with 1 if any")

    def handle(self, **options: Any) -> None:
        """Look, print, and exit with 1 where that is asked for and something is wrong."""
        with deadline(DEADLINE_SECONDS):
            status = look()
        wrong = [printable(problem) for problem in problems(status)]
        if options["json"]:
            self.stdout.write(as_json(status, wrong))
        elif options["check"]:
            self.stdout.write("\n".join(wrong) or "All well.")
        else:
            self.stdout.write("\n".join(as_text(status, wrong)))
        if options["check"] and wrong:
            sys.exit(1)


def look() -> Status:
    """Gather the status.

    Raises:
        CommandError: the database cannot be asked.
    """
    try:
        with statement_timeout(STATEMENT_TIMEOUT_MS):
            return gather()
    except DATABASE_AWAY as error:
        check_migrated()
        raise CommandError(f"The database cannot be asked: {printable(str(error))}") from error


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process with one line and exit code 1 if the block takes too long.

    From a thread, and not by an exception: whoever waits for a server that took the connection and
    then says nothing, as a frozen one does, cannot be called back.
    """
    timer = Timer(seconds, exit_late, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def exit_late(seconds: float) -> None:
    """End this process: the broker's clients have limits of their own, so it is the database."""
    sys.stderr.write(f"CommandError: The database does not answer within {seconds:.0f} s.\n")
    sys.stderr.flush()
    os._exit(1)


def as_json(status: Status, wrong: Sequence[str]) -> str:
    """Return everything in one line, times as ISO 8601 has them."""
    values = {JSON_NAMES.get(name, name): value for name, value in asdict(status).items()}
    return json.dumps({**values, "problems": wrong}, default=datetime.isoformat)


def as_text(status: Status, wrong: Sequence[str]) -> Iterable[str]:
    """Yield the lines that people read."""
    yield f"Background work at {shown(status.now)}"
    yield from section(
        "Schedules",
        ("task", "times", "last slot", "last run", "next slot"),
        [
            (
                schedule.task,
                schedule.times or schedule.fault,
                f"{moment(schedule.last_slot)} {schedule.last_slot_state}".strip(),
                ended(schedule.last_run, status.now),
                moment(schedule.next_slot) if schedule.enabled else "switched off",
            )
            for schedule in status.schedules
        ],
    )
    yield from section(
        "Runs in hand",
        ("task", "pending", "queued", "running", "oldest", "run"),
        [
            (
                *(runs.task, runs.pending, runs.queued, runs.running),
                *(ago(runs.oldest_age_seconds), runs.oldest_run),
            )
            for runs in status.active_runs
        ],
    )
    yield from section(
        f"Failures of the last day: {status.failures.count:,}",
        ("run", "task", "failed", "error"),
        [(run.run, run.task, moment(run.finished_at), run.error) for run in status.failures.latest],
    )
    yield from section(
        f"Queues: {status.broker_error}" if status.broker_error else "Queues",
        ("queue", "waiting", "oldest", "running", "delayed", "dead"),
        [
            (
                *(queue.name, queue.waiting, ago(queue.oldest_age_seconds)),
                *(queue.running, queue.delayed, queue.dead),
            )
            for queue in status.queues
        ],
    )
    yield from section(
        "Processes",
        ("kind", "host", "pid", "queues", "started", "last seen"),
        [
            (
                *(process.kind, process.host, process.pid, ", ".join(process.queues)),
                *(moment(process.started_at), moment(process.seen_at)),
            )
            for process in status.processes
        ],
    )
    yield ""
    yield f"Last ping answered: {ago(status.pulse.age_seconds) or '-'}"
    yield from ("", "Problems", *(f"  {problem}" for problem in wrong or ["none"]))


def section(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterable[str]:
    """Yield the lines of a table under its title."""
    yield ""
    yield printable(title)
    if not rows:
        yield "  none"
        return
    cells = [header, *([printable(str(cell)) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"  {'  '.join(padded)}".rstrip()


def ended(run: EndedRun | None, now: datetime) -> str:
    """Return how and when a run ended."""
    if run is None or run.finished_at is None:
        return ""
    return f"{run.state} {ago((now - run.finished_at).total_seconds())}"


def moment(time: datetime | None) -> str:
    """Return a moment as people of the site read it."""
    return shown(time) if time else ""


def ago(seconds: float | None) -> str:
    """Return how long ago something was."""
    if seconds is None:
        return ""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:,.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def printable(text: str) -> str:
    """Return a text in one line, with nothing in it that a terminal would obey."""
    one_line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in one_line)
