"""When a completed todo leaves, as pages say it: what the cleanup really does, in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from accounts.services import UserService
from tasks.engine.models import Schedule
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.names import TaskName
from tasks.next_cleanup import next_cleanup
from tests.examples import examples
from tests.factories import new_todo, new_todos
from todos.leaving import Leaving, when
from todos.models import Todo

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at_two(after: datetime) -> datetime | None:
    """A cleanup daily at 02:00 UTC."""
    slot = after.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return slot if slot > after else slot + DAY


def in_the_afternoon(after: datetime) -> datetime | None:
    """A cleanup daily at 15:00 UTC."""
    return (at_two(after - timedelta(hours=13)) or after) + timedelta(hours=13)


def never(_: datetime) -> datetime | None:
    return None


def use(settings: Settings, times: str) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.{times}"


@pytest.fixture(autouse=True)
def _at_two(settings: Settings) -> None:
    use(settings, "at_two")


def words(user: User, **fields: object) -> str:
    return Leaving(user, now=NOW).words(new_todo(user, **fields))


offsets = st.sampled_from([-DAY, -timedelta(microseconds=1), timedelta(0), timedelta(hours=3), DAY])
moments = st.builds(
    lambda days, offset: NOW - days * DAY + offset, st.sampled_from([0, 1, 7, 30, 90]), offsets
)


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(100),
    deadline=None,
    # The fixtures are the database and a setting; each example has a todo of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keep_days=st.none() | st.sampled_from([0, 1, 7, 30]),
    completed_at=moments,
    restored_at=st.none() | moments,
)
def test_the_cleanup_that_is_named_takes_the_todo_and_the_one_before_does_not(
    keep_days: int | None, completed_at: datetime, restored_at: datetime | None
) -> None:
    user, _ = User.objects.update_or_create(
        username="alice", defaults={"keep_completed_days": keep_days}
    )
    todo = new_todo(user, completed_at=completed_at, restored_at=restored_at)
    cleanup = Leaving(user, now=NOW).of(todo)
    assert cleanup is not None
    mine = Todo.objects.filter(pk=todo.pk)
    for as_of in (cleanup, cleanup - DAY):
        everyone = mine.due_for_cleanup(as_of=as_of, keep_days=0).exists()
        person = mine.due_for_person(as_of=as_of, keep_days=keep_days or 0).exists()
        assert everyone == person
        # The one before may have been missed: then that todo leaves with the next.
        assert everyone == (as_of == cleanup) or (everyone and as_of < NOW)


def test_what_was_completed_today_leaves_tonight(alice: User) -> None:
    assert words(alice, completed_at=NOW) == "leaves tonight"


def test_keep_time_counts_the_days(alice: User) -> None:
    UserService.set_preferences(user=alice, keep_completed_days=3)
    assert words(alice, completed_at=NOW) == "leaves in 3 days"
    assert words(alice, completed_at=NOW - DAY) == "leaves in 2 days"
    assert words(alice, completed_at=NOW - 2 * DAY) == "leaves in 1 day"
    assert words(alice, completed_at=NOW - 3 * DAY) == "leaves tonight"


def test_what_was_restored_stays_for_a_week(alice: User) -> None:
    assert words(alice, completed_at=NOW - 20 * DAY, restored_at=NOW) == "leaves in 7 days"


def test_it_stays_while_cleaning_is_switched_off(alice: User) -> None:
    UserService.set_preferences(user=alice, auto_cleanup=False)
    assert words(alice, completed_at=NOW) == "stays: you switched cleaning off"


def test_it_stays_while_the_cleanup_is_paused(alice: User, settings: Settings) -> None:
    use(settings, "never")
    assert words(alice, completed_at=NOW) == "stays: the nightly cleanup is paused"


def test_a_cleanup_in_the_afternoon_is_today_or_in_a_day(alice: User, settings: Settings) -> None:
    use(settings, "in_the_afternoon")
    assert words(alice, completed_at=NOW) == "leaves today at 15:00"
    assert words(alice, completed_at=NOW, restored_at=NOW) == "leaves in 7 days"


@pytest.mark.parametrize(
    ("zone", "now", "said"),
    [
        # The cleanup is at 02:00 UTC: in Tokyo that is 11:00, in Los Angeles 18:00.
        ("UTC", "2026-03-01T23:30+00:00", "tonight"),
        ("UTC", "2026-03-02T01:30+00:00", "tonight"),
        ("UTC", "2026-03-02T02:30+00:00", "tonight"),
        ("UTC", "2026-03-02T06:30+00:00", "tonight"),
        ("Asia/Tokyo", "2026-03-02T01:30+00:00", "today at 11:00"),
        ("Asia/Tokyo", "2026-03-01T12:00+00:00", "tomorrow at 11:00"),
        ("Asia/Tokyo", "2026-03-01T16:00+00:00", "today at 11:00"),
        ("America/Los_Angeles", "2026-03-01T20:00+00:00", "tonight"),
        ("America/Los_Angeles", "2026-03-02T03:00+00:00", "in 1 day"),
    ],
)
def test_when_is_said_by_the_day_and_night_of_the_reader(zone: str, now: str, said: str) -> None:
    moment = datetime.fromisoformat(now)
    cleanup = at_two(moment)
    assert cleanup is not None
    with timezone.override(ZoneInfo(zone)):
        assert when(cleanup, now=moment) == said


def test_the_night_after_this_one_is_in_a_day() -> None:
    now = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert when(now + timedelta(minutes=30), now=now) == "tonight"
    assert when(now + timedelta(days=1, minutes=30), now=now) == "in 1 day"


@pytest.mark.django_db
def test_the_schedule_says_when_the_next_cleanup_runs() -> None:
    add_missing_schedules()
    assert next_cleanup(NOW) == datetime(2026, 3, 2, 2, tzinfo=UTC)


@pytest.mark.django_db
def test_before_a_scheduler_has_started_the_first_schedule_counts() -> None:
    assert next_cleanup(NOW) == datetime(2026, 3, 2, 2, tzinfo=UTC)


@pytest.mark.django_db
def test_while_its_schedule_is_paused_there_is_no_next_cleanup() -> None:
    add_missing_schedules()
    Schedule.objects.filter(task=TaskName.TODO_CLEANUP).update(enabled=False)
    assert next_cleanup(NOW) is None


def test_asking_for_many_todos_asks_the_database_for_nothing(
    alice: User, django_assert_num_queries: object
) -> None:
    leaving = Leaving(alice, now=NOW)
    todos = new_todos(alice, each=50, completed_at=NOW)
    with django_assert_num_queries(0):  # type: ignore[operator]  # A fixture without a type.
        assert {leaving.words(todo) for todo in todos} == {"leaves tonight"}
