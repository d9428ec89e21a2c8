"""The admin of background work."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from time_machine import travel

from accounts.models import User
from tasks.engine.models import Process, ProcessKind, Schedule, State, TaskRun
from tasks.names import TaskName
from tests.admin_pages import Page, log_in_staff
from tests.factories import new_process, new_runs

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULES = "/admin/tasks/schedule/"
RUNS = "/admin/tasks/taskrun/"
PROCESSES = "/admin/tasks/process/"

HOSTILE = "<script>alert(1)</script>\"'></a></pre>{{ 7 }}"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


@pytest.fixture
def nightly(db: None) -> Schedule:
    return Schedule.objects.create(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *")


def make(count: int = 1, **fields: Any) -> list[TaskRun]:
    moments = dict.fromkeys(("created_at", "due_at", "finished_at"), NOON)
    return new_runs(count, **{**moments, **fields})


def change(row: Model) -> str:
    """Return the address of a row's page."""
    return reverse(f"admin:tasks_{row._meta.model_name}_change", args=[row.pk])


def rows(client: Client, address: str) -> list[list[str]]:
    """Return the cells of a list's rows."""
    response = client.get(address)
    assert response.status_code == 200
    return Page(response.content.decode()).rows[1:]


def delete(row: Model) -> str:
    """Return the address of the question whether to delete a row."""
    return reverse(f"admin:tasks_{row._meta.model_name}_delete", args=[row.pk])


def form(**fields: str) -> dict[str, str]:
    """Return what a browser sends for the nightly schedule's form, with other values."""
    shown = {
        "crontab": "0 2 * * *",
        "every": "",
        "timezone": "",
        "arguments": "",
        "once_at": "",
        "jitter_seconds": "0",
        "overlap": "skip",
        "catch_up_seconds": "86400",
    }
    return {**shown, **fields}


# Schedules.


@travel(NOON, tick=False)
def test_schedules_are_listed_with_their_times_in_words(boss: Client, nightly: Schedule) -> None:
    ping = Schedule.objects.create(task=TaskName.PING, every=60)
    ping.pause(by=User.objects.get(), note="The mast is down")
    Schedule.objects.filter(pk=ping.pk).update(paused_at=NOON)
    Schedule.objects.filter(pk=nightly.pk).update(timezone="Europe/Berlin", last_slot=NOON)
    Schedule.objects.create(task=TaskName.TODO_CLEANUP, name="at noon", every=7200)
    paused = "paused since 2026-03-01 12:00:00 UTC by admin: The mast is down"
    assert rows(boss, SCHEDULES) == [
        ["ping", "-", "Every 60 seconds", paused, "-", "-"],
        [
            *("todo.cleanup", "-", "At 02:00 every day (Europe/Berlin)", "active"),
            *("2026-03-01 12:00:00 UTC", "2026-03-02 01:00:00 UTC"),
        ],
        [
            *("todo.cleanup", "at noon", "Every 7,200 seconds", "active"),
            *("-", "2026-03-01 14:00:00 UTC"),
        ],
    ]


@pytest.mark.parametrize(
    ("address", "make_more"),
    [
        (SCHEDULES, lambda: Schedule.objects.create(task=str(uuid4()), every=60)),
        (PROCESSES, lambda: new_process(host="a")),
    ],
)
def test_list_asks_as_many_questions_for_thirty_rows_as_for_three(
    boss: Client, address: str, make_more: Any
) -> None:
    asked = []
    for count in (3, 27):
        for _ in range(count):
            make_more()
        with CaptureQueriesContext(connection) as queries:
            shown = rows(boss, address)
        asked.append(len(queries))
    assert len(shown) == 30
    assert asked[0] == asked[1] <= 4, "session, user, one count, one page"


@travel(datetime(2026, 3, 28, 12, tzinfo=UTC), tick=False)
def test_schedules_page_shows_the_next_five_times_by_the_readers_clock(
    boss: Client, nightly: Schedule
) -> None:
    User.objects.update(time_zone="Europe/Berlin")
    Schedule.objects.filter(pk=nightly.pk).update(timezone="Europe/Berlin")
    page = boss.get(change(nightly)).content.decode()
    assert "At 02:00 every day (Europe/Berlin)" in page
    assert re.findall(r"<div><time [^>]+>([^<]+)</time></div>", page) == [
        "2026-03-29 03:00:00 CEST",
        "2026-03-30 02:00:00 CEST",
        "2026-03-31 02:00:00 CEST",
        "2026-04-01 02:00:00 CEST",
        "2026-04-02 02:00:00 CEST",
    ]


