"""Who is eligible: the query against a few lines of plain Python that state the rule."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from tests.examples import examples
from todos.models import Todo
from todos.services import TodoService

AS_OF = datetime(2026, 3, 29, 2, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Owner:
    is_active: bool
    auto_cleanup: bool
    keep_completed_days: int | None
    completed: tuple[datetime | None, ...]


def is_due(owner: Owner, completed_at: datetime | None, *, as_of: datetime, keep_days: int) -> bool:
    """The rule, as the README states it."""
    days = keep_days if owner.keep_completed_days is None else owner.keep_completed_days
    return (
        completed_at is not None
        and owner.is_active
        and owner.auto_cleanup
        and completed_at < as_of - days * DAY
    )


as_of_times = st.datetimes(
    min_value=datetime(2015, 1, 1),  # noqa: DTZ001  (the zone is given beside it)
    max_value=datetime(2026, 1, 1),  # noqa: DTZ001  (one yet to come is taken for now)
    timezones=st.just(UTC),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[datetime, int, list[Owner]]:
    """A cutoff, the site's keep time, and people whose completions crowd around the edges."""
    as_of = draw(as_of_times)
    days = st.sampled_from([0, 1, 2, 30, 365, 3650])
    keep_days = draw(days)
    moments = st.one_of(
        st.none(),
        st.builds(
            lambda days, offset: as_of - days * DAY + offset,
            days,
            st.sampled_from([-DAY, -MICROSECOND, timedelta(0), MICROSECOND, DAY / 2]),
        ),
        st.timedeltas(min_value=-400 * DAY, max_value=5 * DAY).map(lambda delta: as_of + delta),
    )
    owners = st.builds(
        Owner,
        is_active=st.booleans() | st.just(value=True),
        auto_cleanup=st.booleans() | st.just(value=True),
        keep_completed_days=st.none() | days,
        completed=st.lists(moments, max_size=6).map(tuple),
    )
    return as_of, keep_days, draw(st.lists(owners, min_size=1, max_size=4))


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(150),
    deadline=None,
    # The fixture is the database; each example clears what it needs.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(situation=situations(), batch_size=st.sampled_from([1, 2, 1000]))
def test_sweep_takes_exactly_the_todos_that_the_rule_names(
    situation: tuple[datetime, int, list[Owner]], batch_size: int
) -> None:
    as_of, keep_days, owners = situation
    Todo.objects.all().delete()
    User.objects.all().delete()
    due: set[int] = set()
    stay: set[int] = set()
    for number, owner in enumerate(owners):
        user = User.objects.create(
            username=f"user{number}",
            is_active=owner.is_active,
            auto_cleanup=owner.auto_cleanup,
            keep_completed_days=owner.keep_completed_days,
        )
        for completed_at in owner.completed:
            todo = Todo.objects.create(user=user, title="x", completed_at=completed_at)
            gone = is_due(owner, completed_at, as_of=as_of, keep_days=keep_days)
            (due if gone else stay).add(todo.pk)

    preview = TodoService.preview_sweep(as_of=as_of, keep_days=keep_days)
    result = TodoService.sweep(as_of=as_of, keep_days=keep_days, batch_size=batch_size)

    assert set(Todo.objects.values_list("pk", flat=True)) == stay
    assert result["todos_deleted"] == len(due)
    assert result["users_processed"] == sum(o.is_active and o.auto_cleanup for o in owners)
    assert result["errors"] == []
    assert preview == result


def test_todo_completed_at_the_very_cutoff_stays_and_a_microsecond_earlier_goes(
    alice: User,
) -> None:
    alice.keep_completed_days = 7
    alice.save()
    at_cutoff = Todo.objects.create(user=alice, title="At it", completed_at=AS_OF - 7 * DAY)
    Todo.objects.create(user=alice, title="Before", completed_at=AS_OF - 7 * DAY - MICROSECOND)

    assert TodoService.sweep(as_of=AS_OF)["todos_deleted"] == 1
    assert list(Todo.objects.all()) == [at_cutoff]


def test_keep_days_of_the_command_do_not_shorten_a_persons_own_keep_time(
    alice: User, bob: User
) -> None:
    alice.keep_completed_days = 30
    alice.save()
    for user in (alice, bob):
        Todo.objects.create(user=user, title="Done", completed_at=AS_OF - 10 * DAY)

    TodoService.sweep(as_of=AS_OF, keep_days=0)

    assert [todo.user for todo in Todo.objects.select_related("user")] == [alice]


def test_site_keep_time_comes_from_the_settings(alice: User, settings: Settings) -> None:
    settings.TODO_KEEP_COMPLETED_DAYS = 3
    kept = Todo.objects.create(user=alice, title="Yesterday", completed_at=AS_OF - DAY)
    Todo.objects.create(user=alice, title="Last week", completed_at=AS_OF - 7 * DAY)

    assert TodoService.sweep(as_of=AS_OF)["todos_deleted"] == 1
    assert list(Todo.objects.all()) == [kept]
