"""Claims slots: creates one row for each, however many schedulers run.

A claim locks the schedule's row, reads the database's clock, and handles every slot since the last
one that was handled. The latest slot is run, unless it is too old or the previous run has not
ended; then it is skipped, or waits, as the schedule says. All others are recorded as skipped.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile

from django.db.models import Max, Q
from django.db.models.functions import Now
from dramatiq.broker import get_broker

from tasks.engine.broker.messages import message_for
from tasks.engine.database import CLOCK_TOLERANCE, database_now, short_transaction
from tasks.engine.models import Overlap, Schedule, State, TaskRun, Trigger
from tasks.engine.runs.enqueue import Request

#: Missed slots that one claim records, the latest ones: a week of minutes, or three hours of
#: seconds. Earlier ones are not recorded.
MOST_MISSED = 10_000

ROWS_PER_INSERT = 1_000

#: When a run that waits for another is due all the same: the version before knows of no such waits,
#: and strands no run that it finds.
WAIT_AT_MOST = timedelta(minutes=5)

MISSED = "Missed: no scheduler claimed it before the next slot."
TOO_LATE = "Missed, and too late to catch up."


@short_transaction(wait_for_disk=True)
def claim(schedule_id: int) -> TaskRun | None:
    """Handle the slots of a schedule that have come; return the run to publish, if any.

    Raises:
        ActorNotFound: this version of the code has no actor for the schedule's task.
        TypeError, ValueError: the actor does not take the schedule's arguments.
    """
    schedule = _lock(schedule_id)
    if schedule is None:
        return None
    now = database_now()
    slots = _new_slots(schedule, now)
    if not slots:
        return None
    latest, *missed = slots
    Schedule.objects.filter(pk=schedule_id).update(last_slot=latest)
    skips = [skip(schedule, slot, now, MISSED) for slot in reversed(missed)]
    earlier = unfinished_runs(schedule)
    reason = reason_to_skip(schedule, latest, now, earlier)
    if reason:
        skips.append(skip(schedule, latest, now, reason))
    TaskRun.objects.bulk_create(skips, ignore_conflicts=True, batch_size=ROWS_PER_INSERT)
    if reason:
        return None
    message = message_for(schedule.task, schedule.arguments)
    request, name = Request(Trigger.SCHEDULE), schedule.name
    if not earlier:
        return request.create(message, scheduled_for=latest, schedule_name=name)
    request.record(
        message,
        scheduled_for=latest,
        schedule_name=name,
        state=State.PENDING,
        waits_for=earlier[0].pk,
        due_at=Now() + WAIT_AT_MOST,
    )
    return None


@short_transaction(wait_for_disk=True)
def skip_missed(schedule_id: int, reason: str) -> list[datetime]:
    """Record the slots of a schedule that have come as skipped, the latest one too.

    Returns:
        Their times, the latest first.

    Raises:
        ActorNotFound: see `claim`.
    """
    schedule = _lock(schedule_id)
    if schedule is None:
        return []
    now = database_now()
    slots = _new_slots(schedule, now)
    if slots:
        Schedule.objects.filter(pk=schedule_id).update(last_slot=slots[0])
        skips = [skip(schedule, slot, now, reason) for slot in reversed(slots)]
        TaskRun.objects.bulk_create(skips, ignore_conflicts=True, batch_size=ROWS_PER_INSERT)
    return slots


def _lock(schedule_id: int) -> Schedule | None:
    """Lock a schedule's row: other claims of its slots, and changes of it, wait until the end.

    (SQLite has one writer.)

    Returns:
        None if it is paused.
    """
    return Schedule.objects.active().select_for_update().filter(pk=schedule_id).first()


def _new_slots(schedule: Schedule, now: datetime) -> list[datetime]:
    """Return the slots that have come and are not handled, the latest first."""
    since = schedule.handled_until
    new_slots = takewhile(lambda slot: slot > since, schedule.starts_until(now))
    return list(islice(new_slots, MOST_MISSED))


def unfinished_runs(schedule: Schedule) -> list[TaskRun]:
    """Return the first runs of a schedule's slots that have not ended, two at the most."""
    runs = TaskRun.objects.of_schedule(schedule).of_slots().unfinished()
    return list(runs.order_by("scheduled_for")[:2])


def reason_to_skip(
    schedule: Schedule, slot: datetime, now: datetime, earlier: Sequence[TaskRun]
) -> str:
    """Return why a slot that has come is not run; empty if it is.

    Args:
        earlier: the first of its runs that have not ended.
    """
    if now - slot > schedule.catch_up:
        return TOO_LATE
    if TaskRun.objects.of_schedule(schedule).filter(scheduled_for=slot).exists():
        return f"The run of {slot:%Y-%m-%d %H:%M:%S} UTC is there already."
    if earlier and schedule.overlap == Overlap.SKIP:
        return f"The run of {earlier[0].scheduled_for:%Y-%m-%d %H:%M:%S} UTC is unfinished."
    if len(earlier) > 1:
        return f"The run of {earlier[1].scheduled_for:%Y-%m-%d %H:%M:%S} UTC waits already."
    return ""


def skip(schedule: Schedule, slot: datetime, now: datetime, reason: str) -> TaskRun:
    """Return the row, not yet saved, of a slot that is not run."""
    return TaskRun(
        task=schedule.task,
        schedule_name=schedule.name,
        scheduled_for=slot,
        trigger=Trigger.SCHEDULE,
        queue=get_broker().get_actor(schedule.task).queue_name,
        state=State.SKIPPED,
        finished_at=now,
        reason=reason,
    )


def reset_after_clock_change(schedule: Schedule, now: datetime) -> None:
    """Turn a schedule back to now if it has handled later slots.

    The database's clock was ahead and has been set back. Otherwise the schedule would not run until
    the clock reached those slots again. The slots that ran too early do not run again; those that
    were skipped too early, as missed, are to come. Runs that wait for a moment of that clock's are
    due now.
    """
    if not schedule.is_ahead_of(now):
        return
    to_come = TaskRun.objects.of_schedule(schedule).filter(scheduled_for__gt=now)
    to_come.filter(state=State.SKIPPED).delete()
    later = now + CLOCK_TOLERANCE
    waiting = TaskRun.objects.filter(state=State.PENDING, waits_for=None, due_at__gt=later)
    waiting.filter(Q(attempted_at__gt=later) | Q(created_at__gt=later)).update(due_at=Now())
    earlier = TaskRun.objects.of_schedule(schedule).filter(scheduled_for__lte=now)
    schedule.last_slot = earlier.aggregate(latest=Max("scheduled_for"))["latest"] or now
    schedule.effective_since = min(schedule.effective_since, now)
    Schedule.objects.filter(pk=schedule.pk, last_slot__gt=now).update(last_slot=schedule.last_slot)
    Schedule.objects.filter(pk=schedule.pk, effective_since__gt=now).update(effective_since=now)
