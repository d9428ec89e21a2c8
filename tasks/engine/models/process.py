"""Live processes: each worker, scheduler and command writes a heartbeat."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4, uuid5

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Cast, Concat, Now

from tasks.engine.conf import liveness_seconds

#: How long a process that went silent is remembered, unless another has taken its place.
REMEMBERED_FOR = timedelta(hours=1)


class ProcessKind(models.TextChoices):
    WORKER = "worker"
    SCHEDULER = "scheduler"
    COMMAND = "command"


class ProcessQuerySet(models.QuerySet["Process"]):
    """Processes by their heartbeat."""

    def registered(self) -> Self:
        """Return the rows of processes, without the notes of those that are gone."""
        return self.filter(tasks__gone__isnull=True)

    def notes(self) -> Self:
        """Return the notes of processes that are gone (see `Process.note_of`)."""
        return self.filter(tasks__gone__isnull=False)

    def alive(self) -> Self:
        return self.registered().filter(seen_at__gte=Now() - liveness())

    def silent_since(self, moment: datetime) -> Self:
        """Return those without a heartbeat since `moment`.

        A heartbeat in the future does not count: the database's clock has been set back since.
        """
        silent = Q(seen_at__lt=moment) | Q(seen_at__gt=Now() + liveness())
        return self.registered().filter(silent)

    def workers_of_command(self, process: "Process") -> Self:
        """Return a worker and those that the same command has started: they leave together."""
        return self.alive().filter(
            kind=ProcessKind.WORKER, host=process.host, command_pid=process.command_pid
        )

    def request_leave(self, *, by: object) -> int:
        """Ask workers to finish and leave; return how many had not been asked before.

        Args:
            by: the primary key of who asks; None if that is not known.
        """
        asked = self.filter(leave_requested_at=None, command_pid__isnull=False)
        return asked.update(leave_requested_at=Now(), leave_requested_by_id=by)

    def note_leaving(self, process: UUID) -> None:
        """Note that a worker takes nothing more."""
        self.filter(pk=process, leaving_since=None).update(leaving_since=Now())

    def leave_note(self, process: "Process", *, seen_at: datetime) -> None:
        """Remember a process that counts as gone and has said no goodbye."""
        note = Process(
            pk=note_id(process.pk),
            kind=process.kind,
            host=process.host,
            pid=process.pid,
            queues=process.queues,
            tasks={"gone": str(process.pk)},
            started_at=process.started_at,
            seen_at=seen_at,
        )
        # It may have been silent before, and back.
        self.bulk_create(
            [note], update_conflicts=True, unique_fields=["id"], update_fields=["seen_at"]
        )

    def named(self, process: UUID) -> "models.QuerySet[Process, str]":
        """Return the host and process id of one, to be displayed, as a query."""
        number = Cast("pid", models.CharField())
        name = Concat("host", Value(", process "), number, output_field=models.CharField())
        return self.filter(pk=process).values_list(name, flat=True)


class Process(models.Model):
    """A process; its row is deleted when it ends, or when its heartbeat has stopped for long.

    What it held is released when its row is gone: so what is remembered then is another row, a note
    that names it in `tasks`.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=ProcessKind)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    tasks = models.JSONField(
        default=list,
        db_default=Value([], models.JSONField()),
        help_text="The tasks that a worker has actors for.",
    )
    signs_in = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether it tells the broker, too, that it is there.",
    )
    knows_extended = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether it is of a version that knows extended schedules.",
    )
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField("last heartbeat", db_default=Now())
    command_pid = models.PositiveIntegerField(
        null=True,
        help_text="Of a worker, the process to stop, which has started it, and perhaps others. "
        "Empty: of an earlier version, it heeds no request.",
    )
    leave_requested_at = models.DateTimeField(null=True)
    leave_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    leaving_since = models.DateTimeField(
        null=True, help_text="Since when it has taken nothing more, to finish and leave."
    )

    objects = ProcessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "processes"
        permissions = [("stop_process", "Can ask workers to finish and leave")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pid} on {self.host}"

    @property
    def can_be_asked_to_leave(self) -> bool:
        """Whether it heeds a request to leave, and has not been asked before."""
        return self.command_pid is not None and self.leave_requested_at is None

    @property
    def note_of(self) -> UUID | None:
        """Of a note, the process that is gone; None if this is the row of a process."""
        return UUID(self.tasks["gone"]) if isinstance(self.tasks, dict) else None


def note_id(process: UUID) -> UUID:
    """Return the primary key of the note of a process that is gone."""
    return uuid5(process, "gone")


class Notes:
    """What the notes among all rows say.

    Attributes:
        processes: the other rows.
    """

    def __init__(self, rows: Iterable[Process], now: datetime) -> None:
        everyone = list(rows)
        self._now = now
        self._notes = [row for row in everyone if row.note_of is not None]
        self.processes = [row for row in everyone if row.note_of is None]
        self._returned = {n.note_of for n in self._notes} & {row.pk for row in self.processes}
        # One that is back, after it was frozen or cut off, has a new row, and replaces no other.
        self._started = [process for process in self.processes if process.pk not in self._returned]

    @property
    def missing(self) -> Sequence[Process]:
        """Those of processes that nothing has replaced, and that are not back."""
        return [n for n in self._notes if n.note_of not in self._returned and not self._is_over(n)]

    @property
    def over(self) -> Sequence[Process]:
        """Those that nobody needs any more."""
        return [note for note in self._notes if self._is_over(note)]

    def _is_over(self, note: Process) -> bool:
        return abs(self._now - note.seen_at) > REMEMBERED_FOR or any(
            process.kind == note.kind and process.started_at > note.seen_at
            for process in self._started
        )


def known_tasks(processes: Iterable[Process]) -> set[str] | None:
    """Return the tasks that the workers among some processes have actors for.

    None if that is not known: there is no worker, or one of an earlier version, which does not say.
    """
    known = [process.tasks for process in processes if process.kind == ProcessKind.WORKER]
    return {task for tasks in known for task in tasks} if known and all(known) else None


def liveness() -> timedelta:
    """Return how long after its last heartbeat a process counts as gone."""
    return timedelta(seconds=liveness_seconds())
