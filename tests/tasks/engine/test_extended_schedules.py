"""Schedules with arguments, names, one moment, jitter, or runs that wait for each other."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from tasks.engine.console.timeline import timeline
from tasks.engine.database import database_now
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import Overlap, Process, ProcessKind, Schedule, State, TaskRun
from tasks.engine.monitoring import schedules as monitoring
from tasks.engine.monitoring.headline import headline
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import gather
from tasks.engine.operations.restored import skip_slots_since_backup
from tasks.engine.operations.runs import run_now
from tasks.engine.scheduler.claims import WAIT_AT_MOST, claim
from tasks.engine.scheduler.process import Scheduler
from tasks.engine.scheduler.relay import Relay
from tasks.names import TaskName
from tasks.next_cleanup import next_cleanup, remembered_schedules
from tests.factories import new_process, new_run
from tests.tasks.engine.clock import TWO, Clock

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


def add(name: str = "", **values: Any) -> Schedule:
    """Write a schedule of the cleanup that is some days old; at 02:00 if nothing else is said."""
    times = {} if {"every", "once_at", "crontab"} & values.keys() else {"crontab": "0 2 * * *"}
    given = {"task": TaskName.TODO_CLEANUP, **times, **values}
    schedule = Schedule.objects.create(name=name, **given)
    Schedule.objects.filter(pk=schedule.pk).update(effective_since=TWO - 10 * DAY)
    return Schedule.objects.get(pk=schedule.pk)


def handled(schedule: Schedule, until: datetime) -> Schedule:
    """Have a schedule's slots be handled until a moment."""
    Schedule.objects.filter(pk=schedule.pk).update(last_slot=until)
    return schedule


def slots(name: str = "") -> list[tuple[datetime | None, str]]:
    runs = TaskRun.objects.filter(schedule_name=name).order_by("scheduled_for")
    return list(runs.values_list("scheduled_for", "state"))


# Several for one task, with arguments.


def test_two_schedules_of_a_task_run_the_same_slot_each_with_its_own_arguments(
    db: None, clock: Clock
) -> None:
    plain = handled(add(), TWO - DAY)
    own = handled(add("for one", arguments={"keep_days": 7}), TWO - DAY)
    first, second = claim(plain.pk), claim(own.pk)
    assert first
    assert second
    assert (first.scheduled_for, second.scheduled_for) == (TWO, TWO)
    assert (first.message().kwargs, second.message().kwargs) == ({}, {"keep_days": 7})
    assert claim(plain.pk) is claim(own.pk) is None
    assert slots() == slots("for one") == [(TWO, State.QUEUED)]


