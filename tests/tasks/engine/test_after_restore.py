"""`manage.py after_restore`: a restored database neither repeats the night nor reuses ids."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from accounts.models import User
from tasks.engine.models import Schedule, State, TaskRun
from tasks.engine.operations.restored import IDS_LEFT_OUT, RESTORED
from tasks.engine.scheduler.claims import claim
from tasks.names import TaskName
from tests.factories import new_process, new_run, new_todo

DAY = timedelta(days=1)


def after_restore(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("after_restore", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def nightly(db: None) -> Schedule:
    """The cleanup, of which two nights have passed since the backup."""
    hour = (timezone.now() - timedelta(hours=3)).hour
    schedule = Schedule.objects.create(task=TaskName.TODO_CLEANUP, crontab=f"0 {hour} * * *")
    backup = timezone.now() - 2 * DAY
    Schedule.objects.update(effective_since=backup - DAY, last_slot=backup)
    return schedule


def test_slots_since_the_backup_are_skipped_and_recorded(nightly: Schedule) -> None:
    assert "Skipped 2 slots of todo.cleanup, up to" in after_restore()
    runs = TaskRun.objects.filter(task=TaskName.TODO_CLEANUP)
    assert list(runs.values_list("state", "reason")) == [(State.SKIPPED, RESTORED)] * 2
    assert claim(nightly.pk) is None


def test_slots_are_left_to_the_scheduler_if_wanted(nightly: Schedule) -> None:
    assert "Skipped" not in after_restore("--catch-up")
    assert claim(nightly.pk)


def test_paused_schedule_and_one_without_its_actor_are_left_alone(nightly: Schedule) -> None:
    Schedule.objects.update(enabled=False)
    Schedule.objects.create(task="gone.task", every=60)
    Schedule.objects.filter(task="gone.task").update(effective_since=timezone.now() - DAY)
    assert "Skipped" not in after_restore()
    assert not TaskRun.objects.exists()


def test_ids_that_rows_had_after_the_backup_are_not_used_again(alice: User) -> None:
    todo, run = new_todo(alice), new_run()
    assert "New rows get later ids" in after_restore()
    assert new_todo(alice).pk > todo.pk + IDS_LEFT_OUT
    assert new_run().pk > run.pk + IDS_LEFT_OUT
    assert User.objects.create_user("dave").pk > alice.pk + IDS_LEFT_OUT


def test_unfinished_runs_are_named(db: None) -> None:
    run = new_run(State.RUNNING)
    assert f"Run {run.pk} of todo.cleanup is unfinished, and will continue." in after_restore()


def test_database_that_processes_work_on_is_refused(db: None) -> None:
    new_process()
    with pytest.raises(CommandError, match="1 process had a heartbeat"):
        after_restore()
    new_todo(User.objects.create_user("alice"))
    assert TaskRun.objects.count() == 0
