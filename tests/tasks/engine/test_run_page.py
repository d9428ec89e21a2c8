"""The page of a run: what it says first, what it offers, its attempts, and what it costs."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from tasks.engine.console.run_values import MAX_ROWS, MAX_VALUE_CHARACTERS, argument_rows
from tasks.engine.console.timeline import MAX_EXCERPT_CHARACTERS
from tasks.engine.database import database_now
from tasks.engine.models import Attempt, Outcome, Process, State, TaskRun, Trigger
from tasks.engine.models.attempt import MOST_KEPT
from tasks.engine.monitoring.headline import headline
from tasks.engine.operations import runs as operations
from tasks.engine.operations.permissions import WITHHELD
from tasks.engine.templatetags.background import run_links
from tasks.names import TaskName
from tests.admin_pages import Page, log_in_staff
from tests.factories import new_process, new_run, swept_by

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "buy a ring"
HOSTILE = "<script>alert(1)</script>\"'></pre></details>\u202e{{ 7 }}"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


def page_of(run: TaskRun) -> str:
    return reverse("admin:tasks_taskrun_change", args=[run.pk])


def live_part_of(client: Client, run: TaskRun) -> str:
    """Return what HTMX gets of a run's page."""
    address = reverse("background:run-live", args=[run.pk])
    response = client.get(address, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response.content.decode()


def html_of(client: Client, run: TaskRun) -> str:
    response = client.get(page_of(run))
    assert response.status_code == 200
    return response.content.decode()


def words(html: str) -> str:
    """Return the text of a page, without its tags."""
    html = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def first_line(html: str) -> str:
    """Return the headline of a run's page."""
    found = re.search(r'<section class="verdict.*?<strong>(.*?)</strong>', html, re.DOTALL)
    assert found
    return words(found[1])


def timeline_of(html: str) -> list[str]:
    """Return the events of a run's page, without when they were."""
    events = (
        html.split('<section class="timeline"')[1]
        .split("</section>", maxsplit=1)[0]
        .split("<li>")[1:]
    )
    return [
        re.sub(r"^([-\d]+ [:\d]+ \w+ ?|Unknown when): ", "", words(event.split("<details")[0]))
        for event in events
    ]


# The first line.


def make(state: State, **values: Any) -> TaskRun:
    """Return a run that is not saved, on which a worker has begun a minute ago."""
    before = NOON - timedelta(minutes=1)
    started = {"started_at": before, "attempted_at": before, "attempts": 1}
    moments = {"created_at": before, "sent_at": before, "due_at": NOON}
    run = TaskRun(task="report", state=state, queue="default", **{**moments, **started, **values})
    run.is_gone = values.get("held_by") is not None
    return run


ACK = {"acknowledged_at": NOON}
WAITS = {"started_at": None, "attempts": 0}
LATER = NOON + timedelta(seconds=40)
SOON = NOON + timedelta(seconds=16)
TWICE = {"attempts": 2, "failures": 2, "error": "x"}
GONE = {"held_by": "00000000-0000-0000-0000-000000000000"}

HEADLINES: list[tuple[State, dict[str, Any], str]] = [
    (State.PENDING, {**TWICE, "due_at": LATER}, "Failed twice, next try in 40 s"),
    (State.PENDING, TWICE, "Failed twice, next try within seconds"),
    (State.PENDING, {**TWICE, "failures": 1, "due_at": LATER}, "Failed once, next try in 40 s"),
    (State.PENDING, {**TWICE, "failures": 7}, "Failed 7 times, next try within seconds"),
    (State.PENDING, {"error": "x", "due_at": LATER}, "Interrupted, next try in 40 s"),
    (State.PENDING, {"crashes": 1}, "Interrupted, next try within seconds"),
    (State.PENDING, {}, "Between two attempts, next try within seconds"),
    (State.PENDING, {**WAITS, "due_at": LATER}, "Waiting to start in 40 s"),
    (State.PENDING, WAITS, "About to be published"),
    (
        State.PENDING,
        {**TWICE, "due_at": NOON - timedelta(seconds=90)},
        "Failed twice, due for 90 s, and not published yet",
    ),
    (State.PENDING, {"stop_requested_at": NOON}, "Asked to stop: about to be cancelled"),
    (State.QUEUED, WAITS, "Waiting for a worker of the queue default for 60 s"),
    (
        State.QUEUED,
        TWICE,
        "Failed twice, waiting for a worker of the queue default for 60 s",
    ),
    (State.QUEUED, {"stop_requested_at": NOON}, "Asked to stop: about to be cancelled"),
    (State.RUNNING, {}, "Running for 60 s"),
    (State.RUNNING, {"attempts": 2}, "Running for 60 s, attempt 2"),
    (
        State.RUNNING,
        {"attempts": 2, "failures": 1, "attempted_at": NOON - timedelta(seconds=5)},
        "Running for 5 s, attempt 2",
    ),
    (
        State.RUNNING,
        {"stop_requested_at": NOON},
        "Asked to stop: it ends at its next step, or goes to its end if it has none",
    ),
    (
        State.PENDING,
        {**WAITS, "delivery": GONE["held_by"], "due_at": LATER},
        "Not taken by the broker, waiting to start in 40 s",
    ),
    (State.RUNNING, GONE, "Its process is gone: it will be released"),
    (State.SUCCEEDED, {}, "Succeeded in 76 s"),
    (State.SUCCEEDED, {"started_at": None, "attempts": 0}, "Succeeded"),
    (State.SUCCEEDED, {"attempts": 3, "failures": 2}, "Succeeded in 76 s, at the third attempt"),
    (State.SUCCEEDED, {"attempts": 9, "failures": 8}, "Succeeded in 76 s, at attempt 9"),
    (State.SUCCEEDED, {"attempts": 40}, "Succeeded in 76 s, with 40 attempts"),
    (
        State.SUCCEEDED,
        {"has_errors": True, "result": {"errors": ["a", "b"]}},
        "Succeeded in 76 s, with 2 errors, not acknowledged",
    ),
    (State.FAILED, {}, "Failed, not acknowledged: KeyError: 1"),
    (State.FAILED, {"attempts": 4}, "Failed after 4 attempts, not acknowledged: KeyError: 1"),
    (State.FAILED, {"attempts": 4, **ACK}, "Failed after 4 attempts, acknowledged: KeyError: 1"),
    (State.CANCELLED, {"reason": "Stopped by user 5."}, "Cancelled: Stopped by user 5."),
    (State.CANCELLED, {"reason": "Cancelled by user 5."}, "Cancelled by user 5."),
    (State.CANCELLED, {}, "Cancelled"),
    (State.SKIPPED, {"reason": "Missed."}, "Skipped: Missed."),
]


@pytest.mark.parametrize(("state", "values", "expected"), HEADLINES)
def test_first_line_says_how_a_run_is_and_what_comes_next(
    state: State, values: dict[str, Any], expected: str
) -> None:
    ended = {} if state in {State.PENDING, State.QUEUED, State.RUNNING} else {"finished_at": SOON}
    line = headline(make(state, **ended, **values), NOON, error="KeyError: 1")
    assert str(line) == expected
    assert line.at == (LATER if "in 40 s" in expected else None)


def test_lists_get_first_lines_without_a_query_for_each(db: None) -> None:
    new_run(State.RUNNING)
    holder = new_process(silent_for=3600).pk
    new_run(State.RUNNING, held_by=holder)
    new_run(State.RUNNING, held_by=new_process().pk, started_at=NOON)
    now = database_now()
    with CaptureQueriesContext(connection) as queries:
        runs = TaskRun.objects.noting_obstacles().order_by("pk")
        lines = [str(headline(run, now)) for run in runs]
    assert len(queries) == 1
    assert [line.startswith("Its process is gone") for line in lines] == [True, True, False]


# Attempts.


def failed_twice(**values: Any) -> TaskRun:
    """Make a run that failed twice, with its attempts, and is at its third."""
    now = database_now()
    run = new_run(
        **{
            "state": State.SUCCEEDED,
            "attempts": 3,
            "failures": 2,
            "created_at": now - timedelta(seconds=100),
            "started_at": now - timedelta(seconds=90),
            "attempted_at": now - timedelta(seconds=10),
            "finished_at": now,
            "worker": "two, process 2",
            **values,
        }
    )
    for number in (1, 2):
        begun = now - timedelta(seconds=130 - 40 * number)
        Attempt.objects.create(
            run=run,
            number=number,
            worker=f"one, process {number}",
            started_at=begun,
            ended_at=begun + timedelta(seconds=3),
            outcome=Outcome.FAILED,
            error=f"Traceback (most recent call last):\nKeyError: 'try {number}'",
        )
    return run


def test_run_that_failed_twice_and_succeeded_shows_both_errors(boss: Client, db: None) -> None:
    html = html_of(boss, failed_twice())
    assert first_line(html) == "Succeeded in 90 s, at the third attempt"
    assert timeline_of(html) == [
        "created (schedule)",
        "attempt 1 by one, process 1 failed after 3 s",
        "attempt 2 by one, process 2 failed after 3 s",
        "attempt 3 by two, process 2 succeeded after 10 s",
        "succeeded",
    ]
    folded = html.split("<details")[1:3]
    for number, part in enumerate(folded, start=1):
        assert f"Error of attempt {number}" in part
        assert f"KeyError: &#x27;try {number}&#x27;</pre>" in part
        assert " open" not in part.split(">")[0]


def test_whole_error_of_an_attempt_is_one_click_away(boss: Client, db: None) -> None:
    run = failed_twice()
    long = "first line\n" + "x" * 3_000 + "\nKeyError: last line"
    Attempt.objects.filter(number=1).update(error=long)
    html = html_of(boss, run)
    whole = reverse("background:attempt-error", args=[run.pk, 1])
    assert f'href="{whole}"' in html
    assert reverse("background:attempt-error", args=[run.pk, 2]) not in html
    assert "KeyError: last line" in html
    assert "first line" not in html
    assert long in boss.get(whole).content.decode()
    assert boss.get(reverse("background:attempt-error", args=[run.pk, 9])).status_code == 404


@pytest.mark.parametrize(
    ("state", "outcome", "last"),
    [
        (State.RUNNING, Outcome.RELEASED, "attempt 2 by two, process 2 is running"),
        (State.SUCCEEDED, Outcome.RELEASED, "attempt 2 by two, process 2 succeeded"),
        (State.CANCELLED, Outcome.FAILED, "attempt 2 by one, process 1 failed after 3 s"),
        (State.FAILED, Outcome.FAILED, "attempt 2 by one, process 1 failed after 3 s"),
        (State.PENDING, Outcome.CONTINUED, "left the rest to the next one after 3 s"),
        (State.QUEUED, Outcome.RELEASED, "was released after 3 s, as its process was gone"),
    ],
)
def test_latest_attempt_is_told_once(
    boss: Client, db: None, state: State, outcome: Outcome, last: str
) -> None:
    """It has a row if it ended before the run did; a process may return to a released one."""
    ended = None if state in {State.RUNNING, State.PENDING, State.QUEUED} else NOON
    run = new_run(state, attempts=2, worker="two, process 2", finished_at=ended)
    Attempt.objects.create(
        run=run,
        number=2,
        worker="one, process 1",
        started_at=NOON - timedelta(seconds=9),
        ended_at=NOON - timedelta(seconds=6),
        outcome=outcome,
    )
    told = [event for event in timeline_of(html_of(boss, run)) if event.startswith("attempt 2")]
    assert len(told) == 1
    assert last in told[0]


def test_run_that_will_be_tried_again_says_why_and_how_often(boss: Client, db: None) -> None:
    soon = database_now() + timedelta(seconds=40)
    run = failed_twice(
        state=State.PENDING,
        attempts=2,
        finished_at=None,
        due_at=soon,
        error="Traceback\nKeyError: 'name'",
    )
    html = html_of(boss, run)
    assert '<p class="error">KeyError: &#x27;name&#x27;</p>' in html
    assert "If it fails twice more, it is not tried again." in html
    assert "not tried again" not in html_of(boss, failed_twice())
    staff = Client()
    log_in_staff(staff, "view_taskrun")
    assert "KeyError" not in html_of(staff, run)


def test_retry_is_told_after_the_end_and_leads_to_the_new_run(boss: Client, db: None) -> None:
    user = User.objects.get(username="admin")
    run = new_run(State.FAILED, error="KeyError: 1", attempts=1)
    assert run.mark_retried(user, 4711)
    events = timeline_of(html_of(boss, run))
    assert events[-3:] == [
        "failed",
        "acknowledged by admin",
        f"Retried as run 4711 by user {user.pk} (admin).",
    ]
    assert 'href="/admin/tasks/taskrun/4711/change/">run 4711</a>' in html_of(boss, run)
    skipped = new_run(State.SKIPPED, reason="It came too late.")
    assert timeline_of(html_of(boss, skipped))[-1] == "skipped: It came too late."


def test_what_an_operation_left_as_it_was_is_told_in_words(boss: Client, db: None) -> None:
    reasons = [
        {"reason": "It was retried before.", "count": 7, "runs": [5, 6]},
        {"reason": HOSTILE, "count": 1, "runs": [8]},
        "no reason",
    ]
    run = new_run(State.SUCCEEDED, task="runs.retry", result={"done": 1, "reasons": reasons})
    html = html_of(boss, run)
    assert "It was retried before: " in html
    assert 'href="/admin/tasks/taskrun/6/change/">run 6</a> and 5 more.' in html
    assert "<script>alert" not in html
    none = new_run(State.SUCCEEDED, task="runs.retry", result={"done": 1, "reasons": []})
    assert "Left as they were" not in html_of(boss, none)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Waiting for run 7 to end", 'Waiting for <a id="x-0" href="{7}">run 7</a> to end'),
        ("Run 7, run 8", '<a id="x-0" href="{7}">Run 7</a>, <a id="x-1" href="{8}">run 8</a>'),
        ("<b>run 7</b>&", '&lt;b&gt;<a id="x-0" href="{7}">run 7</a>&lt;/b&gt;&amp;'),
        ("overrun 7, run 7x, run -7", "overrun 7, run 7x, run -7"),
        ("run " + "9" * 40, "run " + "9" * 40),
    ],
)
def test_runs_that_a_text_names_are_linked_and_nothing_else(text: str, html: str) -> None:
    pages = {"{7}": "/admin/tasks/taskrun/7/change/", "{8}": "/admin/tasks/taskrun/8/change/"}
    for name, page in pages.items():
        html = html.replace(name, page)
    assert run_links(text, "x") == html


