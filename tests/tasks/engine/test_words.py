"""How moments, durations and numbers are written."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from tasks.engine.words import ago, count, duration, moment, one_line, printable, reason


@pytest.mark.parametrize(
    ("seconds", "whole", "tenths", "past"),
    [
        (0, "0 s", "0 s", "0 s ago"),
        (0.016, "16 ms", "16 ms", "0 s ago"),
        (9.44, "9 s", "9.4 s", "9 s ago"),
        (119.9, "120 s", "119.9 s", "119 s ago"),
        (150, "2 min", "2.5 min", "2 min ago"),
        (19_809, "6 h", "5.5 h", "5 h ago"),
        (2 * 86_400, "2 d", "2 d", "2 d ago"),
        (86_400_000, "1,000 d", "1,000 d", "1,000 d ago"),
        (None, "", "", ""),
    ],
)
def test_duration_is_written_in_the_largest_unit_of_which_it_has_two(
    seconds: float | None, whole: str, tenths: str, past: str
) -> None:
    assert [duration(seconds), duration(seconds, tenths=True)] == [whole, tenths]
    assert ago(seconds) == past


def test_what_comes_later_by_another_clock_was_just_now() -> None:
    assert ago(-5) == "0 s ago"


def test_moment_at_the_end_of_time_is_no_crash_wherever_one_reads_it() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with timezone.override("Asia/Tokyo"):
        assert moment(end) == "9999-12-31 23:59:59 UTC"


def test_one_thing_is_singular_and_any_other_number_plural() -> None:
    counts = [count(number, "run") for number in (0, 1, 2, 1234)]
    assert counts == ["0 runs", "1 run", "2 runs", "1,234 runs"]
    assert count(2, "process", "processes") == "2 processes"


def test_text_of_many_lines_takes_one() -> None:
    assert one_line(" a\n\tb  c\n") == "a b c"
    assert printable("a\n\x1b[31mb") == "a ?[31mb"
    assert (reason(KeyError()), reason(ValueError("no\nway"))) == ("KeyError", "no way")


def test_moment_that_is_not_known_is_empty() -> None:
    assert moment(None) == ""
