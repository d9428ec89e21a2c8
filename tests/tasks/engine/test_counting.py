"""The hours that are over are counted, once, and outlast the runs."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.console.task_charts import PERIODS, quantile, task_charts
from tasks.engine.database import database_now
from tasks.engine.models import Measure, RunCount, State, TaskRun
from tasks.engine.operations import counting
from tasks.engine.operations.counting import (
    LENGTHS_MS,
    MOST_HOURS,
    count_next_hours,
    counted_until,
    forget_old_counts,
)
from tasks.engine.operations.pruning import prune_runs
from tasks.names import TaskName
from tests.factories import new_run, new_runs

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ten minutes past noon."""
    monkeypatch.setattr(counting, "database_now", lambda: NOON + 10 * MINUTE)


def ended(at: datetime, seconds: float = 1.0, **values: Any) -> TaskRun:
    return new_run(**{"started_at": at - timedelta(seconds=seconds), "finished_at": at, **values})


def count_all() -> None:
    while count_next_hours():
        pass


def total() -> int:
    durations = RunCount.objects.filter(measure=Measure.DURATION)
    return durations.aggregate(total=Sum("amount"))["total"] or 0


def test_hours_that_a_clock_that_was_ahead_has_counted_are_counted_anew(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "database_now", database_now)
    hour = counting.hour_of(database_now())
    wrong = {"state": State.SUCCEEDED, "measure": Measure.DURATION, "length_ms": 1, "amount": 50}
    RunCount.objects.create(task=TaskName.TODO_CLEANUP, hour=hour + HOUR, **wrong)
    ended(hour - 3 * HOUR)
    ended(hour + SECOND)
    count_all()
    assert counted_until() == hour - 2 * HOUR
    assert TaskRun.objects.filter(counting.uncounted()).count() == 1

    RunCount.objects.filter(hour=hour + HOUR).update(hour=hour - 3 * HOUR)  # Time has passed.
    monkeypatch.setattr(counting, "next_hour", lambda: hour - 3 * HOUR)
    counting.count_next_hours()
    assert total() == 1


def test_hour_is_counted_when_it_is_over_and_not_before(db: None) -> None:
    ended(NOON - MINUTE)
    ended(NOON + MINUTE)
    count_all()
    assert list(RunCount.objects.values_list("task", "hour", "state", "amount")) == [
        (TaskName.TODO_CLEANUP, NOON - HOUR, State.SUCCEEDED, 1)
    ]
    assert counted_until() == NOON


def test_what_is_counted_is_not_counted_again(db: None) -> None:
    for hour in range(1, 4):
        ended(NOON - hour * HOUR + MINUTE)
    for _ in range(3):
        count_all()
    assert total() == 3


def test_gap_of_months_is_skipped(db: None) -> None:
    ended(NOON - 3_000 * HOUR)
    ended(NOON - 2 * HOUR)
    assert count_next_hours()
    assert not count_next_hours()
    assert total() == 2


def test_counts_are_those_of_the_ledger_however_many_hours_there_are(db: None) -> None:
    for hours in range(2, 3 * MOST_HOURS):
        ended(NOON - hours * HOUR + MINUTE, seconds=hours)
    new_runs(7, State.FAILED, finished_at=NOON - 5 * HOUR, started_at=NOON - 6 * HOUR)
    new_runs(3, State.SKIPPED, finished_at=NOON - 5 * HOUR)
    count_all()
    found: Counter[str] = Counter()
    for state, amount in RunCount.objects.filter(measure=Measure.DURATION).values_list(
        "state", "amount"
    ):
        found[state] += amount
    ledger = Counter(TaskRun.objects.values_list("state", flat=True))
    assert found == ledger


@pytest.mark.postgresql
def test_schedulers_that_count_at_once_count_each_run_once(transactional_db: None) -> None:
    for hours in range(2, 60):
        ended(NOON - hours * HOUR + MINUTE)

    def count() -> None:
        try:
            count_all()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(count) for _ in range(4)]:
            done.result()
    assert total() == 58


def test_counts_outlast_the_runs_and_are_forgotten_after_a_year(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(datetime.now(UTC) - timedelta(days=95))
    monkeypatch.undo()
    assert prune_runs() == {"runs_deleted": 1}
    assert total() == 1
    RunCount.objects.update(hour=datetime.now(UTC) - timedelta(days=counting.KEEP_DAYS + 1))
    forget_old_counts()
    assert total() == 0


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=40), st.floats(0.01, 1))
def test_quantile_is_right_to_a_quarter(milliseconds: list[int], part: float) -> None:
    lengths = Counter(next(one for one in LENGTHS_MS if one >= ms) for ms in milliseconds)
    found = quantile(lengths, part)
    assert found is not None
    rank = part * len(milliseconds)
    exact = sorted(milliseconds)[max(0, -int(-rank // 1) - 1)] / 1000
    # A millisecond is the shortest that is told apart.
    assert exact / 1.26 - 0.001 <= found <= exact * 1.26 + 0.001


def test_run_of_days_is_told_apart_from_one_of_weeks(db: None) -> None:
    ended(NOON - 2 * HOUR, seconds=2 * 86_400)
    count_all()
    counted = RunCount.objects.get(measure=Measure.DURATION)
    assert 1.6 < (quantile(Counter({counted.length_ms: 1}), 0.95) or 0) / 86_400 < 2.5


@pytest.mark.parametrize("counted_first", [True, False])
def test_charts_are_the_same_before_and_after_the_hours_are_counted(
    db: None, *, counted_first: bool
) -> None:
    for hours in range(1, 40):
        slot = NOON - hours * HOUR
        ended(slot + 2 * MINUTE, seconds=60.0, scheduled_for=slot)
    new_run(State.FAILED, started_at=NOON, finished_at=NOON + 4 * SECOND)
    if counted_first:
        count_all()
        TaskRun.objects.filter(finished_at__lt=NOON).delete()
    runs, duration, delay = task_charts(TaskName.TODO_CLEANUP, PERIODS[0], NOON + 10 * MINUTE)
    assert runs.summary == "24 runs in 24 hours, 1 failed. Red: failed."
    assert len(runs.bars) == 24
    assert runs.bars[-1].label == "12:00: 1, 1"
    assert runs.bars[-2].label == "11:00: 1, 0"
    assert "half of the runs took at most" in duration.summary
    assert "started after at most" in delay.summary
    week = task_charts(TaskName.TODO_CLEANUP, PERIODS[1], NOON + 10 * MINUTE)[0]
    assert week.summary == "40 runs in 7 days, 1 failed. Red: failed."
    month = task_charts(TaskName.TODO_CLEANUP, PERIODS[2], NOON + 10 * MINUTE)[0]
    assert month.bars[-1].name == "2026-03-10"
    assert len(month.bars) == 30


def test_task_that_never_ran_has_charts_that_say_so(db: None) -> None:
    runs, duration, _ = task_charts("report.send", PERIODS[0], NOON)
    assert (runs.summary, runs.bars) == ("0 runs in 24 hours, 0 failed. Red: failed.", ())
    assert duration.summary == "Nothing was measured in 24 hours."


def test_skipped_slots_are_told_apart(db: None) -> None:
    new_runs(2, State.SKIPPED, finished_at=NOON)
    runs, *_ = task_charts(TaskName.TODO_CLEANUP, PERIODS[0], NOON + MINUTE)
    assert runs.summary == "0 runs in 24 hours, 0 failed. 2 slots were skipped. Red: failed."