def test_schedule_can_be_changed_and_begins_anew(boss: Client, nightly: Schedule) -> None:
    before = nightly.effective_since
    new = form(crontab="", every="300", timezone="Asia/Tokyo", catch_up_seconds="60")

    page = boss.post(change(nightly), new, follow=True).content.decode()

    assert "was changed successfully" in page
    nightly.refresh_from_db()
    assert (nightly.crontab, nightly.every, nightly.timezone) == ("", 300, "Asia/Tokyo")
    assert (nightly.enabled, nightly.catch_up_seconds) == (True, 60)
    assert nightly.effective_since > before
    assert LogEntry.objects.get().object_repr == "todo.cleanup"


def test_saving_a_form_changes_neither_the_task_nor_what_the_scheduler_wrote(
    boss: Client, nightly: Schedule
) -> None:
    Schedule.objects.update(last_slot=NOON)
    more = {"task": "ping", "last_slot_0": "2020-01-01", "effective_since_0": "2020-01-01"}
    boss.post(change(nightly), form(catch_up_seconds="5", **more))
    effective_since = nightly.effective_since
    nightly.refresh_from_db()
    assert (nightly.task, nightly.last_slot) == (TaskName.TODO_CLEANUP, NOON)
    assert (nightly.effective_since, nightly.catch_up_seconds) == (effective_since, 5)


def opened(client: Client, schedule: Schedule) -> dict[str, str]:
    """Return what a browser would send back if the page of a schedule were saved as it came."""
    html = client.get(change(schedule)).content.decode()
    sent = {}
    for tag in re.findall(r"<input [^>]+>", html):
        given = dict(re.findall(r'([-\w]+)="([^"]*)"', tag))
        box = given.get("type") == "checkbox"
        if "name" in given and (not box or re.search(r"\schecked\b", tag)):
            sent[given["name"]] = given.get("value", "on" if box else "")
    for name, text in re.findall(r'<textarea name="([^"]+)"[^>]*>\n([^<]*)</textarea>', html):
        sent[name] = unescape(text)
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', html, re.DOTALL):
        sent[name] = re.findall(r'value="([^"]*)" selected', options)[0]
    return {name: unescape(value) for name, value in sent.items()}


def test_form_opened_before_a_pause_does_not_resume_the_schedule(
    boss: Client, nightly: Schedule
) -> None:
    sent = opened(boss, nightly)
    nightly.pause(by=None)

    boss.post(change(nightly), {**sent, "catch_up_seconds": "60"})

    nightly.refresh_from_db()
    assert (nightly.enabled, nightly.catch_up_seconds) == (False, 60)
    assert LogEntry.objects.get().get_change_message() == "Changed Catch up (seconds)."


def test_form_says_that_it_is_not_saved_only_where_it_was_changed(
    boss: Client, nightly: Schedule
) -> None:
    def coming(**fields: str) -> str:
        address = f"{reverse('background:coming-times')}?task={nightly.task}"
        return boss.post(address, form(**fields)).content.decode()

    assert "At 02:00 every day (UTC)." in coming()
    assert "Not saved yet" not in coming()
    for changed in ({"crontab": "0 3 * * *"}, {"arguments": '{"keep_days": 3}'}):
        assert "Not saved yet" in coming(**changed)


def test_paused_schedule_says_that_it_runs_at_none_of_its_times(
    boss: Client, nightly: Schedule
) -> None:
    address = f"{reverse('background:coming-times')}?task={nightly.task}"
    assert "It would run next at" in boss.post(address, form()).content.decode()
    nightly.pause(by=None)
    nightly.save()
    assert "none while it is paused" in boss.get(change(nightly)).content.decode()
    told = boss.post(address, form()).content.decode()
    assert "It is paused, and runs at none of them until it is resumed. If that is now" in told


def test_name_that_another_schedule_has_is_refused_before_it_is_saved(
    boss: Client, nightly: Schedule
) -> None:
    sent = form(task=nightly.task, name="", catch_up_seconds="60")
    told = boss.post(reverse("background:coming-times"), sent).content.decode()
    assert "This task has a schedule of this name already" in told
    other = boss.post(reverse("background:coming-times"), {**sent, "name": "other"})
    assert "This task has a schedule" not in other.content.decode()