def test_attempts_that_are_not_kept_are_counted(boss: Client, db: None) -> None:
    run = failed_twice(attempts=1_234)
    events = timeline_of(html_of(boss, run))
    assert events[1] == "1,231 attempts are not kept"
    assert events[-2].startswith("attempt 1,234 by two")


def test_attempt_of_a_worker_of_the_version_before_is_told_without_its_start(
    boss: Client, db: None
) -> None:
    """That worker does not write when it started, and leaves what the row had before."""
    run = failed_twice()
    TaskRun.objects.update(attempted_at=run.started_at)
    events = timeline_of(html_of(boss, run))
    assert "attempt 3 by two, process 2 succeeded" in events
    run = new_run(State.FAILED, attempts=3, error="KeyError: 1")
    assert "2 attempts are not kept" in timeline_of(html_of(boss, run))


def test_waiting_run_says_when_it_goes_on(boss: Client, db: None) -> None:
    later = database_now() + timedelta(hours=3)
    html = html_of(
        boss, failed_twice(state=State.PENDING, finished_at=None, due_at=later, error="x")
    )
    assert re.match(
        r"Failed twice, next try in (3|2\.\d) h|Failed twice, next try in 180 min", first_line(html)
    )
    assert f"{later:%Y-%m-%d %H:%M:%S UTC}" in first_line(html)
    assert timeline_of(html)[-2:] == ["now pending", "the next attempt is due"]


