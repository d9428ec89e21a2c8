"""The console's charts."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from dramatiq.broker import get_broker
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from tasks.engine.console.charts import Day, Drawing
from tasks.engine.console.daily import (
    FAILED,
    as_number,
    charts,
    forget_past,
    read_charts,
    read_days,
    read_failures,
)
from tasks.engine.console.drawing import FRAME, axis_end, seconds_axis_end
from tasks.engine.models import State, Trigger
from tasks.engine.operations import counting
from tasks.engine.words import duration as in_words
from tasks.names import TaskName
from tests.factories import new_run

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SWEPT, DURATION = range(2)
SVG = "{http://www.w3.org/2000/svg}"
TEMPLATE = "tasks/console/charts.html"


def make(finished_at: datetime, **values: Any) -> None:
    """Write a run that has ended; a cleanup that succeeded, unless `values` say otherwise."""
    new_run(finished_at=finished_at, **values)


def nights(now: datetime, *, days: int = 30) -> list[Day]:
    forget_past()
    return read_days(now, days=days)


def draw(days: Sequence[Day]) -> list[Drawing]:
    return [chart.draw(days, number) for number, chart in enumerate(charts())]


def by_day(**options: int) -> dict[str, Day]:
    return {f"{night.day:%m-%d}": night for night in nights(NOW, **options)}


def render(drawn: Sequence[Drawing]) -> str:
    return render_to_string(TEMPLATE, {"charts": drawn})


def drawings(html: str) -> list[ET.Element]:
    """Return the drawings of a page; fails unless they are well-formed."""
    parts = [part.split("</svg>")[0] for part in html.split("<svg")[1:]]
    return [ET.fromstring(f"<svg{part}</svg>") for part in parts]  # noqa: S314  (ours)


def test_each_night_is_added_up(db: None) -> None:
    two = datetime(2026, 11, 20, 2, tzinfo=UTC)
    minute = timedelta(minutes=1)
    make(
        two + 3 * minute,
        scheduled_for=two,
        started_at=two + minute,
        result={"todos_deleted": 5, "errors": []},
    )
    make(two + 9 * minute, started_at=two + 4 * minute, result={"todos_deleted": 2})
    make(two, task="runs.prune", state=State.FAILED, scheduled_for=two, started_at=two + 2 * minute)
    make(two, state=State.FAILED, result={"todos_deleted": 100})
    make(two, state=State.SKIPPED, scheduled_for=two - minute)
    make(two, task=TaskName.PING, scheduled_for=two - minute, started_at=two + 60 * minute)
    new_run(State.RUNNING, trigger=Trigger.API, started_at=two)

    night = by_day()["11-20"]

    assert night.values == [7, 300]
    (failed,) = [day.values for day in read_failures(NOW) if day.day == two.date()]
    assert failed == [2]


def test_cleanup_that_was_stopped_counts_what_it_took_until_then_and_no_duration(db: None) -> None:
    two = datetime(2026, 11, 20, 2, tzinfo=UTC)
    values = {"state": State.CANCELLED, "started_at": two - timedelta(hours=1)}
    make(two, **values, progress={"rows": 40})
    make(two, state=State.CANCELLED)
    make(two, **values, task="todo.purge", progress={"rows": 100})
    make(two, **values, progress={"rows": "many"})
    assert by_day()["11-20"] == Day(day=two.date(), values=[40, None])


def test_days_without_runs_are_there_too(db: None) -> None:
    found = nights(NOW, days=30)
    assert [night.day for night in found] == [
        (NOW - timedelta(days=29 - number)).date() for number in range(30)
    ]
    assert {value for night in found for value in night.values} == {None}


def test_days_are_those_of_the_sites_clock(db: None, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    midnight = datetime(2026, 11, 19, 23, tzinfo=UTC)
    make(midnight - timedelta(minutes=1), result={"todos_deleted": 1})
    make(midnight + timedelta(minutes=1), result={"todos_deleted": 10})
    # The day on which the clocks went back had 25 hours.
    make(datetime(2026, 10, 24, 22, 1, tzinfo=UTC), result={"todos_deleted": 100})
    make(datetime(2026, 10, 25, 22, 59, tzinfo=UTC), result={"todos_deleted": 1000})
    make(datetime(2026, 10, 24, 21, 59, tzinfo=UTC), result={"todos_deleted": 7})
    found = by_day()
    assert [found[day].values[SWEPT] for day in ("11-19", "11-20", "10-25")] == [1, 10, 1100]


def test_days_are_the_sites_for_those_who_look_from_another_time_zone(db: None) -> None:
    make(NOW, result={"todos_deleted": 1})
    make(datetime(2026, 10, 25, 0, 1, tzinfo=UTC), result={"todos_deleted": 10})
    here = nights(NOW + timedelta(hours=6))
    with timezone.override("Asia/Tokyo"):
        there = nights(NOW + timedelta(hours=6))
    assert here == there
    assert (here[0].values[SWEPT], here[-1].values[SWEPT]) == (10, 1)


@pytest.mark.parametrize(
    "result",
    [
        *(None, [], [1], "text", 7, {}, {"todos_deleted": None}, {"todos_deleted": "many"}),
        *({"todos_deleted": [1]}, {"todos_deleted": 1.5}, {"todos_deleted": -1}),
        *({"todos_deleted": 10**30}, {"todos_deleted": True}, {"todos_deleted": {}}, True),
    ],
)
def test_result_that_counts_nothing_is_no_crash(db: None, result: object) -> None:
    make(NOW, result=result, started_at=NOW)
    make(NOW, result={"todos_deleted": 3})
    night = by_day()["11-23"]
    assert (night.values[SWEPT], night.values[DURATION]) == (3, 0)


def test_charts_of_one_extension_measure_each_task_by_itself(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(NOW, result={"todos_deleted": 3})
    make(NOW, task=TaskName.TODO_PURGE, result={"todos_deleted": 4})
    broker = get_broker()
    same = broker.get_actor(TaskName.TODO_CLEANUP).options["extension"]
    monkeypatch.setitem(broker.get_actor(TaskName.TODO_PURGE).options, "extension", same)
    swept = [drawn.summary for drawn in draw(nights(NOW)) if drawn.title == "Todos swept"]
    assert [re.findall(r": (\d) todos swept", summary) for summary in swept] == [["3"], ["4"]]


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, None), (Decimal("2.5"), 2.5), (7, 7), (timedelta(minutes=1), 60)],
)
def test_measured_value_of_any_kind_is_a_number(value: Any, number: float | None) -> None:
    assert as_number(value) == number


def test_one_query_whatever_there_is(db: None) -> None:
    for count in (0, 50):
        for number in range(count):
            make(NOW - timedelta(days=number), result={"todos_deleted": number})
        with CaptureQueriesContext(connection) as queries:
            nights(NOW)
        assert len(queries) == 1


def test_days_that_are_over_are_asked_for_once_and_today_each_time(db: None) -> None:
    make(NOW - timedelta(days=3), result={"todos_deleted": 1})
    forget_past()
    read_days(NOW)
    make(NOW, result={"todos_deleted": 5})
    with CaptureQueriesContext(connection) as queries:
        found = read_days(NOW)
    assert [day.values[SWEPT] for day in found[-4:]] == [1, None, None, 5]
    assert "2026-11-23 00:00:00" in queries[0]["sql"]
    # Just after midnight, a run of yesterday may still be about to be written.
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    read_days(midnight + timedelta(minutes=1))
    make(midnight - timedelta(seconds=1), result={"todos_deleted": 7})
    assert read_days(midnight + timedelta(hours=2))[-2].values[SWEPT] == 12


@pytest.mark.parametrize("counted", [True, False])
def test_failures_are_all_counted_whether_or_not_their_hours_are(
    db: None, monkeypatch: pytest.MonkeyPatch, *, counted: bool
) -> None:
    monkeypatch.setattr(counting, "database_now", lambda: NOW)
    for days in (40, 29, 3, 3, 0):
        make(NOW - timedelta(days=days), state=State.FAILED, task=TaskName.PING)
    while counted and counting.count_next_hours():
        pass
    found = read_failures(NOW)
    assert [day.values[0] for day in found if day.values[0]] == [1, 2, 1]


def test_charts_say_in_a_sentence_what_they_show(db: None) -> None:
    make(NOW, started_at=NOW - timedelta(seconds=90), result={"todos_deleted": 1234})
    swept, duration = draw(nights(NOW))
    failed = FAILED.draw(read_failures(NOW), 0)
    assert swept.summary == "Between Oct 25 and Nov 23: 1,234 todos swept, most on Nov 23 (1,234)."
    assert (
        duration.summary == "Between Oct 25 and Nov 23: the longest cleanup took 90 s, on Nov 23."
    )
    assert failed.summary == "No run failed in these 30 days."
    assert failed.bars == ()
    assert (swept.end, swept.first, swept.last) == ("2,000", "Oct 25", "Nov 23")
    assert swept.bars[-1].amounts == ("1,234",)
    assert swept.bars[-1].label == "Nov 23: 1,234 todos swept"
    assert (duration.end, duration.bars[-1].label) == ("2 min", "Nov 23: 90 s")
    assert duration.bars[0].label == "Oct 25: none"


def test_one_is_not_called_many(db: None) -> None:
    make(NOW, result={"todos_deleted": 1})
    make(NOW, state=State.FAILED)
    forget_past()
    swept, _, failed = read_charts(NOW)
    assert swept.summary == "Between Oct 25 and Nov 23: 1 todo swept, most on Nov 23 (1)."
    assert failed.summary == "Between Oct 25 and Nov 23: 1 run failed, most on Nov 23 (1)."
    assert swept.bars[-1].label == "Nov 23: 1 todo swept"
    assert failed.bars[-1].label == "Nov 23: 1 run failed"


def test_without_any_run_there_are_sentences_and_no_drawings(db: None) -> None:
    forget_past()
    drawn = read_charts(NOW)
    assert [chart.summary for chart in drawn] == [
        "No cleanup in these 30 days.",
        "No cleanup in these 30 days.",
        "No run failed in these 30 days.",
    ]
    html = render(drawn)
    assert html.count("<figure>") == 3
    assert "<svg" not in html
    assert "<table" not in html


def test_cleanup_that_found_nothing_is_not_told_as_none(db: None) -> None:
    make(NOW, started_at=NOW, result={"todos_deleted": 0})
    assert draw(nights(NOW))[0].summary == "No todo was swept in these 30 days."


AMOUNTS = st.none() | st.just(0) | st.integers(0, 10**12)
DURATIONS = st.none() | st.floats(0, 10**7)
NIGHTS = st.lists(
    st.builds(
        Day,
        day=st.dates(),
        values=st.tuples(AMOUNTS, DURATIONS),
    ),
    min_size=1,
    max_size=30,
)


@given(NIGHTS)
def test_bars_stay_within_the_drawing(found: list[Day]) -> None:
    for chart in draw(found):
        assert len(chart.bars) in {0, len(found)}
        for bar in chart.bars:
            box = bar.box
            assert box.x >= 0
            assert box.x + box.width <= FRAME.width
            assert box.y >= 0
            assert 0 <= box.height <= box.y + box.height <= FRAME.height


@given(st.floats(1e-6, 1e15))
def test_axis_ends_at_a_round_number_not_far_above(largest: float) -> None:
    end = axis_end(largest)
    assert largest <= end * (1 + 1e-9)
    assert end <= 10 * largest * (1 + 1e-9)


@pytest.mark.parametrize(
    ("longest", "end"),
    [
        *((0.0, "0 s"), (0.0004, "1 ms"), (0.016, "20 ms"), (0.7, "1 s"), (1.4, "2 s")),
        *((59.0, "60 s"), (90.0, "2 min"), (200.0, "5 min"), (1800.0, "30 min")),
        *((3000.0, "60 min"), (4000.0, "2 h"), (90_000.0, "2 d"), (600_000.0, "10 d")),
    ],
)
def test_axis_of_seconds_ends_at_a_round_number_of_its_unit(longest: float, end: str) -> None:
    assert in_words(seconds_axis_end(longest), tenths=True) == end


@given(st.floats(1e-6, 1e9))
def test_axis_of_seconds_is_long_enough(longest: float) -> None:
    assert longest <= seconds_axis_end(longest) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        *((0, "0 s"), (0.016, "16 ms"), (1.44, "1.4 s"), (86, "86 s"), (119.9, "119.9 s")),
        *((150, "2.5 min"), (7199, "120 min"), (9000, "2.5 h"), (3_600_000 * 2, "83.3 d")),
    ],
)
def test_seconds_are_spoken_in_a_unit_that_fits(amount: float, words: str) -> None:
    assert in_words(amount, tenths=True) == words


def test_drawing_is_sound_and_needs_no_style_of_its_own(db: None) -> None:
    make(NOW, started_at=NOW - timedelta(seconds=90.5), result={"todos_deleted": 1_234_567})
    html = render(draw(nights(NOW)))
    assert "style=" not in html
    assert "<script" not in html
    assert "<style" not in html
    drawn = drawings(html)
    assert len(drawn) == 2
    for drawing in drawn:
        named = [drawing.find(f"{SVG}title"), drawing.find(f"{SVG}desc")]
        ids = [part.attrib["id"] for part in named if part is not None]
        assert drawing.attrib["aria-labelledby"].split() == ids
        heights = [float(bar.attrib["height"]) for bar in drawing.iter(f"{SVG}rect")]
        assert len(heights) == 30
        assert max(heights) > 50
    assert "<title>Nov 23: 1,234,567 todos swept</title>" in html


def test_table_says_every_day(db: None) -> None:
    make(NOW, result={"todos_deleted": 1_234_567})
    html = render(draw(nights(NOW)))
    assert html.count("<caption") == html.count("<table") == 1
    assert html.count('<th scope="col">') == 2
    assert html.count('<th scope="row">') == 30
    assert '<th scope="row">2026-11-23</th><td>1,234,567</td>' in html
    assert '<th scope="row">2026-10-25</th><td>0</td>' in html


def test_numbers_of_the_drawing_have_a_dot_in_every_language(db: None, settings: Settings) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    make(NOW, started_at=NOW - timedelta(seconds=90.5), result={"todos_deleted": 1_234_567})
    drawn = [replace(chart, frame=replace(FRAME, width=1640)) for chart in draw(nights(NOW))]
    with translation.override("de"):
        html = render(drawn)
    for drawing in drawings(html):
        assert drawing.attrib["viewBox"] == f"0 0 1640 {FRAME.height}"
        for part in drawing.iter():
            numbers = [
                part.attrib[name] for name in ("x", "y", "width", "height") if name in part.attrib
            ]
            assert all(float(number) >= 0 for number in numbers)


def test_text_is_shown_as_text(db: None) -> None:
    make(NOW, result={"todos_deleted": 1})
    (chart, *_) = draw(nights(NOW))
    hostile = '</title></svg><script>alert(1)</script>"&'
    bars = tuple(replace(bar, label=hostile, amounts=(hostile,)) for bar in chart.bars)
    html = render([replace(chart, title=hostile, summary=hostile, end=hostile, bars=bars)])
    assert "<script" not in html
    (drawing,) = drawings(html)
    assert drawing.findtext(f"{SVG}title") == drawing.findtext(f"{SVG}desc") == hostile
    assert drawing.findtext(f"{SVG}rect/{SVG}title") == hostile