def test_console_is_a_click_away_from_a_schedule_and_from_the_list_of_tables(
    client: Client, nightly: Schedule
) -> None:
    console = f'href="{reverse("background:overview")}"'
    staff = log_in_staff(client, "view_schedule")
    for address in (change(nightly), "/admin/tasks/"):
        assert console not in client.get(address).content.decode()
    staff.user_permissions.add(Permission.objects.get(codename="view_taskrun"))
    for address in (change(nightly), "/admin/tasks/"):
        assert console in client.get(address).content.decode()


def test_form_opened_before_new_times_does_not_bring_the_old_ones_back(
    boss: Client, nightly: Schedule
) -> None:
    sent = opened(boss, nightly)
    Schedule.objects.update(crontab="", every=300, timezone="Asia/Tokyo")
    nightly.refresh_from_db()
    nightly.pause(by=None)

    boss.post(change(nightly), sent)

    nightly.refresh_from_db()
    assert (nightly.crontab, nightly.every, nightly.timezone) == ("", 300, "Asia/Tokyo")
    assert not nightly.is_active


def test_change_that_crosses_another_is_refused_and_says_so(
    boss: Client, nightly: Schedule
) -> None:
    sent = opened(boss, nightly)
    Schedule.objects.update(crontab="0 4 * * *")

    crossed = {**sent, "crontab": "0 3 * * *"}
    for _ in range(2):  # Sending it again does not help.
        response = boss.post(change(nightly), crossed)
        assert response.status_code == 200
        errors = response.context["adminform"].form.errors
        assert errors == {
            "crontab": ["Somebody else has changed this: it is now 0 4 * * *. Reload the page."]
        }
    nightly.refresh_from_db()
    assert nightly.crontab == "0 4 * * *"

    assert boss.post(change(nightly), {**sent, "crontab": "0 4 * * *"}).status_code == 302
    fresh = opened(boss, nightly)
    assert boss.post(change(nightly), {**fresh, "crontab": "0 3 * * *"}).status_code == 302
    nightly.refresh_from_db()
    assert nightly.crontab == "0 3 * * *"


def test_form_opened_during_a_pause_does_not_pause_the_schedule_again(
    boss: Client, nightly: Schedule
) -> None:
    nightly.pause(by=None)
    sent = opened(boss, nightly)
    nightly.resume()

    boss.post(change(nightly), {**sent, "timezone": "Europe/Berlin"})

    nightly.refresh_from_db()
    assert (nightly.is_active, nightly.timezone) == (True, "Europe/Berlin")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"crontab": "0 25 * * *"}, "'25' is not a valid hour in a crontab."),
        ({"crontab": "0 2 * *"}, "this one has 4"),
        ({"crontab": "0 2 30 2 *"}, "never occurs"),
        ({"crontab": HOSTILE}, "A crontab has five fields"),
        ({"crontab": "0 2 * * <b>"}, "'&lt;b&gt;' is not a valid day of the week"),
        ({"timezone": "Europe/Berlino"}, "is not a time zone such as Europe/Berlin."),
        ({"timezone": "../../etc/passwd"}, "is not a time zone such as Europe/Berlin."),
        ({"timezone": HOSTILE}, "is not a time zone such as Europe/Berlin."),
        ({"timezone": "localtime"}, "this may differ from host to host."),
        ({"every": "60"}, "one of the three"),
        ({"crontab": " "}, "one of the three"),
        ({"crontab": "", "every": "0"}, "The interval must be from 1"),
        ({"crontab": "", "every": "604801"}, "The interval must be from 1 to 604,800 seconds."),
        ({"crontab": "", "every": "99999999999999999999"}, "less than or equal to"),
        ({"catch_up_seconds": "-1"}, "greater than or equal to 0"),
        ({"catch_up_seconds": ""}, "This field is required."),
        ({"crontab": "0 2 * * *\x00"}, "Null characters are not allowed."),
    ],
)
def test_times_that_make_no_sense_are_an_error_of_the_form_told_once(
    boss: Client, nightly: Schedule, fields: dict[str, str], complaint: str
) -> None:
    response = boss.post(change(nightly), form(**fields))
    assert response.status_code == 200
    html = response.content.decode().replace("&#x27;", "'")
    by_field = response.context["adminform"].form.errors
    errors = [error for errors_of_field in by_field.values() for error in errors_of_field]
    assert errors
    assert len(errors) == len(set(errors))
    assert complaint in html
    assert "<script>alert" not in html
    nightly.refresh_from_db()
    assert (nightly.crontab, nightly.timezone, nightly.catch_up_seconds) == ("0 2 * * *", "", 86400)


