"""What monitoring sees of runs, and of how things stand."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from threading import Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from dramatiq.broker import get_broker

from tasks.engine.broker.queues import QueueStatus
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.extension import ExportedCount, TaskExtension, fault_of
from tasks.engine.metrics.families import AnyMetric, HistogramMetric, Observed
from tasks.engine.metrics.runs import MAX_RETIRED, OTHER, names, run_metrics
from tasks.engine.metrics.status import queue_metrics, status_metrics
from tasks.engine.metrics.tallies import BUCKETS
from tasks.engine.models import ProcessKind, RunTotal, Schedule, State, TaskRunQuerySet
from tasks.engine.monitoring.problems import problems, problems_by_kind
from tasks.engine.monitoring.status import gather
from tasks.engine.operations import pruning
from tasks.engine.operations.pruning import prune_runs
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.names import TaskName
from tests.factories import new_process, new_run, new_runs

CLEANUP, PING = TaskName.TODO_CLEANUP, TaskName.PING
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

#: No two runs of a task have the same slot.
numbers = count()


def values(metrics: Any = None) -> dict[tuple[str, ...], float | Observed]:
    """Return each sample by the name of its metric and the values of its labels."""
    found: dict[tuple[str, ...], float | Observed] = {}
    for metric in run_metrics() if metrics is None else metrics:
        for labels, value in metric.samples:
            assert len(labels) == len(metric.labels)
            found[metric.name, *labels] = value
    return found


def of_status() -> dict[tuple[str, ...], float | Observed]:
    return values(status_metrics(gather()))


def make(
    state: State = State.SUCCEEDED, *, took: float = 1, late: float = 0.0, **more: Any
) -> None:
    """Write a run of a slot of 100 days ago: how long it took, and how late it started."""
    slot = timezone.now() - 100 * DAY - next(numbers) * SECOND
    started = slot + late * SECOND
    ended = started + took * SECOND
    new_run(state, scheduled_for=slot, started_at=started, finished_at=ended, **more)


@pytest.fixture(autouse=True)
def _broker(broker: WakingBroker) -> None:
    """The verdict asks it."""


# Runs


def test_ended_runs_are_counted_by_task_and_result(db: None) -> None:
    new_runs(2)
    new_runs(3, State.FAILED)
    new_runs(1, State.SKIPPED, task=PING)
    new_runs(4, State.RUNNING)
    found = values()
    assert found["runs", CLEANUP, "succeeded"] == 2
    assert found["runs", CLEANUP, "failed"] == 3
    assert found["runs", PING, "skipped"] == 1


def test_known_tasks_begin_at_zero_so_that_the_first_failure_is_an_increase(db: None) -> None:
    found = values()
    for task in TaskName:
        for result in ("succeeded", "failed", "cancelled", "skipped"):
            assert found["runs", task, result] == 0
    assert found["todos_swept",] == 0


def test_durations_are_a_histogram_whose_buckets_include_the_shorter_ones(db: None) -> None:
    for seconds in (0.01, 0.2, 0.2, 7, 5000):
        make(took=seconds)
    observed = values()["run_duration_seconds", CLEANUP, "succeeded"]
    assert isinstance(observed, Observed)
    buckets = dict(observed.buckets)
    assert tuple(buckets) == BUCKETS
    assert [buckets[bound] for bound in ("0.025", "0.1", "0.25", "5.0", "10.0", "3600.0")] == [
        *(1, 1, 3, 3, 4, 4)
    ]
    assert buckets["+Inf"] == 5
    assert observed.total == pytest.approx(5007.41)


def test_delay_from_slot_to_start_is_that_of_schedules_alone(db: None) -> None:
    make(late=0.04)
    make(late=40)
    new_run(started_at=timezone.now())
    new_run(State.SKIPPED, scheduled_for=timezone.now())
    observed = values()["run_start_delay_seconds", CLEANUP]
    assert isinstance(observed, Observed)
    assert dict(observed.buckets)["+Inf"] == 2
    assert dict(observed.buckets)["0.05"] == 1
    assert observed.total == pytest.approx(40.04)


def test_run_that_ended_before_it_began_by_another_clock_takes_nothing_away(db: None) -> None:
    make(took=-3600, late=-3600)
    make(took=2)
    observed = values()["run_duration_seconds", CLEANUP, "succeeded"]
    assert isinstance(observed, Observed)
    assert observed.total == pytest.approx(2)
    assert dict(observed.buckets)["0.025"] == 1


def test_counts_are_added_up_that_the_extensions_of_tasks_export(db: None) -> None:
    new_run(result={"todos_deleted": 40, "users_processed": 3})
    new_run(result={"todos_deleted": "many"})
    new_run(State.CANCELLED, progress={"rows": 2})
    new_run(State.RUNNING, progress={"rows": 1000})
    new_run(task=TaskName.TODO_PURGE, result={"todos_purged": 7})
    new_run(task=TaskName.TODO_RESTORE, result={"todos_restored": 5, "todos_left": 1})
    found = values()
    assert [found[f"todos_{verb}",] for verb in ("swept", "purged", "restored")] == [42, 7, 5]


def test_tasks_without_an_actor_keep_their_names_until_there_are_too_many(db: None) -> None:
    for number in range(MAX_RETIRED + 5):
        new_run(task=f"retired.{number:02}")
    tasks = {labels[1] for labels in values() if labels[0] == "runs"}
    retired = {f"retired.{number:02}" for number in range(MAX_RETIRED)}
    assert {*TaskName} <= tasks
    assert tasks == {*get_broker().get_declared_actors(), *retired, OTHER}
    assert values()["runs", OTHER, "succeeded"] == 5


def test_name_of_a_known_task_is_never_lost_to_others(db: None) -> None:
    label = names([f"a{number}" for number in range(100)], ["zz"])
    assert label("zz") == "zz"


# Pruning


def some_history() -> None:
    for took, late in ((0.01, 0), (3, 0.5), (400, 70)):
        make(took=took, late=late, result={"todos_deleted": 10})
    make(State.CANCELLED, progress={"rows": 3})
    make(State.FAILED)
    new_runs(3, task=PING, finished_at=timezone.now() - 2 * DAY)
    new_run(result={"todos_deleted": 1})


def test_pruning_changes_no_metric(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "RUNS_PER_TRANSACTION", 2)
    some_history()
    before = values()
    assert prune_runs(keep_days=90)["runs_deleted"] == 8
    assert values() == before
    some_history()
    twice = values()
    assert twice["todos_swept",] == 2 * 34
    prune_runs(keep_days=90)
    assert values() == twice


def test_pruning_that_fails_half_way_changes_no_metric(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_history()
    before = values()

    def fail(_: TaskRunQuerySet) -> None:
        assert RunTotal.objects.exists()
        raise RuntimeError("killed")

    monkeypatch.setattr(TaskRunQuerySet, "delete", fail)
    with pytest.raises(RuntimeError, match="killed"):
        prune_runs(keep_days=90)
    assert values() == before
    assert not RunTotal.objects.exists()


@pytest.mark.postgresql
def test_two_prunings_at_once_count_each_run_once(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "RUNS_PER_TRANSACTION", 5)
    for number in range(60):
        make(took=number % 3, result={"todos_deleted": 1})
    before = values()

    def prune() -> None:
        prune_runs(keep_days=90)
        connection.close()

    threads = [Thread(target=prune) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before["todos_swept",] == 60
    assert values() == before


def test_what_was_pruned_under_other_buckets_counts_in_the_next_larger_one(db: None) -> None:
    RunTotal.objects.create(task=CLEANUP, state="succeeded", duration_le="0.07", amount=2)
    RunTotal.objects.create(task=CLEANUP, state="succeeded", duration_le="9999.0", amount=1)
    observed = values()["run_duration_seconds", CLEANUP, "succeeded"]
    assert isinstance(observed, Observed)
    buckets = dict(observed.buckets)
    assert (buckets["0.05"], buckets["0.1"], buckets["3600.0"], buckets["+Inf"]) == (0, 2, 2, 3)


# How things stand


def test_verdict_is_that_of_the_command_and_its_problems_are_counted_by_kind(db: None) -> None:
    add_missing_schedules()
    found = of_status()
    assert found["verdict",] == 0
    lines = list(problems(gather()))
    assert len(lines) == 2
    assert {labels[1]: number for labels, number in found.items() if labels[0] == "problems"} == {
        **dict.fromkeys(problems_by_kind(gather()), 0),
        "process": 2,
    }

    new_process(ProcessKind.WORKER, queues=["default", "operators"], tasks=list(TaskName))
    new_process(ProcessKind.SCHEDULER)
    found = of_status()
    assert found["verdict",] == 1
    assert {found["problems", kind] for kind in ("process", "run", "schedule", "failure")} == {0}

    new_run(State.FAILED)
    found = of_status()
    assert (found["verdict",], found["problems", "failure"], found["runs_unacknowledged",]) == (
        *(0, 1, 1),
    )


def test_live_processes_are_counted_by_kind_and_the_oldest_heartbeat_is_told(db: None) -> None:
    found = of_status()
    assert [found["processes", kind] for kind in ("worker", "scheduler", "command")] == [0, 0, 0]
    assert ("process_heartbeat_age_seconds", "worker") not in found

    new_process(ProcessKind.WORKER, silent_for=5)
    new_process(ProcessKind.WORKER, silent_for=40)
    new_process(ProcessKind.SCHEDULER, silent_for=300)  # Gone, and nobody has removed it.
    found = of_status()
    assert [found["processes", kind] for kind in ("worker", "scheduler")] == [2, 0]
    age = found["process_heartbeat_age_seconds", "worker"]
    assert age == pytest.approx(40, abs=3)
    assert found["process_heartbeat_age_seconds", "scheduler"] == pytest.approx(300, abs=3)


def test_age_of_a_schedules_last_success_counts_from_its_slot(db: None) -> None:
    add_missing_schedules()
    Schedule.objects.update(effective_since=timezone.now() - 10 * DAY)
    slot = timezone.now() - 3 * DAY
    new_run(scheduled_for=slot, finished_at=timezone.now())
    new_run(State.FAILED, scheduled_for=timezone.now() - DAY)
    new_run(finished_at=timezone.now())  # By hand: perhaps for one person alone.
    name = "schedule_last_success_age_seconds"
    assert of_status()[name, CLEANUP, ""] == pytest.approx(3 * 86_400, abs=5)


def test_age_of_a_schedule_that_was_resumed_begins_with_that(db: None) -> None:
    add_missing_schedules()
    new_run(scheduled_for=timezone.now() - 9 * DAY)
    schedule = Schedule.objects.get(task=CLEANUP)
    schedule.enabled = False
    schedule.save()
    assert of_status()["schedule_enabled", CLEANUP, ""] == 0
    schedule.enabled = True
    schedule.save()
    found = of_status()
    assert found["schedule_enabled", CLEANUP, ""] == 1
    assert found["schedule_last_success_age_seconds", CLEANUP, ""] == pytest.approx(0, abs=5)


def test_runs_that_wait_to_be_published_are_counted_and_those_that_wait_too_long(db: None) -> None:
    new_runs(2, State.PENDING)
    new_run(State.PENDING, due_at=timezone.now() - timedelta(minutes=5))
    new_run(State.RUNNING)
    found = of_status()
    assert found["unfinished_runs", CLEANUP, "pending"] == 3
    assert found["unfinished_runs", CLEANUP, "running"] == 1
    assert found["unfinished_runs", PING, "queued"] == 0
    assert (found["overdue_runs", CLEANUP], found["overdue_runs", PING]) == (1, 0)


def test_queues_are_told_by_what_is_in_them() -> None:
    status = QueueStatus(
        name="default", waiting=3, running=2, delayed=1, dead=4, oldest_age_seconds=None
    )
    found = values(queue_metrics([status]))
    assert [found["queue_messages", "default", s] for s in ("waiting", "running", "delayed")] == [
        *(3, 2, 1)
    ]
    assert found["queue_dead_letters", "default"] == 4
    assert found["queue_oldest_message_age_seconds", "default"] == 0


def test_a_scrape_takes_a_handful_of_queries_however_much_there_is(
    db: None, django_assert_num_queries: Callable[[int], Any]
) -> None:
    add_missing_schedules()
    for state in (State.SUCCEEDED, State.FAILED, State.PENDING, State.RUNNING):
        new_runs(30, state)
    new_process(ProcessKind.WORKER, silent_for=40)
    with django_assert_num_queries(1):
        list(run_metrics())
    with django_assert_num_queries(8):
        list(status_metrics(gather()))


def test_command_prunes_into_the_totals_too(db: None) -> None:
    make()
    before = values()
    call_command("prune_runs", "--older-than", "90", verbosity=0)
    assert values() == before
    assert RunTotal.objects.get(counted="").amount == 1


# The seam


@pytest.mark.parametrize("name", ["Swept", "todos_swept_total", "1st", "a-b", ""])
def test_name_that_is_none_of_a_metric_is_refused_by_a_check(name: str) -> None:
    class Extension(TaskExtension):
        exported = (ExportedCount(metric=name, help="What.", key="rows"),)

    assert "is no name of a metric" in fault_of(Extension())


def test_every_metric_says_what_it_is_and_names_its_unit(db: None) -> None:
    add_missing_schedules()
    metrics: list[AnyMetric] = [*run_metrics(), *status_metrics(gather())]
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.help.endswith("."), metric.name
        assert not metric.name.endswith("_total")
        assert isinstance(metric, HistogramMetric) <= metric.name.endswith("_seconds")
