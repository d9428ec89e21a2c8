"""The queues that are paused, or were until a moment ago, and what that explains."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, OuterRef, Q, Subquery

from tasks.engine.models import Process, ProcessKind, Queue, State, TaskRun
from tasks.engine.words import moment, printable

#: After a queue is resumed, workers get this long before what waits there is a problem.
RESUMED_GRACE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class PausedQueue:
    """A queue that is paused.

    Attributes:
        by: the name of who paused it; empty if a command did, or their account is deleted.
        waiting: how many runs wait there that could start otherwise.
        ignored_by: how many live workers of an earlier version take from it all the same.
    """

    name: str
    since: datetime
    by: str
    note: str
    waiting: int
    ignored_by: int


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """What pauses explain.

    Attributes:
        paused: the queues that are paused now.
        held_up: their names, and those of queues that were resumed within RESUMED_GRACE.
        last: when each queue was last paused, and resumed, if it was.
    """

    paused: tuple[PausedQueue, ...]
    held_up: frozenset[str]
    last: dict[str, tuple[datetime, datetime | None]]

    def explain(self, queue: str, *, first: datetime, latest: datetime | None) -> bool:
        """Say whether slots between two moments may have had no success because of a pause."""
        paused_at, resumed_at = self.last.get(queue, (None, None))
        if paused_at is None or latest is None or latest < paused_at:
            return False
        return resumed_at is None or resumed_at > first


def pause_of(queue: str) -> str:
    """Say in a sentence that a queue is paused, since when, by whom and why; empty if it is not."""
    row = Queue.objects.paused().filter(name=queue).select_related("paused_by").first()
    if row is None:
        return ""
    by = row.paused_by.get_username() if row.paused_by else ""
    return pause_in_words(queue, row.paused_at, by, printable(row.note))


def pause_in_words(queue: str, since: datetime, by: str, note: str) -> str:
    """Return a queue's pause in a sentence; `by` is empty if nobody is known to have paused it."""
    who = f", by {by}" if by else ""
    return f"The queue {queue} has been paused since {moment(since)}{who}: {note.rstrip('.')}."


def read_pauses(now: datetime, processes: Iterable[Process]) -> Pauses:
    """Return what pauses explain, with one query; `processes` are those that are alive."""
    due = Q(state=State.QUEUED) | Q(state=State.PENDING, due_at__lte=now)
    waiting = (
        TaskRun.objects.unfinished()
        .filter(due, queue=OuterRef("name"))
        .order_by()
        .values("queue")
        .annotate(number=Count("pk"))
        .values("number")
    )
    rows = list(
        Queue.objects.annotate(waiting=Subquery(waiting))
        .select_related("paused_by")
        .order_by("name")
    )
    deaf = [one for one in processes if one.kind == ProcessKind.WORKER and one.command_pid is None]
    return Pauses(
        paused=tuple(
            PausedQueue(
                name=row.name,
                since=row.paused_at,
                by=row.paused_by.get_username() if row.paused_by else "",
                note=row.note,
                waiting=vars(row)["waiting"] or 0,
                ignored_by=sum(row.name in process.queues for process in deaf),
            )
            for row in rows
            if row.resumed_at is None
        ),
        held_up=frozenset(
            row.name for row in rows if not row.resumed_at or now - row.resumed_at < RESUMED_GRACE
        ),
        last={row.name: (row.paused_at, row.resumed_at) for row in rows},
    )
