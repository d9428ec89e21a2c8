"""What is told, and when: the verdict's changes, minute by minute, and what people get of them."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.engine.alerts.episodes import (
    CLOSE_SECONDS,
    LASTING_SECONDS,
    LOOK_SECONDS,
    MOST_CHARACTERS,
    MOST_LINES,
    advance,
)
from tasks.engine.alerts.outbox import failing
from tasks.engine.alerts.state import Message, State
from tasks.engine.monitoring.problem import Problem

BEGIN = 1_767_225_600.0
MINUTE, HOUR = 60.0, 60 * 60.0

WORKER = Problem("no worker", "No worker is alive.")
BROKER = Problem("broker", "The broker cannot be used: refused")
FAILED = Problem("run 7 failed", "report: run 7 failed and is not acknowledged", "Buy a ring")


class Night:
    """Schedulers that look every few seconds, and what they tell."""

    def __init__(self, *channels: str) -> None:
        self.state = State()
        self.now = BEGIN
        self.told: list[tuple[float, str, Message]] = []
        self._channels = channels or ("mail:1",)

    def last(self, seconds: float, *problems: Problem) -> "Night":
        """Let some time pass in which every look finds this."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.look(*problems)
        return self

    def look(self, *problems: Problem) -> None:
        advance(self.state, problems, now=self.now, channels=self._channels)
        if self.state.deliveries:  # It is as if all were delivered at once.
            for each in self.state.deliveries:
                message = self.state.messages[each.message]
                self.told.append((self.now - BEGIN, each.channel, message))
            self.state.deliveries, self.state.messages = [], {}
            # And as if another process looked next.
            self.state = State.load(self.state.dump())
        self.now += LOOK_SECONDS

    @property
    def events(self) -> list[str]:
        return [message.event for _, _, message in self.told]

    @property
    def moments(self) -> list[float]:
        return [moment for moment, _, _ in self.told]


def texts(message: Message) -> list[str]:
    return [line.text for line in message.lines]


def test_problem_of_a_minute_is_told_once_and_once_that_it_is_over() -> None:
    night = Night().last(MINUTE).last(8 * HOUR, WORKER).last(2 * HOUR)
    assert night.events == ["alert", "over"]
    alert, over = (message for _, _, message in night.told)
    assert night.moments == [2 * MINUTE, 8 * HOUR + 2 * MINUTE]
    assert (alert.since, texts(alert)) == (BEGIN + MINUTE, ["No worker is alive."])
    assert (over.since, over.until) == (BEGIN + MINUTE, BEGIN + 8 * HOUR + MINUTE)
    assert over.episode == alert.id


def test_problem_of_less_than_a_minute_is_not_told() -> None:
    night = Night().last(MINUTE).last(MINUTE - LOOK_SECONDS, WORKER).last(HOUR)
    assert night.told == []
    assert night.state.seen == {}


def test_each_deploy_of_half_a_minute_is_quiet() -> None:
    night = Night()
    for _ in range(20):
        night.last(MINUTE / 2, WORKER).last(5 * MINUTE)
    assert night.told == []


def test_short_calm_neither_ends_an_episode_nor_hides_a_problem() -> None:
    night = Night().last(MINUTE / 2, WORKER).last(MINUTE / 2).last(MINUTE, WORKER)
    assert night.events == ["alert"]
    night.last(MINUTE / 2).last(MINUTE, WORKER).last(MINUTE / 2)
    assert night.events == ["alert"]
    assert night.last(MINUTE).events == ["alert", "over"]


def test_verdict_that_comes_and_goes_becomes_one_long_episode() -> None:
    night = Night()
    for _ in range(100):
        night.last(3 * MINUTE, WORKER).last(3 * MINUTE)
    assert night.events == ["alert", "over", "alert", "over", "alert"]
    assert night.last(HOUR).events.count("over") == 3


def test_episodes_far_from_each_other_end_after_a_minute_each() -> None:
    night = Night()
    for _ in range(5):
        night.last(10 * MINUTE, WORKER).last(CLOSE_SECONDS + 2 * MINUTE)
    assert night.events == ["alert", "over"] * 5


def test_schedulers_that_do_not_see_the_same_raise_no_storm() -> None:
    night = Night()
    for _ in range(500):  # One of them is cut off from the broker.
        night.look(BROKER)
        night.look()
    assert night.events == ["alert"]


def test_another_kind_is_told_once_more_with_what_is_new_first() -> None:
    night = Night().last(10 * MINUTE, WORKER).last(HOUR, WORKER, FAILED)
    assert night.events == ["alert", "more"]
    assert night.moments[1] == 11 * MINUTE
    assert texts(night.told[1][2]) == [FAILED.text, WORKER.text]


def test_what_the_first_alert_holds_is_not_told_again() -> None:
    night = Night().last(MINUTE / 2, WORKER).last(HOUR, WORKER, BROKER)
    assert night.events == ["alert"]
    assert texts(night.told[0][2]) == [WORKER.text, BROKER.text]


