"""Where each schedule stands: its slots, its last run, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, TypedDict

from django.db.models import OuterRef, QuerySet, Subquery
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.messages import message_for
from tasks.engine.database import CLOCK_TOLERANCE
from tasks.engine.models import Schedule, State, TaskRun
from tasks.engine.recurrence import Recurrence
from tasks.engine.worker.middleware import is_recorded

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class RunIds(TypedDict):
        """What `with_run_ids` adds to a schedule."""

        last_run_id: int | None
        last_success_id: int | None
        last_slot_run_id: int | None
        last_success_slot: datetime | None

    type ScheduleWithRunIds = WithAnnotations[Schedule, RunIds]

#: How long a slot may go unclaimed after its time.
CLAIM_GRACE = timedelta(seconds=30)

REFUSED = "The task does not accept its arguments."

#: This many slots in a row without a success are a problem; and how long each may take to succeed.
MAX_SLOTS_WITHOUT_SUCCESS = 2
SUCCESS_GRACE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class ScheduleStatus:
    """Where a schedule stands.

    Attributes:
        recurrence: None if its times make no sense.
        fault: why it cannot be used; empty if it can.
        last_slot_run: the run of `row.last_slot`, unless it was pruned.
        last_run: its run that ended last, of a slot or by hand.
        last_success: its run that succeeded last, of a slot or by hand.
        next_slot: when it starts next; None if it is paused, or was to run once and has.
        overdue_slot: the latest slot, if nobody has claimed it in time.
        unsuccessful_since: the first of the last MAX_SLOTS_WITHOUT_SUCCESS slots, if none of them
            has succeeded.
        held_until: no slot is claimed before this moment, as the database's clock has been set
            back; None if that is not so.
    """

    row: Schedule
    recurrence: Recurrence | None
    fault: str
    last_run: TaskRun | None
    last_success: TaskRun | None
    last_slot_run: TaskRun | None
    last_success_slot: datetime | None
    next_slot: datetime | None
    overdue_slot: datetime | None
    unsuccessful_since: datetime | None
    held_until: datetime | None

    @property
    def name(self) -> str:
        """The task, and its own name if it has one."""
        return str(self.row)

    @property
    def is_over(self) -> bool:
        """Whether its one moment has come, and nothing follows."""
        moment, last = self.row.once_at, self.row.last_slot
        return moment is not None and last is not None and moment <= last

    @property
    def times(self) -> str:
        """Its times in words; empty if they make no sense."""
        return self.recurrence.describe() if self.recurrence else ""


def read_schedules(now: datetime) -> tuple[ScheduleStatus, ...]:
    """Return all schedules by the names of their tasks, with two queries."""
    rows = list(with_run_ids(Schedule.objects.in_order().select_related("paused_by"), now))
    ids = {
        pk for row in rows for pk in (row.last_run_id, row.last_success_id, row.last_slot_run_id)
    }
    runs = TaskRun.objects.in_bulk(ids - {None})
    return tuple(schedule_status(row, runs, now) for row in rows)


def with_run_ids(schedules: "QuerySet[Schedule]", now: datetime) -> "QuerySet[ScheduleWithRunIds]":
    """Add to schedules the ids of the runs that their status names.

    None of them is of the future, by a clock that was ahead: it would hide those that come now.
    """
    latest = now + CLOCK_TOLERANCE
    own = {"task": OuterRef("task"), "schedule_name": OuterRef("name")}
    runs = TaskRun.objects.filter(**own).values("pk")
    # A range of one task, in the order of task and end, which the index of all three serves alone:
    # for a task that has never run, PostgreSQL would go through the ends of all others' runs.
    of_task = TaskRun.objects.filter(
        schedule_name=OuterRef("name"), task__gte=OuterRef("task"), task__lte=OuterRef("task")
    )
    # SQLite uses that index only where the query excludes NULL.
    ended = of_task.filter(finished_at__lte=latest).order_by("-task", "-finished_at").values("pk")
    return schedules.annotate(
        last_run_id=Subquery(ended.filter(state__in=[State.SUCCEEDED, State.FAILED])[:1]),
        last_success_id=Subquery(ended.filter(state=State.SUCCEEDED)[:1]),
        last_slot_run_id=Subquery(runs.filter(scheduled_for=OuterRef("last_slot"))[:1]),
        last_success_slot=Subquery(
            runs.filter(state=State.SUCCEEDED, scheduled_for__lte=latest)
            .order_by("-scheduled_for")
            .values("scheduled_for")[:1]
        ),
    )


def schedule_status(
    row: "ScheduleWithRunIds", runs: Mapping[int | None, TaskRun], now: datetime
) -> ScheduleStatus:
    """Return where a schedule stands, however broken it is."""
    last_slot_run = runs.get(row.last_slot_run_id)
    fault = ""
    recurrence = next_slot = overdue_slot = unsuccessful_since = None
    try:
        recurrence = row.recurrence
        message_for(row.task, row.arguments)
        if row.is_active:
            next_slot = row.next_start(now)
            overdue_slot = find_overdue_slot(row, now)
            active = last_slot_run is not None and not last_slot_run.is_finished
            unsuccessful_since = find_unsuccessful_since(row, now, active=active)
    except ActorNotFound:
        fault = "No actor does this task."
    except TypeError:
        fault = REFUSED
    except ValueError as error:
        # What the times are refused for quotes them; arguments may be people's own text.
        fault = REFUSED if recurrence else str(error)
    return ScheduleStatus(
        row=row,
        recurrence=recurrence,
        fault=fault,
        last_run=runs.get(row.last_run_id),
        last_success=runs.get(row.last_success_id),
        last_slot_run=last_slot_run,
        last_success_slot=row.last_success_slot,
        next_slot=next_slot,
        overdue_slot=overdue_slot,
        unsuccessful_since=unsuccessful_since,
        held_until=row.handled_until if row.is_active and row.is_ahead_of(now) else None,
    )


def find_overdue_slot(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the latest slot, if it should have been claimed by now and has not been."""
    latest = next(schedule.starts_until(now - CLAIM_GRACE), None)
    return latest if latest and latest > schedule.handled_until else None


def find_unsuccessful_since(
    schedule: "ScheduleWithRunIds", now: datetime, *, active: bool
) -> datetime | None:
    """Return the first of a schedule's last slots if none of them has succeeded.

    Only the runs of its slots count: a run by hand may be for one person alone. A slot that was
    cancelled or skipped has not succeeded; one alone needs no attention. Actors that are not
    recorded have no such rule: `last_ping.py` has one for the ping.

    Args:
        active: the run of its latest slot has not ended, so that slot is not counted yet.
    """
    if not is_recorded(get_broker(), schedule.task):
        return None
    slots = takewhile(
        lambda slot: slot > schedule.effective_since, schedule.starts_until(now - SUCCESS_GRACE)
    )
    counted = (slot for slot in slots if not (active and slot == schedule.last_slot))
    latest = list(islice(counted, MAX_SLOTS_WITHOUT_SUCCESS))
    if len(latest) < MAX_SLOTS_WITHOUT_SUCCESS:
        return None
    success = schedule.last_success_slot
    return latest[-1] if success is None or success < latest[-1] else None
