"""What a run is doing, or how it ended, and what happens next: one line, for pages and lists."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.engine.models import State, TaskRun
from tasks.engine.models.outcome import count_errors
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.words import count, duration

TIMES = {1: "once", 2: "twice"}
#: A scheduler publishes what is due sooner; if it has not, who reads should not expect it to.
LATE = timedelta(seconds=20)

ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


@dataclass(frozen=True)
class Headline:
    """A line about a run.

    Attributes:
        words: all of it but the moment.
        at: when it goes on, if it waits for that.
    """

    words: str
    at: datetime | None = None

    def __str__(self) -> str:
        return self.words


def headline(
    run: TaskRun, now: datetime, *, error: str = "", reason: str | None = None
) -> Headline:
    """Return the headline of a run. Makes no query.

    Args:
        run: a row of `noting_obstacles`, or a process that is gone is not told.
        now: the database's time.
        error: the last line of its error, as the reader may see it; empty to leave it out.
        reason: its reason in other words, such as with a user's name.
    """
    if run.is_finished:
        return Headline(_ended(run, error, run.reason if reason is None else reason))
    if run.state == State.PENDING:
        return _pending(run, now)
    return Headline(_running(run, now) if run.state == State.RUNNING else _queued(run, now))


def _pending(run: TaskRun, now: datetime) -> Headline:
    if run.stop_requested_at:
        return Headline("Asked to stop: about to be cancelled")
    if run.waits_for:
        return Headline(f"Waiting for run {run.waits_for} to end")
    if run.is_held_up and run.due_at <= now:
        return Headline(_sentence(_past(run), f"waiting until the queue {run.queue} is resumed"))
    if now - run.due_at > LATE:
        late = duration(seconds_since(run.due_at, now))
        return Headline(_sentence(_past(run), f"due for {late}, and not published yet"))
    if run.due_at <= now:
        following = "next try within seconds" if run.attempts else "about to be published"
        return Headline(_sentence(_past(run), following))
    left = duration(seconds_since(now, run.due_at))
    following = f"next try in {left}" if run.attempts else f"waiting to start in {left}"
    return Headline(_sentence(_past(run), following), at=run.due_at)


def _past(run: TaskRun) -> str:
    """Return what has happened to a run that waits again; empty if that is nothing."""
    if run.failures and run.error:
        return f"failed {TIMES.get(run.failures, f'{run.failures:,} times')}"
    if run.error or run.crashes:
        return "interrupted"
    if run.state == State.PENDING and run.delivery and not run.attempts:
        return "not taken by the broker"
    return "between two attempts" if run.attempts else ""


def _queued(run: TaskRun, now: datetime) -> str:
    if run.stop_requested_at:
        return "Asked to stop: about to be cancelled"
    if run.is_held_up:
        return _sentence(_past(run), f"waiting until the queue {run.queue} is resumed")
    since = duration(seconds_since(run.sent_at or run.created_at, now))
    return _sentence(_past(run), f"waiting for a worker of the queue {run.queue} for {since}")


def _running(run: TaskRun, now: datetime) -> str:
    if run.is_gone:
        return "Its process is gone: it will be released"
    if run.stop_requested_at:
        return "Asked to stop: it ends at its next step, or goes to its end if it has none"
    # After a failure it began anew; otherwise it continues what it began.
    since = (run.attempted_at if run.failures else None) or run.started_at or now
    attempt = f"attempt {run.attempts:,}" if run.attempts > 1 else ""
    return _sentence(f"running for {duration(seconds_since(since, now))}", attempt)


def _ended(run: TaskRun, error: str, reason: str) -> str:
    if run.state == State.SUCCEEDED:
        return _succeeded(run)
    if run.state == State.FAILED:
        return _failed(run, error)
    says_so = reason.lower().startswith(run.state)
    return reason if says_so else _sentence(": ".join(filter(None, (run.state, reason))))


def _succeeded(run: TaskRun) -> str:
    took = ""
    if run.started_at and run.finished_at:
        took = f" in {duration(seconds_since(run.started_at, run.finished_at), tenths=True)}"
    tries = ""
    if run.attempts > 1 and run.failures:
        ordinal = ORDINALS.get(run.attempts)
        tries = f"at the {ordinal} attempt" if ordinal else f"at attempt {run.attempts:,}"
    elif run.attempts > 1:
        tries = f"with {run.attempts:,} attempts"
    errors = f"with {count(count_errors(run.result), 'error')}" if run.has_errors else ""
    return _sentence(f"succeeded{took}", tries, errors, _acknowledged(run))


def _failed(run: TaskRun, error: str) -> str:
    after = f" after {run.attempts:,} attempts" if run.attempts > 1 else ""
    words = _sentence(f"failed{after}", _acknowledged(run))
    return f"{words}: {error}" if error else words


def _acknowledged(run: TaskRun) -> str:
    if run.state != State.FAILED and not run.has_errors:
        return ""
    return "acknowledged" if run.acknowledged_at else "not acknowledged"


def _sentence(*parts: str) -> str:
    """Return parts of a sentence in one, with a capital; without those that are empty."""
    text = ", ".join(filter(None, parts))
    return text[:1].upper() + text[1:]
