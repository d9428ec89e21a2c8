"""Until when all that cleanups have taken is known."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks.engine.models import UNFINISHED, State
from tasks.names import TaskName
from tasks.settled import settled_until
from tests.factories import new_run

MINUTE = timedelta(minutes=1)


def test_without_a_cleanup_under_way_it_is_now(db: None) -> None:
    new_run(State.SUCCEEDED, created_at=timezone.now() - MINUTE)
    new_run(State.RUNNING, task=TaskName.TODO_PURGE, created_at=timezone.now() - MINUTE)
    assert timezone.now() - settled_until() < MINUTE / 2


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_what_a_cleanup_may_still_take_is_left_for_later(db: None, state: State) -> None:
    runs = [new_run(state, created_at=timezone.now() - ago * MINUTE) for ago in (2, 5, 3)]
    assert settled_until() == runs[1].created_at
