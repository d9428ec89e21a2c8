"""The console's charts."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from tasks.console.charts import HEIGHT, WIDTH, Night, axis_end, charts, nights
from tasks.models import State, TaskRun, Trigger
from tasks.names import TaskName

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def make(finished_at: datetime, **values: object) -> None:
    """Write a run that has ended; a cleanup that succeeded, unless `values` say otherwise."""
    defaults: dict[str, object] = {
        "task": TaskName.TODO_CLEANUP,
        "state": State.SUCCEEDED,
        "trigger": Trigger.SCHEDULE,
        "queue": "default",
    }
    TaskRun.objects.create(finished_at=finished_at, **{**defaults, **values})


def by_day(**options: int) -> dict[str, Night]:
    return {f"{night.day:%m-%d}": night for night in nights(NOW, **options)}


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
    TaskRun.objects.create(
        task=TaskName.TODO_CLEANUP, state=State.RUNNING, queue="x", trigger="api", started_at=two
    )

    night = by_day()["11-20"]

    assert (night.swept, night.failed) == (7, 2)
    assert (night.cleanup_seconds, night.delay_seconds) == (300, 120)


def test_days_without_runs_are_there_too(db: None) -> None:
    found = nights(NOW, days=30)
    assert [night.day for night in found] == [
        (NOW - timedelta(days=29 - number)).date() for number in range(30)
    ]
    assert {night.swept for night in found} == {0}


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
    assert [found[day].swept for day in ("11-19", "11-20", "10-25")] == [1, 10, 1100]


@pytest.mark.parametrize(
    "result",
    [
        *(None, [], [1], "text", 7, {}, {"todos_deleted": None}, {"todos_deleted": "many"}),
        *({"todos_deleted": [1]}, {"todos_deleted": 1.5}, {"todos_deleted": -1}),
        {"todos_deleted": 10**30},
    ],
)
def test_result_that_counts_nothing_is_no_crash(db: None, result: object) -> None:
    make(NOW, result=result, started_at=NOW)
    night = by_day()["11-23"]
    assert (night.swept, night.cleanup_seconds) == (0, 0)


def test_one_query_whatever_there_is(db: None) -> None:
    for count in (0, 50):
        for number in range(count):
            make(NOW - timedelta(days=number), result={"todos_deleted": number})
        with CaptureQueriesContext(connection) as queries:
            nights(NOW)
        assert len(queries) == 1


def test_run_that_started_before_its_slot_by_another_clock_waited_for_nothing(db: None) -> None:
    make(NOW, scheduled_for=NOW, started_at=NOW - timedelta(seconds=1))
    assert by_day()["11-23"].delay_seconds == 0


def test_charts_say_in_a_sentence_what_they_show(db: None) -> None:
    make(NOW, started_at=NOW - timedelta(seconds=90), result={"todos_deleted": 1234})
    swept, duration, failed, delay = charts(nights(NOW))
    assert swept.summary == "Between Oct 25 and Nov 23: 1,234 todos swept, most on Nov 23 (1,234)."
    assert (
        duration.summary == "Between Oct 25 and Nov 23: the longest cleanup took 90 s, on Nov 23."
    )
    assert failed.summary == "Between Oct 25 and Nov 23: no run failed."
    assert delay.summary == "No slot was run between Oct 25 and Nov 23."
    assert failed.bars == delay.bars == ()
    assert swept.top == "2,000"
    assert swept.bars[-1].label == "1,234"


AMOUNTS = st.one_of(st.just(0), st.integers(0, 10**12))
NIGHTS = st.lists(
    st.builds(
        Night,
        day=st.dates(),
        swept=AMOUNTS,
        failed=AMOUNTS,
        cleanup_seconds=st.none() | st.floats(0, 10**7),
        delay_seconds=st.none() | st.floats(0, 10**7),
    ),
    min_size=1,
    max_size=30,
)


@given(NIGHTS)
def test_bars_stay_within_the_drawing(found: list[Night]) -> None:
    for chart in charts(found):
        assert len(chart.bars) in {0, len(found)}
        for bar in chart.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= WIDTH
            assert bar.y >= 0
            assert 0 <= bar.height <= bar.y + bar.height <= HEIGHT


@given(st.floats(1e-6, 1e15))
def test_axis_ends_at_a_round_number_not_far_above(largest: float) -> None:
    end = axis_end(largest)
    assert largest <= end * (1 + 1e-9)
    assert end <= 10 * largest * (1 + 1e-9)


def test_drawing_is_sound_and_needs_no_style_of_its_own(db: None) -> None:
    make(NOW, started_at=NOW - timedelta(seconds=90.5), result={"todos_deleted": 1_234_567})
    html = render_to_string("tasks/console/charts.html", {"charts": charts(nights(NOW))})
    assert "style=" not in html
    assert "<script" not in html
    for part in html.split("<svg")[1:]:
        drawing = ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")  # noqa: S314  (ours)
        assert drawing.find(f"{SVG}title") is not None
        assert drawing.find(f"{SVG}desc") is not None
        heights = [float(bar.attrib["height"]) for bar in drawing.iter(f"{SVG}rect")]
        assert len(heights) == 30
        assert max(heights) > 50
    assert html.count("<svg") == 2
    assert "Nov 23: 1,234,567<" in html
