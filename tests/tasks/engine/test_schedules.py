"""Which schedules there are to begin with, and what happens when staff change them."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError
from dramatiq import Actor
from dramatiq.broker import get_broker
from pytest_django import Settings

from tasks import actors
from tasks.engine import actors as engine_actors
from tasks.engine.conf import check_liveness
from tasks.engine.database import database_now
from tasks.engine.models import Schedule
from tasks.engine.scheduler.defaults import (
    DefaultSchedule,
    add_missing_schedules,
    check_default_schedules,
    default_schedules,
)
from tasks.engine.scheduler.process import Scheduler
from tasks.names import TaskName

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
    assert dict(Schedule.objects.values_list("task", "crontab")).items() >= {
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
        ({"crontab": "", "every": None}, "one of the three"),
        ({"every": 60}, "one of the three"),
        ({"crontab": "", "every": 0}, "interval"),
        ({"timezone": "Europe/Atlantis"}, "not a time zone"),
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
    for default in default_schedules():
        assert get_broker().get_actor(default.task).actor_name == default.task


@pytest.mark.parametrize("name", TaskName)
def test_actor_is_called_as_its_task_and_says_its_limits(name: TaskName) -> None:
    actor = getattr(actors, name.replace(".", "_"))
    assert actor.actor_name == name
    assert actor.queue_name in {"default", "operators"}
    assert actor.options["max_retries"] in range(25)
    assert 0 < actor.options["time_limit"] <= 60 * actors.MINUTE_MS


def test_catch_up_window_of_the_ping_is_its_interval() -> None:
    (ping,) = [default for default in default_schedules() if default.task == TaskName.PING]
    assert ping.catch_up == timedelta(seconds=ping.every or 0)


@pytest.mark.parametrize(
    ("actor", "name"), [(engine_actors.ping, "PING"), (engine_actors.runs_prune, "RUNS_PRUNE")]
)
def test_engine_and_tidy_agree_on_the_names_of_the_engines_tasks(
    actor: Actor[[], object], name: str
) -> None:
    assert actor.actor_name == TaskName[name]
    assert getattr(actors, name.lower()) is actor


ENTRY = DefaultSchedule(task=TaskName.TODO_RESTORE, every=60)


@pytest.mark.parametrize(
    ("entries", "error", "words"),
    [
        (ENTRY, "tasks.E001", "must name a list or a tuple, not a DefaultSchedule"),
        (
            (ENTRY, (ENTRY,)),
            "tasks.E002",
            r"entry 2: a tuple, not a DefaultSchedule: \(DefaultSchedule\(task=.*",
        ),
        ((ENTRY, "odd"), "tasks.E002", "entry 2: a str, not a DefaultSchedule: 'odd'"),
        (
            [DefaultSchedule(task="no.such.task", every=1)],
            "tasks.E003",
            "entry 1: no actor .* 'no.such.task'",
        ),
        ([ENTRY, ENTRY], "tasks.E004", "entry 2: 'todo.restore' has a schedule already"),
    ],
)
def test_wrong_default_is_named_by_a_check_and_stops_the_scheduler(
    monkeypatch: pytest.MonkeyPatch, entries: object, error: str, words: str
) -> None:
    monkeypatch.setattr("tasks.schedules.SCHEDULES", entries)
    (found,) = check_default_schedules()
    assert found.id == error
    assert re.search(words, found.msg)
    assert "\n" not in found.msg
    with pytest.raises(ImproperlyConfigured, match=words):
        Scheduler()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tasks.nothing.SCHEDULES", "No module named 'tasks.nothing'"),
        ("tasks.schedules.NO", "has no attribute 'NO'"),
        ("SCHEDULES", "Empty module name"),
        (["tasks.schedules"], r"must be the dotted path of a list, not ['tasks.schedules']"),
    ],
)
def test_setting_that_leads_nowhere_is_named_by_a_check(
    settings: Settings, path: object, words: str
) -> None:
    settings.TASKS_SCHEDULES = path
    (found,) = check_default_schedules()
    assert (found.id, found.msg.startswith("TASKS_SCHEDULES cannot")) == ("tasks.E001", True)
    assert words in found.msg


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('DefaultSchedule(task="greet", every="5")', "schedule of greet: every='5' is not of type"),
        ('DefaultSchedule(task="greet", every=0)', "schedule of greet: The interval must be"),
        ('DefaultSchedule(task="greet", crontab="8am")', "schedule of greet: A crontab has five"),
        ('DefaultSchedule(task="greet", every=5, zone="UTC")', "unexpected keyword argument"),
        ('DefaultSchedule(task="greet", every=5, catch_up=60)', "catch_up=60 is not of type"),
        (
            'DefaultSchedule(task="greet", every=5, catch_up=timedelta(days=-1))',
            "schedule of greet: catch_up_seconds: Ensure this value is greater than or equal",
        ),
        (
            'DefaultSchedule(task="greet", crontab=",".join(["1"] * 150) + " * * * *")',
            "schedule of greet: crontab: Ensure this value has at most 200 characters",
        ),
        ("DefaultSchedule(task=TaskName.GREET, every=5)", "no attribute 'GREET'"),
    ],
)
def test_entry_that_cannot_be_built_is_named_with_its_line(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    entry: str,
    words: str,
) -> None:
    module = tmp_path / "wrong_schedules.py"
    module.write_text(
        "from datetime import timedelta\n"
        "from tasks.engine.scheduler.defaults import DefaultSchedule\n"
        "from tasks.names import TaskName\n"
        f"SCHEDULES = [\n    {entry},\n]\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module.stem, raising=False)
    settings.TASKS_SCHEDULES = f"{module.stem}.SCHEDULES"
    (found,) = check_default_schedules()
    assert found.id == "tasks.E001"
    assert words in found.msg
    assert found.msg.endswith(" (line 5)")


@pytest.mark.parametrize("given", ["abc", None, 0, -5, 4, 3601, 7.5])
def test_liveness_that_makes_no_sense_is_named_by_a_check(
    settings: Settings, given: object
) -> None:
    settings.TASKS_LIVENESS_SECONDS = given
    (found,) = check_liveness()
    assert found.id == "tasks.E006"
    assert found.msg.endswith(f"must be a whole number from 5 to 3600, not {given!r}.")


def test_liveness_that_is_not_set_is_the_default(settings: Settings) -> None:
    del settings.TASKS_LIVENESS_SECONDS
    assert check_liveness() == []


def test_project_without_schedules_of_its_own_has_those_of_the_engine(settings: Settings) -> None:
    del settings.TASKS_SCHEDULES
    assert [default.task for default in default_schedules()] == ["ping", "runs.prune"]


def test_schedule_of_the_project_replaces_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    weekly = DefaultSchedule(task=TaskName.RUNS_PRUNE, crontab="0 4 * * sun")
    monkeypatch.setattr("tasks.schedules.SCHEDULES", [weekly])
    assert [default for default in default_schedules() if default.task != "ping"] == [weekly]