def test_schedule_whose_times_make_no_sense_can_be_seen_and_put_right(
    boss: Client, nightly: Schedule
) -> None:
    Schedule.objects.update(timezone="Nowhere/Atall")
    ((*_, in_words, _, _, next_start),) = rows(boss, SCHEDULES)
    assert in_words.startswith("Cannot be used: 'Nowhere/Atall' is not a time zone")
    assert next_start == "-"
    assert "Cannot be used:" in boss.get(change(nightly)).content.decode()
    boss.post(change(nightly), form(timezone="Europe/Berlin"))
    nightly.refresh_from_db()
    assert nightly.timezone == "Europe/Berlin"


def test_schedule_of_a_task_is_added_beside_the_one_it_has(boss: Client, nightly: Schedule) -> None:
    new = form(task="todo.cleanup", name="at noon", crontab="0 12 * * *")
    page = boss.post(f"{SCHEDULES}add/", {**new, "arguments": '{"keep_days": 3}'}, follow=True)
    assert "was added successfully" in page.content.decode()
    added = Schedule.objects.get(name="at noon")
    assert (added.task, added.arguments) == (TaskName.TODO_CLEANUP, {"keep_days": 3})
    assert added.is_active
    # It is hidden from the schedulers of the version before.
    assert not added.enabled
    nightly.refresh_from_db()
    assert nightly.enabled


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "This task has a schedule of this name already"),
        ({"task": "todo.vanish", "name": "x"}, "todo.vanish is not one of the available choices."),
        ({"name": "x", "arguments": '{"keep_days": -1}'}, "keep_days"),
        ({"name": "x", "arguments": '{"no_such": 1}'}, "unexpected keyword argument"),
        ({"name": "x", "arguments": "[1]"}, "Give a JSON object, such as"),
        ({"name": "x", "arguments": "{"}, "Enter a valid JSON."),
        ({"name": "x", "arguments": '{"keep_days": NaN}'}, "This cannot be written as JSON."),
        ({"name": "x", "arguments": '{"keep_days": 1e999}'}, "This cannot be written as JSON."),
        ({"name": "x", "arguments": '{"keep_days": "\\u0000"}'}, "This has a NUL character"),
        ({"name": "x", "arguments": '{"keep_days": "\\ud800"}'}, "half of a character"),
        ({"name": "x", "arguments": "[" * 100_000}, "This is not JSON"),
        ({"name": "x", "arguments": f'{{"a": {"9" * 5_000}}}'}, "This is not JSON"),
        ({"name": "x", "crontab": "", "once_at": "2020-01-01T00:00"}, "This moment has passed."),
        ({"name": "x", "once_at": "2030-01-01T00:00"}, "one of the three"),
        ({"name": "x", "crontab": "", "once_at": "soon"}, "Enter a valid date/time."),
        ({"name": "x", "jitter_seconds": "3601"}, "less than or equal to 3600"),
        ({"name": "x\nAll well."}, "Give it in one line"),
        ({"name": "x\u202ey"}, "Give it in one line"),
        ({"name": "x", "crontab": "", "once_at": "9999-12-31T23:59"}, "more than ten years"),
        ({"name": "x" * 101}, "at most 100 characters"),
    ],
)
def test_schedule_that_makes_no_sense_is_not_added_and_says_why(
    boss: Client, nightly: Schedule, fields: dict[str, str], complaint: str
) -> None:
    response = boss.post(f"{SCHEDULES}add/", form(**{"task": "todo.cleanup", **fields}))
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    told = [error for found in errors.values() for error in found]
    assert complaint in " ".join(told)
    assert len(told) == 1
    assert Schedule.objects.count() == 1


def test_nothing_extended_is_saved_while_a_scheduler_of_the_version_before_is_alive(
    boss: Client, nightly: Schedule
) -> None:
    old = new_process(ProcessKind.SCHEDULER, knows_extended=False)
    refused = boss.post(change(nightly), form(arguments='{"keep_days": 3}')).content.decode()
    assert "A scheduler of an earlier version is still running" in refused
    assert boss.post(change(nightly), form(timezone="Europe/Berlin")).status_code == 302
    old.delete()
    assert boss.post(change(nightly), form(arguments='{"keep_days": 3}')).status_code == 302
    nightly.refresh_from_db()
    assert (nightly.arguments, nightly.enabled, nightly.is_active) == (
        *({"keep_days": 3}, False, True),
    )


