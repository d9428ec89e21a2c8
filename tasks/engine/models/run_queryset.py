"""Queries on runs."""

from datetime import timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models
from django.db.models import Case, Exists, OuterRef, Q, When
from django.db.models.functions import Now

from tasks.engine.models.ended import log_end
from tasks.engine.models.outcome import storable
from tasks.engine.models.process import Process
from tasks.engine.models.queue import Queue
from tasks.engine.models.states import UNFINISHED, State

if TYPE_CHECKING:
    from tasks.engine.models.run import TaskRun  # noqa: F401  (the type of the rows)
    from tasks.engine.models.schedule import Schedule

#: A run that was interrupted this often, without progress in between, may kill its process. The
#: relay publishes such suspects one at a time.
SUSPECT_CRASHES = 2


class TaskRunQuerySet(models.QuerySet["TaskRun"]):
    """Runs by what is to be done about them."""

    def unfinished(self) -> Self:
        return self.filter(state__in=UNFINISHED)

    def finished(self) -> Self:
        """Return the runs that have ended or were skipped."""
        return self.exclude(state__in=UNFINISHED)

    def of_schedule(self, schedule: "Schedule") -> Self:
        """Return the runs of a schedule's slots, and those that were asked for in its place."""
        return self.filter(task=schedule.task, schedule_name=schedule.name)

    def of_slots(self) -> Self:
        return self.filter(scheduled_for__isnull=False)

    def due(self) -> Self:
        """Return the runs to publish now."""
        return self.filter(
            state=State.PENDING,
            due_at__lte=Now(),
            stop_requested_at__isnull=True,
            waits_for__isnull=True,
        )

    def stop_waiting(self) -> int:
        """Make those runs due whose earlier run has ended; return how many there were."""
        earlier = self.model.objects.unfinished().filter(pk=OuterRef("waits_for"))
        waiting = self.filter(~Exists(earlier), state=State.PENDING, waits_for__isnull=False)
        return waiting.update(waits_for=None, due_at=Now())

    def suspect(self) -> Self:
        """Return the runs that may kill their process."""
        return self.filter(crashes__gte=SUSPECT_CRASHES)

    def unsuspected(self) -> Self:
        return self.filter(crashes__lt=SUSPECT_CRASHES)

    def to_cancel(self) -> Self:
        """Return the runs that were asked to stop and that no process works on."""
        return self.filter(state__in=(State.PENDING, State.QUEUED), stop_requested_at__isnull=False)

    def unacknowledged(self) -> Self:
        """Return the runs with a failure or errors that no operator has acknowledged."""
        return self.filter(
            Q(state=State.FAILED) | Q(has_errors=True),
            finished_at__isnull=False,
            acknowledged_at__isnull=True,
        )

    def waiting(self, *, longer_than: timedelta) -> Self:
        """Return the runs that were published but not started for longer than this."""
        return self.filter(state=State.QUEUED, sent_at__lt=Now() - longer_than)

    def orphaned(self) -> Self:
        """Return the running runs whose process has no row: it ended, or counted as gone."""
        holder = Process.objects.filter(pk=OuterRef("held_by"))
        return self.filter(~Exists(holder), state=State.RUNNING)

    def held_by_silent(self) -> Self:
        """Return the running runs whose process has no row or a stale heartbeat."""
        alive = Process.objects.alive().filter(pk=OuterRef("held_by"))
        return self.filter(~Exists(alive), state=State.RUNNING)

    def noting_obstacles(self) -> Self:
        """Have each run say what keeps it from going on.

        `is_gone`: it is running, and its process is silent or gone. `is_held_up`: its queue is
        paused.
        """
        alive = Process.objects.alive().filter(pk=OuterRef("held_by"))
        is_gone = Case(When(~Exists(alive), state=State.RUNNING, then=True), default=False)
        paused = Queue.objects.paused().filter(name=OuterRef("queue"))
        return self.annotate(is_gone=is_gone, is_held_up=Exists(paused))

    def succeed_unrecorded(self, message_id: UUID, result: object) -> bool:
        """Mark the run of a message whose actor is not recorded as succeeded, if it has one.

        Dramatiq may have retried the message after a failure, so a failed run succeeds as well.
        """
        runs = self.filter(message_id=message_id, state__in=(*UNFINISHED, State.FAILED))
        ended = runs.update(state=State.SUCCEEDED, finished_at=Now(), result=result, error="")
        return self._log_end(message_id, State.SUCCEEDED, ended=ended)

    def fail_unrecorded(self, message_id: UUID, error: str, *, why: str) -> bool:
        """Mark the run of a message whose actor is not recorded as failed, if it has one.

        Args:
            why: what the log says of it, in a line that quotes no row.
        """
        runs = self.filter(message_id=message_id, state__in=UNFINISHED)
        ended = runs.update(state=State.FAILED, finished_at=Now(), error=storable(error))
        return self._log_end(message_id, State.FAILED, ended=ended, why=why)

    def _log_end(self, message_id: UUID, state: State, *, ended: int, why: str = "") -> bool:
        if ended:
            here = self.filter(message_id=message_id)
            log_end(here, state, {"message_id": str(message_id)}, why=why)
        return bool(ended)
