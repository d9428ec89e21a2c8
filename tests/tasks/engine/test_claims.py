"""Slots are claimed once each, the latest missed one is caught up, and the rest say why not."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from django.db import connection
from django.db.models.functions import Now

from tasks.engine import database as transactions
from tasks.engine.database import DATABASE_AWAY, database_now
from tasks.engine.models import Schedule, State, TaskRun, Trigger
from tasks.engine.scheduler import claims
from tasks.engine.scheduler.claims import MISSED, TOO_LATE, claim, reset_after_clock_change
from tasks.names import TaskName
from tests.factories import new_run
from tests.tasks.engine.clock import TWO, Clock

DAY = timedelta(days=1)


@pytest.fixture
def nightly(db: None, clock: Clock) -> Schedule:
    """The cleanup at 02:00, ten days old; it is 02:00, and yesterday's slot is the last handled."""
    schedule = Schedule.objects.create(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *")
    Schedule.objects.update(effective_since=TWO - 10 * DAY, last_slot=TWO - DAY)
    return schedule


def slots() -> list[tuple[datetime | None, str, str]]:
    runs = TaskRun.objects.order_by("scheduled_for")
    return list(runs.values_list("scheduled_for", "state", "reason"))


def test_slot_is_claimed_at_its_moment_and_not_before(nightly: Schedule, clock: Clock) -> None:
    clock.now = TWO - timedelta(microseconds=1)
    assert claim(nightly.pk) is None

    clock.now = TWO
    run = claim(nightly.pk)
    assert run is not None
    assert (run.task, run.scheduled_for, run.state) == (TaskName.TODO_CLEANUP, TWO, State.QUEUED)
    assert run.as_of == TWO


def test_slot_is_claimed_once(nightly: Schedule) -> None:
    assert claim(nightly.pk)
    assert claim(nightly.pk) is None
    assert len(slots()) == 1


def test_slot_missed_from_before_two_until_nine_runs_once_at_nine(
    nightly: Schedule, clock: Clock
) -> None:
    clock.now = TWO - timedelta(minutes=10)
    assert claim(nightly.pk) is None

    clock.now = TWO + timedelta(hours=7)
    run = claim(nightly.pk)
    assert run
    assert run.scheduled_for == TWO
    assert claim(nightly.pk) is None


def test_after_three_days_only_the_latest_slot_runs_and_the_others_say_so(
    nightly: Schedule, clock: Clock
) -> None:
    clock.now = TWO + 2 * DAY + timedelta(hours=7)

    assert claim(nightly.pk)

    assert slots() == [
        (TWO, State.SKIPPED, MISSED),
        (TWO + DAY, State.SKIPPED, MISSED),
        (TWO + 2 * DAY, State.QUEUED, ""),
    ]


def test_slot_older_than_the_window_is_not_caught_up(nightly: Schedule, clock: Clock) -> None:
    Schedule.objects.update(catch_up_seconds=3600)
    clock.now = TWO + timedelta(hours=1, seconds=1)

    assert claim(nightly.pk) is None
    assert slots() == [(TWO, State.SKIPPED, TOO_LATE)]


def test_nothing_before_a_schedules_beginning_is_caught_up(nightly: Schedule, clock: Clock) -> None:
    Schedule.objects.update(effective_since=TWO + timedelta(seconds=1), last_slot=None)
    clock.now = TWO + timedelta(hours=7)

    assert claim(nightly.pk) is None
    assert slots() == []


def test_schedule_that_is_switched_off_claims_nothing(nightly: Schedule) -> None:
    Schedule.objects.update(enabled=False)
    assert claim(nightly.pk) is None
    assert slots() == []


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING])
def test_slot_is_skipped_while_the_previous_run_is_unfinished(
    nightly: Schedule, clock: Clock, state: State
) -> None:
    assert claim(nightly.pk)
    TaskRun.objects.update(state=state)

    clock.now = TWO + DAY
    assert claim(nightly.pk) is None
    assert slots()[1] == (
        TWO + DAY,
        State.SKIPPED,
        "The run of 2026-03-10 02:00:00 UTC is unfinished.",
    )

    TaskRun.objects.filter(scheduled_for=TWO).update(state=State.FAILED, finished_at=Now())
    clock.now = TWO + 2 * DAY
    assert claim(nightly.pk)


def test_run_asked_for_by_hand_keeps_no_slot_away(nightly: Schedule) -> None:
    new_run(State.RUNNING, trigger=Trigger.COMMAND)
    assert claim(nightly.pk)


def test_pruned_history_brings_no_slot_back(nightly: Schedule) -> None:
    assert claim(nightly.pk)
    TaskRun.objects.all().delete()
    assert claim(nightly.pk) is None


def test_slot_that_has_a_row_already_is_left_alone(nightly: Schedule) -> None:
    assert claim(nightly.pk)
    Schedule.objects.update(last_slot=TWO - DAY)
    assert claim(nightly.pk) is None
    assert len(slots()) == 1