# Actions.


def offered(html: str) -> list[str]:
    """Return the buttons of a run's page."""
    return [words(one) for one in re.findall(r'<button class="button".*?</button>', html)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": State.RUNNING, "started_at": NOON}, ["Stop"]),
        ({"state": State.QUEUED}, ["Cancel"]),
        ({"state": State.FAILED}, ["Run again", "Acknowledge"]),
        ({"state": State.FAILED, "acknowledged_at": NOON}, ["Run again"]),
        ({"state": State.SUCCEEDED, "task": TaskName.TODO_PURGE}, ["Run again …"]),
    ],
)
def test_actions_that_a_run_needs_are_beside_its_first_line(
    boss: Client, db: None, values: dict[str, Any], expected: list[str]
) -> None:
    html = html_of(boss, new_run(**values))
    assert offered(html) == expected
    assert html.index('<button class="button"') < html.index("Timeline")


def test_retrying_now_is_offered_to_a_run_that_waits_and_works_for_two_who_press_it(
    boss: Client, db: None
) -> None:
    later = database_now() + timedelta(hours=1)
    run = new_run(
        State.PENDING, attempts=1, failures=1, started_at=NOON, due_at=later, error="KeyError: 1"
    )
    assert offered(html_of(boss, run)) == ["Retry now", "Stop"]
    address = reverse("background:retry-now", args=[run.pk])
    told: list[str] = []
    for _ in range(2):
        response = boss.post(address, {"back": page_of(run)}, follow=True)
        assert response.redirect_chain == [(page_of(run), 302)]
        told += map(str, response.context["messages"])
    assert told == [
        f"Run {run.pk} is tried again as soon as a worker can.",
        f"Run {run.pk} does not wait for another try any more.",
    ]
    assert TaskRun.objects.get().sends == 0, "the relay publishes it, and once"
    assert TaskRun.objects.due().get() == run
    assert "Retry now" not in html_of(boss, run)


