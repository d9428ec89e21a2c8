"""Which schedules there are to begin with, and what happens when staff change them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from dramatiq.broker import get_broker

from tasks import actors
from tasks.engine.database import database_now
from tasks.engine.models import Schedule
from tasks.names import TaskName
from tasks.schedules import SCHEDULES, DefaultSchedule, add_missing_schedules

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def cleanup(db: None) -> Schedule:
    """The cleanup's schedule, as it was set long ago."""
    add_missing_schedules()
    Schedule.objects.update(effective_since=LONG_AGO)
    return Schedule.objects.get(task=TaskName.TODO_CLEANUP)


def test_ping_comes_every_minute_and_the_cleanup_daily_at_two(db: None) -> None:
    add_missing_schedules()
    described = {
        schedule.task: schedule.recurrence.describe() for schedule in Schedule.objects.all()
    }
    assert described[TaskName.PING] == "Every 60 seconds"
    assert described[TaskName.TODO_CLEANUP] == "At 02:00 every day (UTC)"


def test_what_staff_have_changed_stays_when_a_scheduler_starts(cleanup: Schedule) -> None:
    cleanup.crontab = "0 5 * * *"
    cleanup.save()
    Schedule.objects.filter(task=TaskName.PING).delete()
    add_missing_schedules()
    assert set(Schedule.objects.values_list("task", "crontab")) == {
        (TaskName.PING, ""),
        (TaskName.TODO_CLEANUP, "0 5 * * *"),
        (TaskName.TODO_PURGE, "0 3 * * *"),
        (TaskName.RUNS_PRUNE, "30 3 * * *"),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"crontab": "0 3 * * *"},
        {"crontab": "", "every": 60},
        {"timezone": "Europe/Berlin"},
        {"enabled": False},
    ],
)
def test_new_times_begin_the_schedule_anew(cleanup: Schedule, change: dict[str, object]) -> None:
    before = database_now()
    for name, value in change.items():
        setattr(cleanup, name, value)
    cleanup.save()
    cleanup.refresh_from_db()
    assert before <= cleanup.effective_since <= database_now()


def test_switching_on_begins_the_schedule_anew(cleanup: Schedule) -> None:
    Schedule.objects.update(enabled=False)
    cleanup.refresh_from_db()
    before = database_now()
    cleanup.enabled = True
    cleanup.save()
    assert cleanup.effective_since >= before


def test_change_of_the_catch_up_window_alone_does_not_begin_it_anew(cleanup: Schedule) -> None:
    cleanup.catch_up_seconds = 60
    cleanup.save()
    cleanup.refresh_from_db()
    assert (cleanup.catch_up_seconds, cleanup.effective_since) == (60, LONG_AGO)


def test_form_that_was_opened_earlier_does_not_turn_back_what_was_dealt_with(
    cleanup: Schedule,
) -> None:
    slot = database_now()
    Schedule.objects.filter(pk=cleanup.pk).update(last_slot=slot)
    cleanup.catch_up_seconds = 1
    cleanup.save()
    cleanup.refresh_from_db()
    assert cleanup.last_slot == slot


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"crontab": "0 2 * *"}, "five fields"),
        ({"crontab": "0 25 * * *"}, "hour"),
        ({"crontab": "", "every": None}, "either a crontab or an interval"),
        ({"every": 60}, "either a crontab or an interval"),
        ({"crontab": "", "every": 0}, "interval"),
        ({"timezone": "Europe/Atlantis"}, "no time zone"),
    ],
)
def test_times_that_make_no_sense_are_refused_when_saved_in_a_form(
    cleanup: Schedule, values: dict[str, object], complaint: str
) -> None:
    for name, value in values.items():
        setattr(cleanup, name, value)
    with pytest.raises(ValidationError, match=complaint):
        cleanup.full_clean()


def test_database_refuses_both_a_crontab_and_an_interval(cleanup: Schedule) -> None:
    with pytest.raises(IntegrityError):
        Schedule.objects.filter(pk=cleanup.pk).update(every=60)


def test_default_that_makes_no_sense_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"schedule of ping: .*interval"):
        DefaultSchedule(task=TaskName.PING, every=0)


def test_every_schedule_names_a_task_that_an_actor_does() -> None:
    for default in SCHEDULES:
        assert get_broker().get_actor(default.task).actor_name == default.task


@pytest.mark.parametrize("name", TaskName)
def test_actor_is_called_as_its_task_and_says_its_limits(name: TaskName) -> None:
    actor = getattr(actors, name.replace(".", "_"))
    assert actor.actor_name == name
    assert actor.queue_name == "default"
    assert actor.options["max_retries"] in range(10)
    assert 0 < actor.options["time_limit"] <= 60 * actors.MINUTE
    assert actor.options["store_results"] is True


def test_catch_up_window_of_the_ping_is_its_interval() -> None:
    (ping,) = [default for default in SCHEDULES if default.task == TaskName.PING]
    assert ping.catch_up == timedelta(seconds=ping.every or 0)
