"""What runs when."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dramatiq.broker import get_broker

from tasks import actors
from tasks.names import TaskName
from tasks.schedules import SCHEDULES, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def test_cleanup_comes_daily_at_two_in_the_sites_zone() -> None:
    (cleanup,) = [entry for entry in SCHEDULES if entry.task == TaskName.TODO_CLEANUP]
    trigger = cleanup.trigger("Europe/Berlin")

    first = trigger.get_next_fire_time(None, datetime(2026, 7, 1, 12, tzinfo=BERLIN))
    second = trigger.get_next_fire_time(first, first + timedelta(seconds=1))

    assert first == datetime(2026, 7, 2, 2, tzinfo=BERLIN)
    assert second == datetime(2026, 7, 3, 2, tzinfo=BERLIN)


def test_ping_comes_at_every_full_minute_whenever_the_scheduler_started() -> None:
    (ping,) = [entry for entry in SCHEDULES if entry.task == TaskName.PING]

    slot = ping.trigger("UTC").get_next_fire_time(None, datetime(2026, 7, 1, 12, 0, 31, tzinfo=UTC))

    assert slot == datetime(2026, 7, 1, 12, 1, tzinfo=UTC)


def test_every_schedule_names_a_task_that_an_actor_does() -> None:
    for entry in SCHEDULES:
        assert get_broker().get_actor(entry.task).actor_name == entry.task


@pytest.mark.parametrize("name", TaskName)
def test_actor_is_called_as_its_task_and_says_its_limits(name: TaskName) -> None:
    actor = getattr(actors, name.replace(".", "_"))
    assert actor.actor_name == name
    assert actor.queue_name == "default"
    assert actor.options["max_retries"] in range(10)
    assert 0 < actor.options["time_limit"] <= 60 * actors.MINUTE
    assert actor.options["store_results"] is True


@pytest.mark.parametrize(
    ("times", "complaint"),
    [
        ({}, "either crontab or every"),
        ({"crontab": "0 2 * * *", "every": 60}, "either crontab or every"),
        ({"every": 0}, "1 second or more"),
        ({"crontab": "0 2 * *"}, "5 fields"),
        ({"crontab": "0 2 * * 0"}, "mon, tue"),
        ({"crontab": "0 2 * * mon-5"}, "mon, tue"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused_and_named(
    times: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        Schedule(task=TaskName.PING, **times)  # type: ignore[arg-type]
    assert "ping" in str(refused.value)


def test_days_of_the_week_by_name_mean_what_they_say() -> None:
    sundays = Schedule(task=TaskName.PING, crontab="30 4 * * sun").trigger("UTC")
    slot = sundays.get_next_fire_time(None, datetime(2026, 7, 1, tzinfo=UTC))
    assert slot == datetime(2026, 7, 5, 4, 30, tzinfo=UTC)
    assert slot.strftime("%A") == "Sunday"