def test_undone_run_leads_to_the_run_that_undid_it(boss: Client, db: None) -> None:
    run = new_run(result={"todos_deleted": 1})
    user = User.objects.get()
    swept_by(run, user)
    assert "Undone by" not in html_of(boss, run)
    undoing = operations.undo(run, by=user)
    link = f'Undone by <a id="undone-by" href="{page_of(undoing)}">run {undoing.pk}</a>'
    assert link in html_of(boss, run)
    TaskRun.objects.filter(pk=undoing.pk).update(state=State.SUCCEEDED, finished_at=NOON)
    assert link in html_of(boss, run)


# Result, progress, arguments.


def result_of(html: str) -> str:
    return words(html.split('id="result"')[1].split("</section>", maxsplit=1)[0])


def test_result_is_a_table_in_words(boss: Client, db: None) -> None:
    result = {
        "todos_deleted": 1,
        "users_processed": 1200,
        "errors": [{"user_id": 7, "reason": "locked"}, "no such user"],
    }
    shown = result_of(html_of(boss, new_run(result=result, has_errors=True)))
    assert "Todo swept to the trash 1 " in shown
    assert "People taking part 1,200" in shown
    assert re.search(
        r"Errors (user id: 7, reason: locked|reason: locked, user id: 7) no such", shown
    )


