"""Whatever a page of the trash says of how long a todo stays, it stays for that long."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from tests.examples import examples
from tests.factories import trash
from todos.models import TrashedTodo
from todos.pages.trash_words import days_left

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Honolulu", "Pacific/Auckland"]

#: The clocks of most of these zones change in autumn 2026.
moments = st.integers(0, 60 * 24 * 60).map(
    lambda m: datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=m)
)


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    trashed_at=moments,
    days=st.integers(20, 40),
    hours=st.floats(0, 24 * 41),
    zone=st.sampled_from(ZONES),
)
def test_no_purge_comes_before_the_days_are_over_that_a_page_says(
    alice: User, trashed_at: datetime, days: int, hours: float, zone: str, settings: Settings
) -> None:
    settings.TODO_TRASH_DAYS = 30
    alice.trashed_todos.all().delete()
    trash(alice, "Milk", trashed_at=trashed_at, trash_days=days)
    todo = TrashedTodo.objects.get()
    now = trashed_at + timedelta(hours=hours)

    with timezone.override(ZoneInfo(zone)):
        said = re.search(r"in (\d+) days?$", days_left(todo, now=now))
        promised = int(said[1]) if said else 0
        named = timezone.localdate(now) + timedelta(days=promised)
        begins = datetime.combine(named, time(), timezone.get_current_timezone())

    if said:
        for purge in (now + timedelta(days=promised), begins.astimezone(UTC)):
            assert not TrashedTodo.objects.past_promise(as_of=purge, trash_days=30).exists()
