"""The list of runs: what an address finds, page by page, and what it never tells."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import count
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import OperationalError, connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import QueryCanceled

from accounts.models import User
from tasks.engine.console import run_list
from tasks.engine.console.run_form import RunListForm, address_of
from tasks.engine.console.run_list import PAGE_SIZE
from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.operations import run_search
from tasks.engine.operations.run_filter import MAX_ID, MAX_SECONDS, STATES, RunFilter
from tasks.names import TaskName
from tests.admin_pages import HOSTILE, Page, log_in_staff
from tests.examples import examples
from tests.factories import new_process, new_run, new_runs

pytestmark = pytest.mark.django_db

RUNS = "/admin/tasks/taskrun/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "Bring the flowers"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


def rows(client: Client, query: str = "") -> list[list[str]]:
    """Return the cells of the runs on the page of an address."""
    response = client.get(f"{RUNS}?{query}", follow=True)
    assert response.status_code == 200
    return Page(response.content.decode()).rows[1:]


def ids(client: Client, query: str = "") -> list[int]:
    """Return the runs on the page of an address, in order."""
    return [int(row[1]) for row in rows(client, query)]


def words(client: Client, query: str = "") -> str:
    """Return the words of the page of an address, whatever its status."""
    html = client.get(f"{RUNS}?{query}", follow=True).content.decode()
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


# What is found.


def test_runs_are_listed_the_newest_first(boss: Client) -> None:
    new_run(scheduled_for=NOON, started_at=NOON, finished_at=NOON + timedelta(seconds=83))
    TaskRun.objects.update(result={"todos_deleted": 1200})
    now, holder = timezone.now(), new_process().pk
    at_work = {"started_at": now, "held_by": holder, "attempts": 2}
    new_run(State.RUNNING, trigger="api", created_at=NOON, progress={"rows": 5}, **at_work)
    running, ended = rows(boss)
    assert running[2:] == [
        *("todo.cleanup", running[3], "code", "2026-03-01 12:00:00 UTC"),
        *(running[6], "5 todos swept to the trash"),
    ]
    assert re.fullmatch(r"Running for \d+ m?s, attempt 2", running[3])
    assert ended[2:] == [
        *("todo.cleanup", "Succeeded in 83 s", "schedule", "2026-03-01 12:00:00 UTC", "83 s"),
        "1,200 todos swept to the trash",
    ]
    assert int(running[1]) > int(ended[1])


def test_each_filter_narrows_the_list_and_all_of_them_together(boss: Client) -> None:
    ended = new_run(started_at=NOON, finished_at=NOON + timedelta(seconds=90), created_at=NOON)
    ping = new_run(task=TaskName.PING, created_at=NOON + timedelta(days=1))
    failed = new_run(State.FAILED, trigger="command", error="A\nValueError: no Moon")
    known = new_run(State.FAILED, acknowledged_at=NOON)
    waiting = new_run(State.QUEUED, arguments={"args": [], "kwargs": {"name": 'Zoë "Q"'}})
    long_ago = timezone.now() - timedelta(hours=2)
    at_work = new_run(State.RUNNING, started_at=long_ago)
    partly = new_run(has_errors=True)
    for query, expected in (
        ("state=failed", {failed, known}),
        ("state=unacknowledged", {failed, partly}),
        ("state=unfinished", {waiting, at_work}),
        ("state=with_errors", {partly}),
        ("task=ping", {ping}),
        ("task=no.such", set()),
        ("trigger=command", {failed}),
        ("since=2026-03-02T11:59%2B00:00&until=2026-03-02T12:01%2B00:00", {ping}),
        ("until=2026-03-01T12:01%2B00:00", {ended}),
        ("at_least=90", {ended, at_work}),
        ("at_least=91", {at_work}),
        ("error=valueerror: NO moon", {failed}),
        ("error=%25", set()),
        ("arguments=Zoë", {waiting}),
        ('arguments="Q"', {waiting}),
        ('arguments="kwargs": {"name"', {waiting}),
        ("state=failed&trigger=command&error=Moon&task=todo.cleanup", {failed}),
        ("state=failed&trigger=command&error=Moon&task=ping", set()),
    ):
        assert set(ids(boss, query)) == {run.pk for run in expected}, query


def test_one_box_searches_by_number_message_request_task_and_worker(boss: Client) -> None:
    run = new_run(request_id="7f3a-request")
    other = new_run(task=TaskName.PING, worker="host, process none")
    assert ids(boss, f"search={run.pk}") == [run.pk]
    assert ids(boss, "search=ping") == ids(boss, "search=HOST") == [other.pk]
    assert ids(boss, f"search={run.message_id}") == [run.pk]
    assert ids(boss, f"search={run.message_id.hex}") == [run.pk]
    assert ids(boss, "search=7f3a-request") == [run.pk]
    assert ids(boss, f"search={str(run.message_id)[:-1]}") == []
    assert ids(boss, "search=7f3a-reques") == []
    assert ids(boss, "search='%22") == ids(boss, f"search={10**30}") == []


def test_addresses_of_the_version_before_go_on_working(boss: Client) -> None:
    ended = new_run(created_at=NOON)
    failed = new_run(State.FAILED, trigger="command")
    assert boss.get(f"{RUNS}?state__exact=failed").status_code == 200
    assert ids(boss, "state__exact=failed") == ids(boss, "trigger__exact=command") == [failed.pk]
    assert ids(boss, f"q={ended.pk}") == [ended.pk]
    days = "created_at__gte=2026-03-01 00:00:00%2B00:00&created_at__lt=2026-03-02 00:00:00%2B00:00"
    assert ids(boss, days) == [ended.pk]


def test_dates_are_by_the_readers_clock_and_their_link_means_the_same_to_all(boss: Client) -> None:
    before = new_run(created_at=NOON - timedelta(minutes=1))
    after = new_run(created_at=NOON)
    with timezone.override("Europe/Berlin"):
        form = RunListForm(QueryDict("since=2026-03-01T13:00"), with_details=True)
        assert form.is_valid()
        assert form.wanted.since == NOON
        assert 'value="2026-03-01T13:00"' in str(form["since"])
    link = address_of(form.wanted)
    assert parse_qs(link) == {"since": ["2026-03-01T12:00:00+00:00"]}
    assert ids(boss, link) == [after.pk]
    # What a browser posts without a script becomes such a link, without what is empty.
    response = boss.get(f"{RUNS}?search=&state=&since=2026-03-01T12:00&until=")
    assert response.headers["Location"] == f"{RUNS}?{link}"
    assert boss.get(f"{RUNS}?search=&state=").headers["Location"] == RUNS
    assert before.pk not in ids(boss, link)


def test_state_is_told_with_what_comes_next(boss: Client) -> None:
    in_40_seconds = timezone.now() + timedelta(seconds=40)
    failed: dict[str, Any] = {"attempts": 2, "error": "OSError"}
    new_run(State.PENDING, failures=2, due_at=in_40_seconds, **failed)
    new_run(State.PENDING, failures=3, due_at=NOON, **failed)
    new_run(State.RUNNING, stop_requested_at=NOON, held_by=new_process().pk)
    new_run(State.FAILED, acknowledged_at=NOON)
    states = [row[3] for row in rows(boss)]
    assert states[:3] == [
        *(
            "Failed, acknowledged",
            "Asked to stop: it ends at its next step, or goes to its end if it has none",
            states[2],
        ),
    ]
    assert re.fullmatch(r"Failed 3 times, due for .*, and not published yet.*", states[2])
    assert re.fullmatch(r"Failed twice, next try in (39|40) s.*", states[3])


# Bad addresses.


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("state=exploded", "Select a valid choice. exploded is not one of the available choices."),
        ("trigger=moon", "Select a valid choice. moon is not one of the available choices."),
        ("since=yesterday", "Give a date and time, such as 2026-03-10T02:00."),
        ("until=0001-01-01T00:00%2B14:00", "Give a date and time, such as 2026-03-10T02:00."),
        ("since=2026-03-02T00:00&until=2026-03-01T00:00", "This is not after the first date."),
        ("at_least=long", "Give a whole number of seconds."),
        ("at_least=-1", "Ensure this value is greater than or equal to 0."),
        ("error=" + "x" * 201, "Ensure this value has at most 200 characters (it has 201)."),
        ("attempts__gte=1", "This page has no filter “attempts__gte”."),
    ],
)
def test_what_makes_no_sense_is_one_line_and_shows_no_runs(
    boss: Client, query: str, complaint: str
) -> None:
    new_run()
    response = boss.get(f"{RUNS}?{query}")
    assert response.status_code == 400
    html = response.content.decode()
    assert unescape(html).count(complaint) == 1
    assert not Page(html).rows


def test_time_that_a_clock_skips_is_refused_in_a_line(boss: Client, admin_user: User) -> None:
    with timezone.override("Europe/Berlin"):
        form = RunListForm(QueryDict("since=2026-03-29T02:30"), with_details=True)
        assert "be interpreted in time zone Europe/Berlin" in str(form.errors)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
MOMENTS = st.datetimes(
    # By the clock of the zone that is drawn.
    datetime(1970, 1, 2),  # noqa: DTZ001
    datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, ZoneInfo("Asia/Kabul")]),
).map(lambda moment: moment.astimezone(UTC))
LOOKED_FOR = TEXTS.map(str.strip)
filters = st.builds(
    RunFilter,
    task=LOOKED_FOR,
    state=st.sampled_from(["", *STATES]),
    trigger=st.sampled_from(["", *Trigger.values]),
    since=st.none() | MOMENTS,
    at_least=st.none() | st.integers(1, MAX_SECONDS),
    error=LOOKED_FOR,
    arguments=LOOKED_FOR,
    search=LOOKED_FOR,
)
NAMES = st.sampled_from([*RunListForm.base_fields, "q", "state__exact", "created_at__gte", "e"])
VALUES = TEXTS | st.sampled_from(
    (
        *("", "0", "-1", str(MAX_ID), str(10**30), "1e9", "nan", "9999-12-31T23:59-12:00", "%"),
        *("failed", "unacknowledged", "0001-01-01T00:00", "2026-03-29T02:30", "x" * 5_000, "²"),
    )
)


@given(wanted=filters)
@settings(max_examples=examples(200), deadline=None)
def test_filter_is_the_same_after_an_address_and_after_arguments(wanted: RunFilter) -> None:
    form = RunListForm(QueryDict(address_of(wanted)), with_details=True)
    assert form.is_valid(), form.errors
    assert form.wanted == wanted == RunFilter.from_json(wanted.as_json())


@given(address=st.dictionaries(NAMES | TEXTS, VALUES, max_size=4))
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_address_is_a_crash(boss: Client, address: dict[str, str]) -> None:
    assert boss.get(RUNS, address).status_code in {200, 302, 400}


@pytest.mark.parametrize(
    "data",
    [
        *(None, [], "x", {"no_such": 1}, {"state": "x"}, {"state": []}, {"trigger": 1}),
        *({"since": "2026-03-01T00:00"}, {"since": 1}, {"at_least": True}, {"at_least": -1}),
        *({"error": "x" * 201}, {"error": 5}, {"task": "\0"}, {1: 2}),
    ],
)
def test_arguments_that_are_no_filter_are_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RunFilter.from_json(data)


# Who may see what.


def test_who_may_not_see_details_sees_no_error_and_finds_none(client: Client) -> None:
    log_in_staff(client, "view_taskrun", "acknowledge_taskrun")
    new_run(State.FAILED, error=f"ValueError: {SECRET}", arguments={"kwargs": {"a": SECRET}})
    html = client.get(f"{RUNS}?state=failed").content.decode()
    assert SECRET not in html
    assert "filter-error" not in html
    for name in ("error", "arguments"):
        for query in (f"{name}=Bring", f"{name}=nothing of it"):
            response = client.get(f"{RUNS}?{query}")
            assert response.status_code == 400
            assert (
                f"You may not look for runs by their {name}: that takes"
                in response.content.decode()
            )
    # Nor does a bulk operation count them.
    posted = client.post("/admin/background/runs/all/acknowledge/", {"all": 1, "error": "Bring"})
    assert posted.status_code == 302
    assert "not clear" in words(client)


def test_list_is_for_who_may_view_runs_alone(client: Client) -> None:
    log_in_staff(client, "view_user")
    assert client.get(RUNS).status_code == 403


def test_hostile_texts_are_shown_inert(boss: Client) -> None:
    new_run(State.FAILED, error=HOSTILE, task=HOSTILE[:100], worker=HOSTILE)
    new_run(State.FAILED, error="another")
    for query in ("", "state=failed", f"error={HOSTILE}", f"task={HOSTILE}", f"{HOSTILE}=x"):
        response = boss.get(f"{RUNS}?{query}")
        html = response.content.decode()
        assert "<script>alert" not in html
        assert Page(html).blocked == []
    assert "&lt;script&gt;alert(1)" in html


def test_argument_is_found_as_python_writes_it_and_a_run_by_its_schedules_name(
    boss: Client,
) -> None:
    seven = new_run(arguments={"args": [], "kwargs": {"keep_days": 7}}, schedule_name="emma")
    new_run(arguments={"args": [], "kwargs": {"keep_days": 6}}, schedule_name="q")
    for query in ("arguments=keep_days=7", "arguments=keep_days%20=%207", "search=Emma"):
        assert ids(boss, query) == [seven.pk]
    assert "todo.cleanup (emma)" in rows(boss, "search=emma")[0][2]


# Errors.


def test_failures_are_counted_by_their_error_and_each_leads_to_all_with_it(boss: Client) -> None:
    new_runs(3, State.FAILED, error="Traceback\nTimeoutError: no answer")
    new_runs(2, State.FAILED, error="Traceback\nKeyError: 'name'")
    (ping,) = new_runs(1, State.FAILED, error="Traceback\nKeyError: 'name'", task=TaskName.PING)
    response = boss.get(f"{RUNS}?state=unacknowledged")
    groups = [
        (group.task, group.error, group.count) for group in response.context["page"].groups.listed
    ]
    assert groups == [
        ("todo.cleanup", "TimeoutError: no answer", 3),
        ("todo.cleanup", "KeyError: 'name'", 2),
        ("ping", "KeyError: 'name'", 1),
    ]
    assert len(ids(boss, response.context["page"].groups.listed[0].address)) == 3
    row = next(row for row in response.context["page"].rows if row.run.pk == ping.pk)
    assert len(ids(boss, row.same_error)) == 3


def test_many_failures_with_one_error_do_not_hide_the_others(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_runs(2, State.FAILED, error="TimeoutError: no answer")
    new_runs(700, State.FAILED, error="KeyError: 'name'")
    monkeypatch.setattr(run_list, "GROUP_SECONDS", 1_000)
    response = boss.get(f"{RUNS}?state=unacknowledged")
    assert [group.count for group in response.context["page"].groups.listed] == [700, 2]
    assert "By error</summary>" in response.content.decode()

    monkeypatch.setattr(run_list, "GROUP_SECONDS", 2.5)
    monkeypatch.setattr(run_list, "monotonic", count().__next__)
    response = boss.get(f"{RUNS}?state=unacknowledged")
    assert [group.count for group in response.context["page"].groups.listed] == [250]
    assert "By error, of the latest 250</summary>" in response.content.decode()


def test_errors_that_are_not_listed_are_counted(boss: Client) -> None:
    for number in range(run_list.MAX_GROUPS + 3):
        new_runs(2, State.FAILED, error=f"KeyError: {number}")
    html = boss.get(f"{RUNS}?state=failed").content.decode()
    assert "And 3 other errors, each of fewer runs" in html


def test_failures_of_the_first_page_lead_to_the_list(boss: Client) -> None:
    new_run(State.FAILED)
    page = boss.get("/admin/background/").content.decode()
    assert 'href="/admin/tasks/taskrun/?state=unacknowledged"' in page


# Pages.


def test_pages_follow_one_another_without_a_gap_in_both_directions(boss: Client) -> None:
    everything = sorted((run.pk for run in new_runs(2 * PAGE_SIZE + 7)), reverse=True)
    new_runs(5, task=TaskName.PING)
    first = boss.get(f"{RUNS}?task=todo.cleanup").context["page"]
    assert (first.total, first.newer) == ("107 runs match.", "")
    second = boss.get(f"{RUNS}?{first.older}").context["page"]
    # Another run comes meanwhile: no page moves.
    new_runs(1)
    third = boss.get(f"{RUNS}?{second.older}").context["page"]
    assert [*first.ids, *second.ids, *third.ids] == everything
    assert third.older == ""
    back = boss.get(f"{RUNS}?{third.newer}").context["page"]
    assert back.ids == second.ids
    front = boss.get(f"{RUNS}?{back.newer}").context["page"]
    assert front.ids == first.ids
    assert front.newest == "task=todo.cleanup"


def test_many_matches_are_not_counted_to_the_end(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_runs(61)
    for most, told in ((60, "More than 60 runs match."), (61, "61 runs match.")):
        monkeypatch.setattr(run_list, "MOST_COUNTED", most)
        assert told in words(boss)
    assert "No run matches." in words(boss, "task=ping")
    TaskRun.objects.all().delete()
    new_run()
    assert "1 run matches." in words(boss)


@pytest.mark.parametrize("first", ["newest", "oldest"])
def test_search_that_takes_too_long_says_how_far_it_came_and_goes_on_there(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    oldest_first = first == "oldest"
    monkeypatch.setattr(run_search, "FIRST_RANGE", 2)
    pks = [run.pk for run in new_runs(20)]
    runs = TaskRun.objects.filter(pk__in=[pks[0], pks[-1]])

    def look(low: int, high: int) -> run_search.Found:
        return run_search.search(
            runs, low=low, high=high, most=5, seconds=0, oldest_first=oldest_first
        )

    found, low, high, turns = list[int](), pks[0], pks[-1], 0
    for _ in range(100):
        part = look(low, high)
        found += part.ids
        turns += 1
        if part.looked_at is None:
            break
        low, high = (part.looked_at + 1, high) if oldest_first else (low, part.looked_at - 1)
    assert turns > 3
    assert found == ([pks[0], pks[-1]] if oldest_first else [pks[-1], pks[0]])


def test_page_of_a_search_that_gave_up_offers_to_go_on(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_search, "FIRST_RANGE", 5)
    monkeypatch.setattr(run_list, "SEARCH_SECONDS", 0.0)
    pks = [run.pk for run in new_runs(10)]
    TaskRun.objects.filter(pk=pks[0]).update(task=TaskName.PING)
    page = words(boss, "task=ping")
    assert "At least 0 runs match." in page
    assert f"The search was given up in time: runs down to {pks[5]:,} were looked at." in page
    assert "Go on from there , or choose a task or dates" in page
    farther = boss.get(f"{RUNS}?task=ping").context["page"].farther
    assert ids(boss, farther) == [pks[0]]


def test_statement_that_the_database_gives_up_leaves_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_search, "FIRST_RANGE", 5)
    pks = [run.pk for run in new_runs(10)]
    runs = TaskRun.objects.all()
    ranges = run_search.ranges

    def slow_after_one(*arguments: Any, **named: Any) -> Any:
        yield next(ranges(*arguments, **named))
        raise OperationalError("canceling statement") from QueryCanceled()

    monkeypatch.setattr(run_search, "ranges", slow_after_one)
    found = run_search.search(runs, low=pks[0], high=pks[-1], most=20, seconds=9)
    assert found == run_search.Found(tuple(reversed(pks[5:])), pks[5])


def test_list_asks_as_many_questions_for_any_number_of_rows(boss: Client) -> None:
    def more_rows() -> None:
        for number in range(12):
            staff = User.objects.create_user(str(uuid4()))
            new_run(State.FAILED, requested_by=staff, error=f"Error {number}")

    asked = []
    for _ in range(2):
        more_rows()
        with CaptureQueriesContext(connection) as queries:
            assert ids(boss, "state=failed")
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 15


def test_text_search_has_the_longer_box() -> None:
    assert RunFilter(error="x").reads_texts
    assert RunFilter(search="host").reads_texts
    assert not RunFilter(search="12").reads_texts
    assert not RunFilter(task="ping", state="failed").reads_texts