def test_number_that_nobody_counts_is_written_as_it_is(boss: Client, db: None) -> None:
    html = html_of(boss, new_run(task="ping", result={"pid": 26205, "host": "web-1"}))
    assert "pid 26205" in result_of(html)
    assert "26,205" not in html


@pytest.mark.parametrize("result", [5, "text", [1, 2], {}, {"errors": "x"}, {"errors": 3}, True])
def test_result_of_any_form_is_shown(boss: Client, db: None, result: Any) -> None:
    html_of(boss, new_run(result=result))


def test_progress_has_its_rate_and_the_time_left(boss: Client, db: None) -> None:
    begun = database_now() - timedelta(seconds=100)
    run = new_run(
        State.RUNNING,
        started_at=begun,
        held_by=new_process().pk,
        progress={"rows": 50_000, "done": 0.25},
    )
    html = html_of(boss, run)
    assert '<progress max="100" value="25"' in html
    assert re.search(
        r"50,000 todos swept to the trash, (49\d|500) a second, about 5 min left", words(html)
    )


def test_arguments_are_a_table(boss: Client, db: None) -> None:
    arguments = {"args": ["a", 2], "kwargs": {"keep_days": 3}}
    html = html_of(boss, new_run(arguments=arguments))
    shown = words(html.split('id="arguments"')[1].split("</section>")[0])
    assert "Argument 1 a Argument 2 2 keep_days 3" in shown
    html = html_of(boss, new_run(arguments={"args": [], "kwargs": {}}))
    assert "None." in words(html.split('id="arguments"')[1].split("</section>")[0])


def test_who_asked_is_told(boss: Client, db: None) -> None:
    user = User.objects.get()
    run = new_run(trigger=Trigger.ADMIN, requested_by=user, request_id="a-request")
    assert "Admin, by admin. Queue default. Request a-request ." in words(html_of(boss, run))