def test_daily_slot_comes_once_when_the_clocks_go_back(nightly: Schedule, clock: Clock) -> None:
    Schedule.objects.update(
        timezone="Europe/Berlin", last_slot=datetime(2026, 10, 24, 0, tzinfo=UTC)
    )
    claimed = []

    clock.now = datetime(2026, 10, 24, 23, 59, 30, tzinfo=UTC)
    while clock.now < datetime(2026, 10, 26, 2, tzinfo=UTC):
        if run := claim(nightly.pk):
            claimed.append(run.scheduled_for)
            TaskRun.objects.update(state=State.SUCCEEDED, finished_at=Now())
        clock.now += timedelta(minutes=10)

    assert claimed == [
        datetime(2026, 10, 25, 0, tzinfo=UTC),
        datetime(2026, 10, 26, 1, tzinfo=UTC),
    ]


@pytest.mark.django_db(transaction=True)
def test_many_claiming_at_once_give_each_slot_one_row() -> None:
    schedule = Schedule.objects.create(task=TaskName.PING, every=1)
    Schedule.objects.update(effective_since=Now() - timedelta(seconds=5))

    def claim_for_a_while(_: int) -> int:
        try:
            return sum(claim(schedule.pk) is not None for _ in range(5))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        claimed = sum(pool.map(claim_for_a_while, range(4)))

    runs = TaskRun.objects.order_by("scheduled_for")
    times = [run.scheduled_for for run in runs if run.scheduled_for]
    assert times
    assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
    assert claimed == runs.filter(state=State.QUEUED).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_scheduler_frozen_in_a_claim_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = Schedule.objects.create(task=TaskName.PING, every=1)
    Schedule.objects.update(effective_since=Now() - timedelta(seconds=5))
    monkeypatch.setitem(
        transactions.SHORT_TRANSACTION_SETTINGS, "idle_in_transaction_session_timeout", "300"
    )
    monkeypatch.setattr(claims, "reason_to_skip", lambda *_: "")
    frozen, thawed = Event(), Event()

    def freeze() -> datetime:
        if not frozen.is_set():
            frozen.set()
            thawed.wait(20)
        return database_now()

    monkeypatch.setattr(claims, "database_now", freeze)

    def claim_and_close() -> bool:
        try:
            return claim(schedule.pk) is not None
        finally:
            connection.close()

    # One thread freezes in its transaction; the other must get the slot, and the first must fail.
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(claim_and_close)
        frozen.wait(5)
        assert claim(schedule.pk)
        thawed.set()
        with pytest.raises(DATABASE_AWAY):
            stuck.result(10)

    assert TaskRun.objects.filter(state=State.QUEUED).count() == 1


def test_schedule_that_handled_later_slots_continues_when_the_clock_has_been_set_back(
    nightly: Schedule, clock: Clock
) -> None:
    # The clock is a month ahead: the schedule claims the slots of a month to come.
    clock.now = TWO + 30 * DAY
    assert claim(nightly.pk)
    TaskRun.objects.filter(scheduled_for=TWO).update(state=State.SUCCEEDED)
    Schedule.objects.update(effective_since=TWO + 20 * DAY)
    TaskRun.objects.unfinished().update(state=State.SUCCEEDED, finished_at=clock.now)

    # It is set back: the schedule continues from there.
    clock.now = TWO + timedelta(hours=3)
    nightly.refresh_from_db()
    reset_after_clock_change(nightly, clock.now)
    assert nightly.handled_until == Schedule.objects.get().handled_until == clock.now
    assert claim(nightly.pk) is None

    clock.now = TWO + DAY
    assert claim(nightly.pk)


def test_slots_that_were_skipped_by_a_clock_that_was_ahead_run_when_they_come(
    nightly: Schedule, clock: Clock
) -> None:
    clock.now = TWO + 3 * DAY  # It claims that slot, and has missed those of the nights before.
    early = claim(nightly.pk)
    assert early
    early.fail("x")

    clock.now = TWO + timedelta(hours=1)
    nightly.refresh_from_db()
    reset_after_clock_change(nightly, clock.now)
    claimed = []
    for night in (1, 2, 3, 4):
        clock.now = TWO + night * DAY
        if run := claim(nightly.pk):
            run.fail("x")
        claimed.append(bool(run))
    assert claimed == [True, True, False, True]  # The third night was run by the wrong clock.


def test_retry_that_waits_by_a_clock_that_was_ahead_is_due_when_that_is_set_back(
    nightly: Schedule,
) -> None:
    now = database_now()
    ahead = now + timedelta(minutes=50)
    by_that_clock = new_run(State.PENDING, attempted_at=ahead, due_at=ahead + DAY)
    by_this_one = new_run(State.PENDING, attempted_at=now, due_at=now + DAY)
    Schedule.objects.update(last_slot=ahead)
    nightly.refresh_from_db()
    reset_after_clock_change(nightly, now)
    for run in (by_that_clock, by_this_one):
        run.refresh_from_db()
    assert by_that_clock.due_at < now + timedelta(minutes=1)
    assert by_this_one.due_at == now + DAY


def test_schedule_that_is_right_is_not_turned_back(nightly: Schedule, clock: Clock) -> None:
    before = Schedule.objects.values().get()

    reset_after_clock_change(nightly, clock.now)

    assert Schedule.objects.values().get() == before