def test_arguments_are_changed_by_those_who_may_start_the_task_alone(
    client: Client, nightly: Schedule
) -> None:
    nightly.task, nightly.arguments = "todo.purge", {"days": 321}
    nightly.save()
    Schedule.objects.update(task="todo.purge")
    staff = log_in_staff(client, "view_schedule", "change_schedule")
    new = form(arguments='{"days": 0}', timezone="Europe/Berlin")

    for shown, rights in (("withheld", ()), ("321", ("view_taskrun_details",))):
        staff.user_permissions.add(*Permission.objects.filter(codename__in=rights))
        page = client.get(change(nightly)).content.decode()
        assert shown in page
        assert ("321" in page) == (shown == "321")
        assert client.post(change(nightly), new).status_code == 302
        nightly.refresh_from_db()
        assert (nightly.arguments, nightly.timezone) == ({"days": 321}, "Europe/Berlin")

    staff.user_permissions.add(Permission.objects.get(codename="purge_trashedtodo"))
    assert client.post(change(nightly), new).status_code == 302
    nightly.refresh_from_db()
    assert nightly.arguments == {"days": 0}


def test_who_adds_a_schedule_chooses_among_the_tasks_that_they_may_start(
    client: Client, db: None
) -> None:
    log_in_staff(client, "view_schedule", "add_schedule", "start_taskrun")
    page = client.get(f"{SCHEDULES}add/").content.decode()
    assert '<option value="todo.cleanup">' in page
    assert '<option value="todo.purge">' not in page
    refused = client.post(f"{SCHEDULES}add/", form(task="todo.purge", name="x"))
    assert refused.status_code == 200
    assert not Schedule.objects.exists()


def test_schedules_are_added_and_deleted_by_those_who_may(
    client: Client, nightly: Schedule
) -> None:
    log_in_staff(client, "view_schedule", "change_schedule")
    assert client.get(f"{SCHEDULES}add/").status_code == 403
    assert client.post(f"{SCHEDULES}add/", form()).status_code == 403
    own = Schedule.objects.create(task=TaskName.TODO_CLEANUP, name="own", every=60)
    assert client.post(delete(own), {"post": "yes"}).status_code == 403
    assert Schedule.objects.count() == 2


def test_schedule_that_the_code_asks_for_is_not_deleted(boss: Client, nightly: Schedule) -> None:
    own = Schedule.objects.create(task=TaskName.TODO_CLEANUP, name="own", every=60)
    assert boss.post(delete(nightly), {"post": "yes"}).status_code == 403
    assert boss.post(delete(own), {"post": "yes"}).status_code == 302
    assert Schedule.objects.get() == nightly


def test_staff_who_may_only_look_cannot_change_a_schedule(
    client: Client, nightly: Schedule
) -> None:
    log_in_staff(client, "view_schedule")
    page = client.get(change(nightly)).content.decode()
    assert "At 02:00 every day" in page
    assert 'name="crontab"' not in page
    assert client.post(change(nightly), form(crontab="0 3 * * *")).status_code == 403


@pytest.mark.parametrize("address", [SCHEDULES, RUNS, PROCESSES])
def test_staff_without_the_permission_do_not_see_the_list(
    client: Client, db: None, address: str
) -> None:
    log_in_staff(client, "view_user")
    assert client.get(address).status_code == 403


# Runs.


def test_page_of_a_run_tells_everything(boss: Client, alice: User) -> None:
    (run,) = make(
        requested_by=alice,
        trigger="admin",
        reason="because",
        arguments={"kwargs": {"keep_days": 3}},
        result={"todos_deleted": 4},
        progress={"cursor": 5},
        worker="host-7, process 12",
        started_at=NOON - timedelta(seconds=83),
        error="Traceback\n  line 1",
    )
    page = boss.get(change(run)).content.decode()
    for expected in (
        *("alice", "because", "&quot;keep_days&quot;: 3", "&quot;todos_deleted&quot;: 4"),
        *("&quot;cursor&quot;: 5", "host-7, process 12", str(run.message_id), "Succeeded in 83 s"),
        ">Traceback\n  line 1</pre>",
    ):
        assert expected in page
    titles = {row.title.lower() for row in boss.get(change(run)).context["fields"]}
    assert titles == {field.verbose_name.lower() for field in TaskRun._meta.concrete_fields}