# Fresh by itself.


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING])
def test_page_of_an_unfinished_run_asks_for_its_part_that_changes(
    boss: Client, db: None, state: State
) -> None:
    run = new_run(state)
    html = html_of(boss, run)
    assert f'hx-get="{reverse("background:run-live", args=[run.pk])}"' in html
    assert "every 2s" in html
    assert "<noscript>" in html
    part = live_part_of(boss, run)
    assert first_line(part)
    assert "<html" not in part
    assert "data-ended" not in part


def test_page_of_a_run_that_has_ended_asks_for_nothing_more(boss: Client, db: None) -> None:
    run = new_run(State.RUNNING)
    assert "Run again" not in live_part_of(boss, run)
    TaskRun.objects.update(state=State.SUCCEEDED, finished_at=NOON)
    part = live_part_of(boss, run)
    assert "data-ended" in part, "the page asks no more"
    assert "Run again" in part, "the actions come with the end"
    assert "hx-get" not in html_of(boss, run)


def test_part_that_changes_leads_to_the_page_without_a_script(boss: Client, db: None) -> None:
    run = new_run(State.RUNNING)
    response = boss.get(reverse("background:run-live", args=[run.pk]))
    assert response.headers["Location"] == page_of(run)
    gone = reverse("background:run-live", args=[run.pk + 1])
    assert boss.get(gone, headers={"HX-Request": "true"}).status_code == 404


# Who may see what.


def secretive() -> TaskRun:
    """Make a run that quotes a person wherever one can."""
    run = failed_twice(
        state=State.FAILED,
        error=f"ValueError: {SECRET}",
        arguments={"args": [SECRET], "kwargs": {SECRET: SECRET}},
        result={"todos_deleted": 4, SECRET: SECRET, "errors": [SECRET]},
        progress={"cursor": SECRET},
    )
    Attempt.objects.update(error=f"ValueError: {SECRET}" + "x" * 2_000)
    return run


def test_who_may_not_see_details_sees_that_there_are_some(client: Client, db: None) -> None:
    staff = log_in_staff(client, "view_taskrun")
    run = secretive()
    whole = reverse("background:attempt-error", args=[run.pk, 1])
    for html in (html_of(client, run), live_part_of(client, run)):
        assert SECRET not in html
        assert first_line(html) == f"Failed after 3 attempts, not acknowledged: {WITHHELD}"
        assert "Todos swept to the trash 4" in words(html), "numbers that the extension names"
        assert html.count("withheld: ") >= 8
        assert whole not in html
    assert client.get(whole).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_taskrun_details"))
    assert SECRET in html_of(client, run)
    assert SECRET in client.get(whole).content.decode()


@pytest.mark.parametrize("name", ["run-live", "attempt-error"])
def test_parts_of_the_page_take_the_permission_to_view_runs(
    client: Client, db: None, name: str
) -> None:
    run = secretive()
    arguments = [run.pk] if name == "run-live" else [run.pk, 1]
    address = reverse(f"background:{name}", args=arguments)
    assert client.get(address).headers["Location"].startswith("/admin/login/")
    log_in_staff(client, "view_schedule", "view_taskrun_details")
    assert client.get(address, headers={"HX-Request": "true"}).status_code == 403
    assert client.get(page_of(run)).status_code == 403


def test_page_of_a_run_that_does_not_exist_answers_as_the_admin_does(
    boss: Client, db: None
) -> None:
    response = boss.get("/admin/tasks/taskrun/12345/change/")
    assert response.headers["Location"] == reverse("admin:index")


def test_hostile_text_is_inert_wherever_it_stands(boss: Client, db: None) -> None:
    run = failed_twice(
        state=State.FAILED,
        task=HOSTILE[:100],
        worker=HOSTILE,
        queue=HOSTILE[:100],
        reason=HOSTILE,
        error=HOSTILE,
        request_id=HOSTILE[:64],
        arguments={"args": [HOSTILE], "kwargs": {HOSTILE: HOSTILE}},
        result={HOSTILE: HOSTILE, "errors": [{HOSTILE: HOSTILE}, HOSTILE]},
        progress={HOSTILE: HOSTILE},
    )
    Attempt.objects.update(error=HOSTILE, worker=HOSTILE)
    addresses = (page_of(run), reverse("background:attempt-error", args=[run.pk, 1]))
    for address in addresses:
        response = boss.get(address)
        html = response.content.decode()
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert Page(html).blocked == []
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_history_is_a_click_away(boss: Client, db: None) -> None:
    run = new_run()
    assert reverse("admin:tasks_taskrun_history", args=[run.pk]) in html_of(boss, run)