def test_slot_of_a_schedule_has_one_row_whatever_happens(db: None, clock: Clock) -> None:
    assert claim(handled(add("own"), TWO - DAY).pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        new_run(schedule_name="own", scheduled_for=TWO)
    assert new_run(schedule_name="other", scheduled_for=TWO).pk


def test_run_now_takes_the_schedules_arguments(db: None, alice: User) -> None:
    alice.is_superuser = True
    alice.save()
    run = run_now(add("own", arguments={"keep_days": 7}), by=alice)
    assert (run.message().kwargs, run.schedule_name) == ({"keep_days": 7}, "own")


def test_runs_of_one_schedule_are_nothing_to_another(db: None, clock: Clock) -> None:
    run = claim(handled(add("own"), TWO - DAY).pk)
    assert run
    TaskRun.objects.filter(pk=run.pk).update(state=State.SUCCEEDED, finished_at=TWO)
    add()
    plain, own = monitoring.read_schedules(TWO + MINUTE)
    assert (plain.name, own.name) == ("todo.cleanup", "todo.cleanup (own)")
    assert (plain.last_run, own.last_run) == (None, run)


def test_arguments_that_the_task_does_not_take_are_told_and_not_quoted(db: None) -> None:
    add("own", arguments={"keep_days": "my secret"})
    (told,) = [line for line in problems(gather()) if "own" in line]
    assert told == (
        "todo.cleanup (own): its schedule cannot be used: The task does not accept its arguments."
    )


def test_slots_that_a_backup_missed_are_skipped_of_extended_schedules_too(
    db: None, clock: Clock
) -> None:
    own = handled(add("own"), TWO - 2 * DAY)
    assert [(one.pk, found) for one, found in skip_slots_since_backup()] == [
        (own.pk, [TWO, TWO - DAY])
    ]
    assert slots("own") == [(TWO - DAY, State.SKIPPED), (TWO, State.SKIPPED)]


# One moment.


def test_schedule_of_one_moment_runs_once_and_all_is_well_after_it(
    db: None, clock: Clock, broker: object
) -> None:
    once = add("once", once_at=TWO)
    clock.now = TWO - SECOND
    assert claim(once.pk) is None
    clock.now = TWO + SECOND
    assert claim(once.pk)
    assert claim(once.pk) is None
    assert slots("once") == [(TWO, State.QUEUED)]
    assert once.next_start(TWO) is None
    assert once.next_start(TWO - DAY) == TWO
    TaskRun.objects.update(state=State.SUCCEEDED, finished_at=Now())
    (status,) = monitoring.read_schedules(TWO + 30 * DAY)
    assert (status.next_slot, status.overdue_slot, status.unsuccessful_since) == (None, None, None)


def test_moment_that_no_scheduler_could_read_is_refused_by_the_database(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        add("once", once_at=datetime(9999, 12, 31, tzinfo=UTC))


def test_scheduler_plans_nothing_for_a_moment_that_has_passed(
    transactional_db: None, broker: object
) -> None:
    once = add("once", once_at=TWO)
    Schedule.objects.filter(pk=once.pk).update(last_slot=TWO)
    scheduler = Scheduler()
    scheduler.tick()
    planned = {job.id for job in scheduler._clock.get_jobs()}  # noqa: SLF001  (the plan itself)
    assert str(once.pk) not in planned
    assert planned


# Runs that wait for each other.


def test_slot_waits_for_the_run_before_and_only_one_does(
    transactional_db: None, clock: Clock, broker: object
) -> None:
    own = handled(add("own", every=60, overlap=Overlap.QUEUE), TWO - MINUTE)
    first = claim(own.pk)
    assert first
    for _ in range(3):
        clock.now += MINUTE
        assert claim(own.pk) is None
    assert slots("own") == [
        (TWO, State.QUEUED),
        (TWO + MINUTE, State.PENDING),
        (TWO + 2 * MINUTE, State.SKIPPED),
        (TWO + 3 * MINUTE, State.SKIPPED),
    ]
    skipped = TaskRun.objects.get(scheduled_for=TWO + 2 * MINUTE)
    assert skipped.reason == "The run of 2026-03-10 02:01:00 UTC waits already."
    waiting = TaskRun.objects.get(state=State.PENDING)
    assert waiting.waits_for == first.pk
    now = database_now()
    assert str(headline(waiting, now)) == f"Waiting for run {first.pk} to end"
    told = [event.what for event in timeline(waiting, [], now, reason="", with_errors=True)]
    assert not [what for what in told if "due" in what]

    relay = Relay(Heartbeat(ProcessKind.SCHEDULER).contact)
    relay.run()
    waiting.refresh_from_db()
    assert waiting.state == State.PENDING
    TaskRun.objects.filter(pk=first.pk).update(state=State.FAILED, finished_at=Now())
    relay.run()
    waiting.refresh_from_db()
    assert waiting.state == State.QUEUED
    assert waiting.waits_for is None


def test_run_that_waits_is_not_due_although_its_time_has_passed(db: None, clock: Clock) -> None:
    own = handled(add("own", every=60, overlap=Overlap.QUEUE), TWO - MINUTE)
    claim(own.pk)
    clock.now += MINUTE
    claim(own.pk)
    TaskRun.objects.filter(state=State.PENDING).update(due_at=Now() - WAIT_AT_MOST)
    assert not TaskRun.objects.due().exists()
    assert TaskRun.objects.stop_waiting() == 0


def test_run_that_waits_is_no_problem_and_can_be_cancelled(
    transactional_db: None, clock: Clock, broker: object
) -> None:
    own = handled(add("own", every=60, overlap=Overlap.QUEUE), TWO - MINUTE)
    claim(own.pk)
    clock.now += MINUTE
    claim(own.pk)
    long_ago = Now() - 10 * MINUTE
    TaskRun.objects.update(created_at=long_ago, due_at=long_ago)
    TaskRun.objects.filter(state=State.QUEUED).update(state=State.RUNNING, progressed_at=Now())
    (waiting,) = TaskRun.objects.filter(state=State.PENDING)
    assert not [line for line in problems(gather()) if "sent by now" in line]
    assert waiting.cancel("Not today.")


# Jitter.


def test_run_starts_within_its_jitter_and_refers_to_its_slot(db: None, clock: Clock) -> None:
    own = handled(add("own", jitter_seconds=600), TWO - DAY)
    start = own.start_of(TWO)
    assert TWO < start < TWO + 10 * MINUTE
    assert own.next_start(TWO) == start
    clock.now = start - SECOND
    assert claim(own.pk) is None
    (status,) = monitoring.read_schedules(clock.now)
    assert (status.next_slot, status.overdue_slot) == (start, None)
    clock.now = start
    run = claim(own.pk)
    assert run
    assert (run.scheduled_for, run.as_of) == (TWO, TWO)
    (status,) = monitoring.read_schedules(start + MINUTE)
    assert status.overdue_slot is None


@given(
    st.integers(1, 3600),
    st.sampled_from([{"every": 1}, {"every": 7}, {"every": 3600}, {"crontab": "*/5 2 * * *"}]),
    st.integers(0, 10**8),
)
def test_jitter_never_passes_the_next_slot_and_is_the_same_for_whoever_asks(
    jitter: int, times: dict[str, Any], seconds: int
) -> None:
    moment = TWO + timedelta(seconds=seconds)
    schedule = Schedule(task="t", name="n", jitter_seconds=jitter, **times)
    slots = list(islice(schedule.recurrence.after(moment), 4))
    starts = [schedule.start_of(slot) for slot in slots]
    for slot, start, (_, coming) in zip(slots, starts, pairwise(slots), strict=False):
        assert slot <= start < min(coming, slot + timedelta(seconds=jitter))
    assert starts == [
        Schedule(**times, task="t", name="n", jitter_seconds=jitter).start_of(slot)
        for slot in slots
    ]
    # Whoever goes from start to start meets each slot once.
    assert schedule.next_start(starts[0]) == starts[1]
    assert next(schedule.starts_until(starts[1])) == slots[1]
    assert next(schedule.starts_until(starts[1] - timedelta(microseconds=1))) == slots[0]


# Pauses, and the version before.


def test_pause_says_when_by_whom_and_why_until_it_ends(db: None, alice: User) -> None:
    schedule = add()
    schedule.pause(by=alice, note="The mail server moves")
    schedule.refresh_from_db()
    assert (schedule.paused_by, schedule.pause_note) == (alice, "The mail server moves")
    assert not schedule.is_active
    since = schedule.paused_at
    schedule.save()
    assert schedule.paused_at == since
    schedule.resume()
    schedule.refresh_from_db()
    assert schedule.is_active
    assert (schedule.paused_at, schedule.paused_by, schedule.pause_note) == (None, None, "")


EXTENSIONS: list[dict[str, Any]] = [
    {"arguments": {"keep_days": 7}},
    {"jitter_seconds": 5},
    {"overlap": Overlap.QUEUE},
]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_the_version_before_knows_nothing_of_is_hidden_from_its_schedulers(
    db: None, extension: dict[str, Any]
) -> None:
    schedule = add()
    before = {name: getattr(schedule, name) for name in extension}
    for name, value in extension.items():
        setattr(schedule, name, value)
    schedule.save()
    assert (schedule.is_active, schedule.enabled, schedule.extended) == (True, False, True)
    assert Schedule.objects.active().get() == schedule
    # Nor can anybody press its button.
    with pytest.raises(IntegrityError), transaction.atomic():
        Schedule.objects.update(enabled=True)
    for name, value in before.items():
        setattr(schedule, name, value)
    schedule.save()
    assert (schedule.is_active, schedule.enabled, schedule.extended) == (True, True, False)


def test_pause_lasts_whatever_else_is_changed(db: None) -> None:
    schedule = add()
    schedule.pause(by=None, note="Why")
    for arguments in ({"keep_days": 7}, {}):
        schedule.arguments = arguments
        schedule.save()
        assert (schedule.is_active, schedule.enabled) == (False, False)
        assert not Schedule.objects.active().exists()
        assert schedule.pause_note == "Why"
    schedule.resume()
    assert (schedule.is_active, schedule.enabled) == (True, True)


def test_pause_and_resume_of_the_version_before_are_obeyed(db: None) -> None:
    schedule = add()
    Schedule.objects.update(enabled=False)
    assert not Schedule.objects.active().exists()
    schedule.refresh_from_db()
    assert not schedule.is_active
    schedule.pause(by=None, note="Why")
    Schedule.objects.update(enabled=True)
    schedule.refresh_from_db()
    assert schedule.is_active
    assert Schedule.objects.active().get() == schedule
    schedule.save()
    assert schedule.paused_at is None


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        (lambda one: setattr(one, "crontab", "0 3 * * *"), True),
        (lambda one: setattr(one, "jitter_seconds", 60), True),
        (lambda one: setattr(one, "arguments", {"keep_days": 7}), False),
        (lambda one: setattr(one, "overlap", Overlap.QUEUE), False),
    ],
)
def test_new_times_restart_a_schedule_and_other_changes_do_not(
    db: None, change: Callable[[Schedule], None], *, restarts: bool
) -> None:
    schedule = add()
    before = schedule.effective_since
    change(schedule)
    schedule.save()
    schedule.refresh_from_db()
    assert (schedule.effective_since > before) == restarts


def test_scheduler_says_that_it_knows_extended_schedules(transactional_db: None) -> None:
    with Heartbeat(ProcessKind.SCHEDULER) as heartbeat:
        heartbeat.beat()
        schedulers = {one.pk: one.knows_extended for one in Process.objects.all()}
        assert schedulers[heartbeat.id]
    assert not new_process().knows_extended


# What people are told.


def test_people_are_told_of_the_next_cleanup_of_everyone_whichever_schedule_it_is_of(
    db: None,
) -> None:
    add()
    add("noon", crontab="0 12 * * *")
    add("for one", crontab="0 5 * * *", arguments={"user_id": 1})
    paused = add("paused", crontab="0 4 * * *")
    paused.pause(by=None)
    remembered_schedules.cache_clear()
    assert next_cleanup(TWO) == TWO + timedelta(hours=10)
    assert next_cleanup(TWO + timedelta(hours=10)) == TWO + DAY
