"""No process counts as gone for time in which none could have been heard."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine import liveness as module
from tasks.engine.heartbeat import BEATS_PER_LIVENESS
from tasks.engine.liveness import BREAK_FRACTION, Contact

LIVENESS = 60.0
START = datetime(2026, 11, 24, tzinfo=UTC)


class Clocks:
    """The database's clock and this machine's monotonic one, which tests move."""

    def __init__(self) -> None:
        self.database = START
        self.machine = 1_000.0

    def pass_(self, seconds: float, *, machine: float | None = None) -> None:
        """Let so many seconds pass by the database's clock, and as many or others here."""
        self.database += timedelta(seconds=seconds)
        self.machine += seconds if machine is None else machine


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(module, "monotonic", lambda: clocks.machine)
    return clocks


def keep_in_touch(contact: Contact, clocks: Clocks, seconds: float) -> None:
    """Note an answer every ten seconds."""
    for _ in range(round(seconds / 10)):
        clocks.pass_(10)
        contact.note(clocks.database)


def test_who_has_just_started_knows_nothing_of_the_others(clocks: Clocks) -> None:
    contact = Contact()
    assert contact.gone_before() is None
    contact.note(clocks.database)
    assert contact.gone_before() is None
    keep_in_touch(contact, clocks, 50)
    assert contact.gone_before() is None


def test_after_a_whole_liveness_whoever_was_silent_all_the_while_is_gone(clocks: Clocks) -> None:
    contact = Contact()
    contact.note(clocks.database)
    keep_in_touch(contact, clocks, 60)
    assert contact.gone_before() == START
    keep_in_touch(contact, clocks, 60)
    assert contact.gone_before() == START + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("database", "machine"),
    [
        pytest.param(76, 76, id="the database was away"),
        pytest.param(8 * 3600, 0, id="the machine was suspended, or its virtual machine paused"),
        pytest.param(3600, 10, id="the database's clock was set forward"),
        pytest.param(-3600, 10, id="the database's clock was set back"),
        pytest.param(10, 76, id="this process was frozen, and the clock set back as much"),
    ],
)
def test_after_a_break_it_begins_anew(clocks: Clocks, database: float, machine: float) -> None:
    contact = Contact()
    contact.note(clocks.database)
    keep_in_touch(contact, clocks, 120)
    clocks.pass_(database, machine=machine)
    contact.note(clocks.database)
    since = clocks.database
    assert contact.gone_before() is None
    keep_in_touch(contact, clocks, 50)
    assert contact.gone_before() is None
    keep_in_touch(contact, clocks, 10)
    assert contact.gone_before() == since


def test_who_asks_late_is_told_nothing(clocks: Clocks) -> None:
    """Such as a thread that was frozen between the last answer and its question."""
    contact = Contact()
    contact.note(clocks.database)
    keep_in_touch(contact, clocks, 120)
    clocks.pass_(31)
    assert contact.gone_before() is None


def test_answers_that_are_noted_in_another_order_are_no_break(clocks: Clocks) -> None:
    contact = Contact()
    contact.note(clocks.database)
    keep_in_touch(contact, clocks, 60)
    contact.note(clocks.database - timedelta(milliseconds=3))
    assert contact.gone_before() == START


@given(st.lists(st.tuples(st.floats(0.1, 200), st.booleans()), min_size=1, max_size=60))
def test_process_that_gives_a_sign_of_life_when_it_can_is_never_taken_for_dead(
    events: list[tuple[float, bool]],
) -> None:
    """Outages of any length, at any time: it beats whenever the database has been there a beat."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        clocks = Clocks()
        monkeypatch.setattr(module, "monotonic", lambda: clocks.machine)
        contact = Contact()
        contact.note(clocks.database)
        seen_at, beat = START, LIVENESS / BEATS_PER_LIVENESS
        for seconds, is_there in events:
            if not is_there:
                clocks.pass_(seconds)
                continue
            # The relay looks first, then the process gives its sign, a beat later.
            for _ in range(max(1, round(seconds / beat))):
                contact.note(clocks.database)
                gone_since = contact.gone_before()
                assert gone_since is None or seen_at >= gone_since
                clocks.pass_(beat)
                seen_at = clocks.database
                contact.note(clocks.database)


def test_a_break_and_a_beat_are_shorter_than_the_liveness() -> None:
    assert BREAK_FRACTION + 1 / BEATS_PER_LIVENESS < 1


def test_the_contact_is_this_process_own_whatever_its_wall_clock_says(clocks: Clocks) -> None:
    contact = Contact()
    with time_machine.travel(START + timedelta(days=30), tick=False):
        contact.note(clocks.database)
        keep_in_touch(contact, clocks, 60)
        assert contact.gone_before() == START