# What it costs.


def as_large_as_it_gets(**values: Any) -> TaskRun:
    """Make a run with as many attempts as are kept, and large values everywhere."""
    many = [f"error {number} " + "x" * 2_000 for number in range(5_000)]
    run = failed_twice(
        error="x" * 20_000,
        attempts=5_000,
        arguments={"args": many, "kwargs": dict.fromkeys(many, "x")},
        result={"todos_deleted": 7, "errors": many, **dict.fromkeys(many, 1)},
        progress={"rows": 1, "done": 0.5, "seen": many},
        **values,
    )
    Attempt.objects.bulk_create(
        Attempt(run=run, number=number, outcome=Outcome.FAILED, error="y" * 20_000)
        for number in range(3, MOST_KEPT + 1)
    )
    return run


def test_page_takes_a_dozen_queries_whatever_the_run_holds(client: Client, db: None) -> None:
    names = ("start", "stop", "cancel", "acknowledge", "undo")
    everything = (*(f"{name}_taskrun" for name in names), "view_taskrun_details")
    staff = log_in_staff(client, "view_taskrun", *everything)
    by: dict[str, Any] = {"requested_by": staff, "acknowledged_by": staff}
    by["reason"] = f"Stopped by user {staff.pk}."
    small, large = new_run(**by), as_large_as_it_gets(**by)
    swept_by(large, staff)
    client.get(page_of(small))  # The first time, it also asks what kinds of rows there are.
    costs = []
    for run in (small, large):
        with CaptureQueriesContext(connection) as queries:
            html_of(client, run)
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 12, [query["sql"][:200] for query in queries]


def test_page_of_a_large_run_stays_small(boss: Client, db: None) -> None:
    run = as_large_as_it_gets()
    for html in (html_of(boss, run), live_part_of(boss, run)):
        assert len(html) < 500_000
        assert html.count("<details") <= MOST_KEPT + 1
        assert "And 4,900 more." in html
        assert "more characters" in html
    assert MAX_EXCERPT_CHARACTERS * MOST_KEPT + 2 * MAX_ROWS * MAX_VALUE_CHARACTERS < 200_000


def test_run_whose_process_is_silent_says_so(boss: Client, db: None) -> None:
    silent = new_process(silent_for=3600)
    run = new_run(State.RUNNING, held_by=silent.pk, started_at=NOON)
    expected = "Its process is gone: it will be released"
    assert first_line(html_of(boss, run)) == expected
    Process.objects.update(seen_at=database_now())
    assert first_line(html_of(boss, run)).startswith("Running for")


TONES: list[tuple[Callable[[], TaskRun], str]] = [
    (new_run, "well"),
    (lambda: new_run(has_errors=True), "problems"),
    (lambda: new_run(State.FAILED), "problems"),
    (lambda: new_run(State.FAILED, acknowledged_at=NOON), "unknown"),
    (lambda: new_run(State.PENDING, error="x"), "unknown"),
    (lambda: new_run(State.QUEUED), ""),
]


@pytest.mark.parametrize(("made", "tone"), TONES)
def test_colour_says_whether_somebody_must_act(
    boss: Client, db: None, made: Callable[[], TaskRun], tone: str
) -> None:
    assert boss.get(page_of(made())).context["tone"] == tone


@pytest.mark.parametrize("half", ["\ud800", "a\udfff"])
def test_half_a_character_that_json_holds_is_shown_escaped(half: str) -> None:
    """As SQLite stores it, of a message that somebody sent by hand."""
    run = TaskRun(task="report", arguments={"args": [half], "kwargs": {half: [half]}})
    rows = argument_rows(run, with_details=True)
    texts = [part for row in rows for part in (row.title, row.text)]
    assert "".join(texts).encode()
    assert sum(half.encode("utf-8", "backslashreplace").decode() in text for text in texts) == 3
