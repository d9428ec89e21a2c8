"""Live processes: each worker, scheduler and command writes a heartbeat."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Cast, Concat, Now

from tasks.engine.conf import liveness_seconds


class ProcessKind(models.TextChoices):
    WORKER = "worker"
    SCHEDULER = "scheduler"
    COMMAND = "command"


class ProcessQuerySet(models.QuerySet["Process"]):
    """Processes by their heartbeat."""

    def alive(self) -> Self:
        return self.filter(seen_at__gte=Now() - liveness())

    def silent_since(self, moment: datetime) -> Self:
        """Return those without a heartbeat since `moment`.

        A heartbeat in the future does not count: the database's clock has been set back since.
        """
        return self.filter(Q(seen_at__lt=moment) | Q(seen_at__gt=Now() + liveness()))

    def named(self, process: UUID) -> "models.QuerySet[Process, str]":
        """Return the host and process id of one, to be displayed, as a query."""
        number = Cast("pid", models.CharField())
        name = Concat("host", Value(", process "), number, output_field=models.CharField())
        return self.filter(pk=process).values_list(name, flat=True)


class Process(models.Model):
    """A process; its row is deleted when it ends, or when its heartbeat has stopped for long."""

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
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField("last heartbeat", db_default=Now())

    objects = ProcessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.kind} {self.pid} on {self.host}"


def known_tasks(processes: Iterable[Process]) -> set[str] | None:
    """Return the tasks that the workers among some processes have actors for.

    None if that is not known: there is no worker, or one of an earlier version, which does not say.
    """
    known = [process.tasks for process in processes if process.kind == ProcessKind.WORKER]
    return {task for tasks in known for task in tasks} if known and all(known) else None


def liveness() -> timedelta:
    """Return how long after its last heartbeat a process counts as gone."""
    return timedelta(seconds=liveness_seconds())
