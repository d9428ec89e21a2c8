"""What waits to be delivered: in order, claimed by one, retried at growing pauses, given up."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.engine.alerts.outbox import (
    CHECK_IN,
    CLAIM_SECONDS,
    FIRST_PAUSE_SECONDS,
    GIVE_UP_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_WAITING,
    SKEW_SECONDS,
    claim,
    claimed,
    due,
    keep_only,
    queue,
    settle,
    undelivered,
)
from tasks.engine.alerts.state import Message, State

NOW = 1_767_225_600.0


def message(number: int = 1) -> Message:
    return Message(str(number), "alert", "1", at=NOW, since=NOW)


def waiting(*channels: str, messages: int = 1) -> State:
    state = State()
    for number in range(messages):
        queue(state, message(number), channels, now=NOW)
    return state


def attempt(state: State, *channels: str, now: float, failure: str = "") -> str:
    """Try what is due; return the message's id, empty if there was none."""
    claim(state, channels, token="ours", now=now)
    found = claimed(state, "ours")
    settle(state, token="ours", failure=failure, now=now)
    return found.message if found else ""


def test_claim_is_of_one_until_it_runs_out() -> None:
    state = waiting("webhook")
    claim(state, ["webhook"], token="first", now=NOW)
    claim(state, ["webhook"], token="second", now=NOW + CLAIM_SECONDS - 1)
    assert claimed(state, "second") is None
    claim(state, ["webhook"], token="second", now=NOW + CLAIM_SECONDS)
    assert claimed(state, "second")
    # The first one was frozen: what it says now is of no claim.
    settle(state, token="first", failure="", now=NOW + CLAIM_SECONDS)
    assert claimed(state, "second")
    settle(state, token="second", failure="", now=NOW + CLAIM_SECONDS)
    assert (state.deliveries, state.messages) == ([], {})


def test_channels_deliver_in_order_and_do_not_wait_for_each_other() -> None:
    state = waiting("mail:1", "mail:2", messages=2)
    both = ("mail:1", "mail:2")
    claim(state, both, token="hangs", now=NOW)
    assert [attempt(state, *both, now=NOW) for _ in range(3)] == ["0", "1", ""]
    settle(state, token="hangs", failure="timed out", now=NOW)
    assert attempt(state, *both, now=NOW) == ""
    later = NOW + FIRST_PAUSE_SECONDS
    assert [attempt(state, *both, now=later) for _ in range(3)] == ["0", "1", ""]


def test_pauses_grow_up_to_the_longest_and_it_is_given_up_after_a_day() -> None:
    state, now, moments = waiting("webhook"), NOW, []
    while state.deliveries:
        if attempt(state, "webhook", now=now, failure="HTTP 500"):
            moments.append(now - NOW)
        now += 1
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[:4] == [15.0, 30.0, 60.0, 120.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert GIVE_UP_SECONDS <= moments[-1] < GIVE_UP_SECONDS + LONGEST_PAUSE_SECONDS
    assert state.messages == {}


def test_second_failure_in_a_row_is_a_problem() -> None:
    state = waiting("mail:1", "webhook")
    attempt(state, "mail:1", now=NOW, failure="SMTP 550")
    assert undelivered(state) == []
    attempt(state, "mail:1", now=NOW + FIRST_PAUSE_SECONDS, failure="timed out")
    (fails,) = undelivered(state)
    assert (fails.channel, fails.kind, fails.reason) == ("mail:1", "mail", "timed out")
    assert fails.since.timestamp() == NOW


def test_only_so_many_wait_and_the_oldest_make_room() -> None:
    state = waiting("webhook", messages=3 * MOST_WAITING)
    kept = [str(number) for number in range(2 * MOST_WAITING, 3 * MOST_WAITING)]
    assert [each.message for each in state.deliveries] == kept
    assert list(state.messages) == kept


def test_of_check_ins_only_the_latest_waits() -> None:
    state = waiting(CHECK_IN, "webhook", messages=3)
    of_check_in = [each.message for each in state.deliveries if each.channel == CHECK_IN]
    assert of_check_in == ["2"]


def test_what_waits_for_a_channel_that_is_gone_is_dropped() -> None:
    state = waiting("mail:1", "webhook")
    keep_only(state, ["webhook"])
    assert [each.channel for each in state.deliveries] == ["webhook"]
    keep_only(state, [])
    assert state.messages == {}


@given(st.floats(min_value=-1e9, max_value=1e9))
@example(-61.0)
@example(-900.0)
def test_clock_that_is_set_back_or_forward_holds_nothing_up(step: float) -> None:
    state = waiting("webhook")
    claim(state, ["webhook"], token="lost", now=NOW)
    now = NOW + step
    # A clock that was set back by minutes delays by as many; by more, it is known to be wrong.
    longest = LONGEST_PAUSE_SECONDS + CLAIM_SECONDS + 2 * SKEW_SECONDS
    assert due(state, ["webhook"], now) or due(state, ["webhook"], now + longest)
    settle(state, token="lost", failure="timed out", now=NOW)
    assert due(state, ["webhook"], now) or due(state, ["webhook"], now + 2 * LONGEST_PAUSE_SECONDS)


def test_process_whose_clock_is_a_little_behind_respects_a_claim() -> None:
    state = waiting("webhook")
    claim(state, ["webhook"], token="first", now=NOW + 1)
    claim(state, ["webhook"], token="second", now=NOW + 0.5)
    assert claimed(state, "first")


def test_state_is_read_as_it_was_written() -> None:
    state = waiting("mail:1", "webhook", CHECK_IN, messages=2)
    claim(state, ["webhook"], token="ours", now=NOW)
    assert State.load(state.dump()) == state
