"""What several tests of the engine need."""

import pytest

from tasks.engine.scheduler import claims
from tests.tasks.engine.clock import TWO, Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for schedulers that claim slots: it is 02:00."""
    clock = Clock(TWO)
    monkeypatch.setattr(claims, "database_now", clock)
    return clock
