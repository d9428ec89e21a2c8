"""The life of a run, event by event, with every attempt that is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models.functions import Length, Right

from tasks.engine.models import Attempt, Outcome, State, TaskRun
from tasks.engine.operations.permissions import withhold
from tasks.engine.words import count, duration

#: Characters of an earlier attempt's error that its run's page shows: the last ones, which say the
#: most. The whole error has a page of its own.
MAX_EXCERPT_CHARACTERS = 1_000

#: How an attempt ended, and after how long.
ENDS = {
    Outcome.FAILED: "failed{after}",
    Outcome.INTERRUPTED: "was interrupted{after}",
    Outcome.CONTINUED: "left the rest to the next one{after}",
    Outcome.RELEASED: "was released{after}, as its process was gone",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a run, or is about to.

    Attributes:
        at: when; None if that is not known.
        what: in words.
        attempt: the number of the attempt that it is about; 0 if none.
        error: the end of that attempt's error, as the reader may see it.
        is_cut: the error is longer, and the reader may see the rest.
        id: tells it apart on the page.
    """

    at: datetime | None
    what: str
    attempt: int = 0
    error: str = ""
    is_cut: bool = False
    id: str = ""


def ended_attempts(run: TaskRun) -> list[Attempt]:
    """Return the attempts at a run that have a row, the first one first, without whole errors."""
    rows = Attempt.objects.filter(run=run).defer("error").order_by("number")
    excerpt = Right("error", MAX_EXCERPT_CHARACTERS)
    return list(rows.annotate(excerpt=excerpt, characters=Length("error")))


def timeline(
    run: TaskRun, attempts: Sequence[Attempt], now: datetime, *, reason: str, with_errors: bool
) -> list[Event]:
    """Return the events of a run in their order.

    Args:
        attempts: from `ended_attempts`.
        now: the database's time.
        reason: why the run was stopped, cancelled or skipped.
        with_errors: the reader may see errors.
    """
    events = []
    if run.sent_at:
        times = f" ({run.sends:,} times)" if run.sends > 1 else ""
        events.append(Event(at=run.sent_at, what=f"published{times}"))
    events += _attempts(run, attempts, with_errors=with_errors)
    if run.stop_requested_at:
        follows = "" if run.finished_at else "; it ends at its next step"
        events.append(Event(at=run.stop_requested_at, what=f"asked to stop{follows}. {reason}"))
    # Of what was to be run, and ended by itself, the reason says what was done about it since.
    is_later = run.state in {State.SUCCEEDED, State.FAILED}
    if run.finished_at:
        errors = ", with errors" if run.has_errors else ""
        why = f": {reason}" if reason and not run.stop_requested_at and not is_later else ""
        events.append(Event(at=run.finished_at, what=f"{run.state}{errors}{why}"))
    if run.acknowledged_at:
        by = f" by {run.acknowledged_by}" if run.acknowledged_by else ""
        events.append(Event(at=run.acknowledged_at, what=f"acknowledged{by}"))
    if is_later and reason and not run.stop_requested_at:
        events.append(Event(at=run.acknowledged_at or run.finished_at, what=reason))
    if not run.is_finished:
        events.append(Event(at=now, what=f"now {run.state}"))
    if run.state == State.PENDING and run.due_at > now and run.waits_for is None:
        what = "the next attempt is due" if run.attempts else "it is due"
        events.append(Event(at=run.due_at, what=what))
    # Sorting is stable: of two events at once, the one that was named first was first.
    events.sort(key=lambda event: event.at or run.created_at)
    events.insert(0, Event(at=run.created_at, what=_created(run)))
    return [replace(event, id=f"event-{number}") for number, event in enumerate(events)]


def _created(run: TaskRun) -> str:
    by = f" by {run.requested_by}" if run.requested_by else ""
    return f"created ({run.get_trigger_display().lower()}){by}"


def _attempts(run: TaskRun, ended: Sequence[Attempt], *, with_errors: bool) -> Iterator[Event]:
    """Yield an event for each attempt; at first, one for those that are not kept."""
    # A process that counted as gone may have gone on with its attempt, and ended the run.
    overtaken = run.state in {State.RUNNING, State.SUCCEEDED}
    earlier = [row for row in ended if row.number < run.attempts or not overtaken]
    has_latest = bool(earlier) and earlier[-1].number >= run.attempts
    missing = max(0, run.attempts - len(earlier) - int(not has_latest))
    if missing:
        verb = "is" if missing == 1 else "are"
        yield Event(at=run.started_at, what=f"{count(missing, 'attempt')} {verb} not kept")
    before: datetime | None = None
    for row in earlier:
        started = _known(row.started_at, before)
        before = row.ended_at
        end = ENDS[Outcome(row.outcome)].format(after=_after(started, row.ended_at))
        yield Event(
            at=started or row.ended_at,
            what=f"attempt {row.number:,}{_by(row.worker)} {end}",
            attempt=row.number,
            error=withhold(vars(row)["excerpt"], unless=with_errors),
            is_cut=with_errors and vars(row)["characters"] > MAX_EXCERPT_CHARACTERS,
        )
    if run.attempts and not has_latest:
        yield _latest(run, before)


def _latest(run: TaskRun, before: datetime | None) -> Event:
    """Return the event of the latest attempt, by the run's own columns."""
    first_start = run.started_at if run.attempts == 1 else None
    started = _known(run.attempted_at, before) or first_start
    what = f"attempt {run.attempts:,}{_by(run.worker)}"
    match run.state:
        case State.RUNNING:
            what += " is running"
        case State.SUCCEEDED | State.FAILED:
            what += f" {run.state}{_after(started, run.finished_at)}"
        case State.CANCELLED:
            what += f" was stopped{_after(started, run.finished_at)}"
        case _:
            what += " ended"
    return Event(at=started or run.progressed_at, what=what, attempt=run.attempts)


def _known(started: datetime | None, before: datetime | None) -> datetime | None:
    """Return when an attempt started; None if that is not known.

    A worker of the version before leaves the start of an earlier attempt in the run's row: that was
    before the attempt before this one ended.
    """
    return None if started and before and started < before else started


def _by(worker: str) -> str:
    return f" by {worker}" if worker else ""


def _after(started: datetime | None, ended: datetime | None) -> str:
    if started is None or ended is None:
        return ""
    return f" after {duration((ended - started).total_seconds(), tenths=True)}"