def test_hostile_contents_of_a_run_are_shown_as_text(boss: Client) -> None:
    values: dict[str, Any] = dict.fromkeys(("error", "reason", "queue"), HOSTILE)
    for name in ("arguments", "progress", "result"):
        values[name] = {HOSTILE: HOSTILE}
    (run,) = make(state=State.FAILED, task=HOSTILE, **values)
    for address in (RUNS, change(run), reverse("admin:tasks_taskrun_history", args=[run.pk])):
        response = boss.get(address)
        html = response.content.decode()
        assert response.status_code == 200
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert not Page(html).blocked


@pytest.mark.parametrize("model", ["taskrun", "process"])
def test_runs_and_processes_cannot_be_changed_even_by_those_who_may_do_everything(
    boss: Client, model: str
) -> None:
    (run,) = make()
    process = new_process(host="a")
    row: TaskRun | Process = run if model == "taskrun" else process
    rows_of = TaskRun.objects if model == "taskrun" else Process.objects
    before = list(rows_of.values())
    page = boss.get(change(row)).content.decode()
    contents = page[page.index('id="content-main"') :]
    sent = set(re.findall(r'<(?:input|select|textarea) [^>]*name="(\w+)"', contents))
    assert sent <= {"csrfmiddlewaretoken", "back"}
    assert boss.post(change(row), {"task": "x", "host": "x"}).status_code == 403
    assert boss.get(f"/admin/tasks/{model}/add/").status_code == 403
    delete = reverse(f"admin:tasks_{model}_delete", args=[row.pk])
    assert boss.post(delete, {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    boss.post(f"/admin/tasks/{model}/", data, follow=True)
    assert list(rows_of.values()) == before


def test_person_who_asked_for_a_run_can_be_deleted(boss: Client, alice: User) -> None:
    (run,) = make(requested_by=alice)
    boss.post(reverse("admin:accounts_user_delete", args=[alice.pk]), {"post": "yes"})
    run.refresh_from_db()
    assert run.requested_by is None


# Processes.


def test_processes_are_listed(boss: Client) -> None:
    new_process(
        host="web-1",
        pid=7,
        queues=["default"],
        started_at=NOON,
        seen_at=NOON,
    )
    assert rows(boss, PROCESSES) == [
        [
            *("Worker", "web-1", "7", "default"),
            *("2026-03-01 12:00:00 UTC", "2026-03-01 12:00:00 UTC"),
        ]
    ]


@pytest.mark.parametrize("address", [SCHEDULES, RUNS, PROCESSES])
def test_pages_work_under_the_content_security_policy(
    boss: Client, nightly: Schedule, address: str
) -> None:
    make(error="Traceback")
    new_process(host="a")
    tables = {SCHEDULES: Schedule.objects, RUNS: TaskRun.objects, PROCESSES: Process.objects}
    for page in (address, change(tables[address].get())):
        response = boss.get(page)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert Page(response.content.decode()).blocked == []


@pytest.mark.parametrize("address", [SCHEDULES, RUNS, PROCESSES])
def test_moments_are_written_in_one_format(boss: Client, nightly: Schedule, address: str) -> None:
    Schedule.objects.update(last_slot=NOON, effective_since=NOON)
    moments = ("scheduled_for", "started_at", "sent_at", "progressed_at", "acknowledged_at")
    make(1, **dict.fromkeys(moments, NOON))
    new_process(started_at=NOON, seen_at=NOON)
    tables = {SCHEDULES: Schedule.objects, RUNS: TaskRun.objects, PROCESSES: Process.objects}
    for page in (address, change(tables[address].get())):
        html = boss.get(page).content.decode()
        assert ">2026-03-01 12:00:00 UTC</time>" in html
        assert "noon" not in html
        assert "tasks/console.js" in html


@pytest.mark.parametrize("address", [SCHEDULES, RUNS, PROCESSES, "/admin/background/"])
def test_moments_are_shown_by_the_readers_clock_with_the_sites_as_a_hint(
    boss: Client, nightly: Schedule, address: str
) -> None:
    User.objects.update(time_zone="Asia/Kolkata")
    Schedule.objects.update(last_slot=NOON)
    make(1)
    new_process(started_at=NOON)
    html = boss.get(address).content.decode()
    of_site, of_reader = "2026-03-01 12:00:00 UTC", "2026-03-01 17:30:00 IST"
    assert f'title="The site\'s time: {of_site}">{of_reader}</time>' in html