def test_many_kinds_one_after_the_other_are_told_at_growing_distances() -> None:
    night = Night().last(5 * MINUTE, WORKER)
    for run in range(24 * 12):
        night.last(5 * MINUTE, WORKER, Problem(f"run {run} failed", f"run {run} failed"))
    assert len(night.told) <= 6 + 24
    assert len(night.state.seen) < 30


def test_problem_after_a_long_quiet_time_of_an_open_episode_is_told_after_a_minute() -> None:
    night = Night().last(MINUTE * 2, FAILED)
    for run in range(8):
        night.last(10 * MINUTE, FAILED, Problem(f"run {run} failed", f"run {run} failed"))
    night.last(7 * HOUR, FAILED)
    before, begun = len(night.told), night.now
    night.last(5 * MINUTE, FAILED, WORKER)
    assert [night.moments[-1], len(night.told)] == [begun - BEGIN + MINUTE, before + 1]


def test_kind_that_comes_back_after_an_hour_is_told_again() -> None:
    night = Night().last(5 * MINUTE, FAILED, WORKER).last(2 * HOUR, FAILED)
    assert night.events == ["alert"]
    assert night.last(5 * MINUTE, FAILED, WORKER).events == ["alert", "more"]


def test_time_in_which_nobody_looked_is_neither_trouble_nor_calm() -> None:
    night = Night().last(MINUTE / 2, WORKER)
    night.now += HOUR
    night.look(WORKER)
    assert night.told == []
    night.last(MINUTE, WORKER)
    assert night.events == ["alert"]
    night.look()
    night.now += HOUR
    night.look()
    assert night.events == ["alert"]
    night.last(MINUTE)
    assert night.events == ["alert", "over"]


@pytest.mark.parametrize("step", [-HOUR, HOUR, 24 * HOUR])
def test_clock_that_is_set_holds_up_neither_alert_nor_end(step: float) -> None:
    night = Night().last(MINUTE / 2, WORKER)
    night.now += step
    night.last(2 * MINUTE, WORKER)
    assert night.events == ["alert"]
    night.look()
    night.now += step
    night.last(2 * MINUTE)
    assert night.events == ["alert", "over"]


def test_error_that_a_line_quotes_is_left_out_and_lines_are_short_and_few() -> None:
    many = [Problem(f"kind {n}", f"{n} \x1b[31m\n\u202e" + "x" * 5_000) for n in range(50)]
    (_, _, message), *_ = Night().last(2 * MINUTE, FAILED, *many).told
    assert len(message.lines) == MOST_LINES
    assert message.more == 51 - MOST_LINES
    assert "ring" not in str(message)
    assert all(len(line.text) <= MOST_CHARACTERS for line in message.lines)
    assert all(line.text.isprintable() for line in message.lines)


def test_channel_that_fails_is_told_by_the_others() -> None:
    fails = Problem(failing("webhook"), "An alert by webhook has not been delivered")
    night = Night("mail:1", "webhook").last(10 * MINUTE, fails)
    assert [channel for _, channel, _ in night.told] == ["mail:1"]
    night.last(10 * MINUTE)
    assert [(channel, m.event) for _, channel, m in night.told] == [
        ("mail:1", "alert"),
        ("mail:1", "over"),
    ]


def test_only_channel_is_not_told_that_it_fails() -> None:
    fails = Problem(failing("webhook"), "An alert by webhook has not been delivered")
    night = Night("webhook").last(10 * MINUTE, fails).last(10 * MINUTE, fails, WORKER)
    assert night.events == ["alert"]
    assert texts(night.told[0][2]) == [WORKER.text, fails.text]
    assert night.last(HOUR).events == ["alert", "over"]


#: Times in which the verdict says something: for how long (s), and what.
PHASES = st.lists(
    st.tuples(
        st.integers(1, 60).map(lambda looks: looks * LOOK_SECONDS),
        st.sets(st.sampled_from([WORKER, BROKER, FAILED])),
    ),
    min_size=1,
    max_size=25,
)


def count_if(condition: Callable[[str], bool], events: Iterable[str]) -> int:
    return sum(map(condition, events))


@settings(deadline=None, max_examples=30)
@given(PHASES)
def test_whatever_happens_alerts_and_ends_take_turns_and_none_is_forgotten(
    phases: list[tuple[float, set[Problem]]],
) -> None:
    night = Night()
    for seconds, problems in phases:
        night.last(seconds, *sorted(problems, key=str))
    # Nothing that lasts is left untold, and everything ends in a long calm.
    night.last(2 * HOUR, WORKER)
    assert "alert" in night.events
    night.last(3 * HOUR)
    turns = [event for event in night.events if event != "more"]
    assert turns == ["alert", "over"] * (len(turns) // 2)
    assert night.state.episode is None
    hours = (night.now - BEGIN) / HOUR
    assert count_if(lambda event: event == "alert", night.events) <= 7 + hours
    assert LASTING_SECONDS == MINUTE
