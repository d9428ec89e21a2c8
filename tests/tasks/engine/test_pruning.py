"""`manage.py prune_runs` and the nightly housekeeping: old runs go, in batches."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks.actors import runs_prune
from tasks.engine.models import UNFINISHED, State, TaskRun
from tasks.engine.operations import pruning
from tasks.engine.operations.pruning import prunable
from tasks.names import TaskName
from tests.factories import new_run_each

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def prune_runs(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("prune_runs", *arguments, stdout=out)
    return out.getvalue()


def make(
    *ages: timedelta, task: str = TaskName.TODO_CLEANUP, state: State = State.SUCCEEDED
) -> None:
    """Make a run for each age: that long ago it ended, or, if unfinished, was created."""
    now = timezone.now()
    moments = [now - age for age in ages]
    unfinished = state in UNFINISHED
    new_run_each(
        (
            {
                "task": task,
                "scheduled_for": moment,
                "created_at": moment,
                "finished_at": None if unfinished else moment,
            }
            for moment in moments
        ),
        state,
    )


def left() -> list[tuple[str, int]]:
    """Return the task and the age in days of the runs that are left, the oldest first."""
    now = timezone.now()
    runs = TaskRun.objects.order_by("created_at").values_list("task", "created_at")
    return [(task, (now - created_at).days) for task, created_at in runs]


def test_runs_go_after_ninety_days_and_pings_after_one(db: None) -> None:
    make(91 * DAY, 90 * DAY + MINUTE, 90 * DAY - MINUTE, DAY)
    make(91 * DAY, DAY + MINUTE, DAY - MINUTE, task=TaskName.PING)
    assert prune_runs() == "Pruned 4 runs.\n"
    assert left() == [(TaskName.TODO_CLEANUP, 89), (TaskName.TODO_CLEANUP, 1), (TaskName.PING, 0)]


def test_nothing_to_do_is_no_failure(db: None) -> None:
    assert prune_runs() == "Pruned 0 runs.\n"


@pytest.mark.parametrize("state", [State.FAILED, State.SKIPPED])
def test_runs_that_failed_or_were_skipped_go_as_well(db: None, state: State) -> None:
    make(91 * DAY, 89 * DAY, state=state)
    assert prune_runs() == "Pruned 1 run.\n"
    assert left() == [(TaskName.TODO_CLEANUP, 89)]


@pytest.mark.parametrize("state", UNFINISHED)
@pytest.mark.parametrize("task", [TaskName.PING, TaskName.TODO_CLEANUP])
def test_unfinished_run_stays_however_old(db: None, state: State, task: TaskName) -> None:
    make(400 * DAY, task=task, state=state)
    assert prune_runs("--older-than", "1") == "Pruned 0 runs.\n"
    assert left() == [(task, 400)]


def test_run_of_a_task_that_is_no_more_is_kept_as_long_as_others(db: None) -> None:
    make(91 * DAY, 2 * DAY, task="no.more")
    prune_runs()
    assert left() == [("no.more", 2)]


def test_older_than_says_how_long_other_runs_are_kept(db: None) -> None:
    make(6 * DAY, 4 * DAY)
    make(2 * DAY, task=TaskName.PING)
    assert prune_runs("--older-than", "5") == "Pruned 2 runs.\n"
    assert left() == [(TaskName.TODO_CLEANUP, 4)]


def test_dry_run_says_what_would_go_and_touches_nothing(db: None) -> None:
    make(91 * DAY, 89 * DAY)
    make(91 * DAY, 2 * DAY, task=TaskName.PING)
    assert prune_runs("--dry-run") == "Would prune 3 runs.\n"
    assert TaskRun.objects.count() == 4
    assert prune_runs("--dry-run", "--older-than", "30") == "Would prune 4 runs.\n"
    assert prune_runs("--older-than", "30") == "Pruned 4 runs.\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--older-than", "-1"], "from 1 to 3,650 days, not -1"),
        (["--older-than", "0"], "from 1 to 3,650 days, not 0"),
        (["--older-than", "99999999999"], "from 1 to 3,650 days"),
        (["--older-than", "-1", "--dry-run"], "from 1 to 3,650 days"),
        (["--older-than", "soon"], "invalid int value"),
    ],
)
def test_wrong_option_is_one_clear_line_and_touches_nothing(
    db: None, arguments: list[str], complaint: str
) -> None:
    make(400 * DAY)
    with pytest.raises(CommandError, match=complaint) as refused:
        prune_runs(*arguments)
    assert "--older-than" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert TaskRun.objects.count() == 1


def test_runs_go_in_batches_of_one_transaction_each(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "RUNS_PER_TRANSACTION", 3)
    make(*(91 * DAY + MINUTE * number for number in range(8)))
    with CaptureQueriesContext(connection) as queries:
        assert prune_runs() == "Pruned 8 runs.\n"
    of_runs = 'DELETE FROM "tasks_taskrun"'
    deletes = [query["sql"] for query in queries if query["sql"].startswith(of_runs)]
    assert len(deletes) == 3


def test_runs_that_ended_at_the_same_moment_all_go(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "RUNS_PER_TRANSACTION", 3)
    make(*(91 * DAY + MINUTE * number for number in range(8)))
    TaskRun.objects.update(finished_at=timezone.now() - 91 * DAY)
    assert prune_runs() == "Pruned 8 runs.\n"


@pytest.mark.parametrize(
    ("which", "index"),
    [(0, "tasks_run_finished_at"), (1, r"tasks_run_(task|schedule)|autoindex_tasks_taskrun")],
)
def test_what_is_to_go_is_found_by_an_index(db: None, which: int, index: str) -> None:
    """Among many runs that stay: of a table of a page or two, PostgreSQL rightly reads all."""
    make(*(2 * DAY + MINUTE * number for number in range(20_000)))
    make(*(MINUTE * number for number in range(1_500)), task=TaskName.PING)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE tasks_taskrun")
    plan = prunable(90)[which].order_by("finished_at")[: pruning.RUNS_PER_TRANSACTION].explain()
    assert re.search(index, plan), plan
    assert not re.search(r"Seq Scan|SCAN", plan), plan


def test_actor_prunes(db: None) -> None:
    make(91 * DAY, 89 * DAY)
    assert runs_prune() == {"runs_deleted": 1}
    assert left() == [(TaskName.TODO_CLEANUP, 89)]


def test_command_that_is_interrupted_says_how_to_continue(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.engine.management.commands.prune_runs.prune_runs", interrupted)
    with pytest.raises(CommandError, match=r"^Stopped\. The same command continues") as told:
        prune_runs()
    assert told.value.returncode == 130
