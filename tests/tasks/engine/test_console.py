"""The operator's console: what it says, who may do what, and that it always comes."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from html import unescape
from operator import attrgetter
from time import time
from typing import Any, override
from unittest.mock import Mock

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import OperationalError, connection
from django.db.models import F, Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from dramatiq import Message
from dramatiq.broker import get_broker

from accounts.models import User
from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.console import overview
from tasks.engine.console.charts import DailyChart
from tasks.engine.extension import TaskExtension, check_extensions
from tasks.engine.models import ProcessKind, Schedule, State, TaskRun, Trigger
from tasks.engine.models.process import liveness
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import gather
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import WITHHELD, permission_to_start
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.names import TaskName
from tests.admin_pages import Page, log_in_staff
from tests.dead_letters import bury
from tests.factories import new_process, new_run, swept_by
from todos.models import Todo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

PAGE = "/admin/background/"
LETTERS = "/admin/background/dead-letters/"
HOSTILE = "<script>alert(1)</script>\"'></pre>\u202e\x1b[31m{{ 7 }}" + "x" * 5_000
SECRET = "buy a ring"
ALL_RIGHTS = (
    *("start_taskrun", "cancel_taskrun", "stop_taskrun", "undo_taskrun", "change_schedule"),
    *("acknowledge_taskrun", "retry_deadletter", "discard_deadletter", "purge_trashedtodo"),
)


@pytest.fixture
def boss(transactional_db: None, client: Client) -> Client:
    """A client that may do everything."""
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def well(transactional_db: None) -> None:
    """All is well: a scheduler and a worker are there, and every schedule has just begun."""
    add_missing_schedules()
    new_process(ProcessKind.SCHEDULER, host="one", pid=1)
    new_process(host="two", pid=2, queues=["default", "operators"])


def text(client: Client, address: str = PAGE) -> str:
    """Return a page's words, without its tags."""
    response = client.get(address)
    assert response.status_code == 200
    html = re.sub(r"<(script|style).*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def answer(client: Client, name: str, *arguments: int, **data: object) -> str:
    """Press a button; return the messages of the page that comes then."""
    address = reverse(f"background:{name}", args=arguments)
    response = client.post(address, data, follow=True)
    assert response.status_code == 200
    return " ".join(map(str, response.context["messages"]))


def page_of(run: TaskRun) -> str:
    return reverse("admin:tasks_taskrun_change", args=[run.pk])


def actions_on(client: Client, run: TaskRun) -> list[str]:
    """Return what the page of a run offers to do about it."""
    html = client.get(page_of(run)).content.decode()
    buttons = html.split('<div class="console-actions">')[1].split("</section>")[0]
    return [
        " ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in re.split(r"</form>|</a>", buttons)
    ]


def press(client: Client, name: str, *arguments: int, **data: object) -> str:
    """Press a button; return the words of the page that asks whether to go on."""
    response = client.post(reverse(f"background:{name}", args=arguments), data)
    assert response.status_code == 200
    html = response.content.decode()
    assert Page(html).blocked == []
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html.split("<main")[1])).split())


def hidden(client: Client, name: str, *arguments: int, **data: object) -> dict[str, object]:
    """Press a button; return what the page that asks whether to go on would post."""
    response = client.post(reverse(f"background:{name}", args=arguments), data)
    question = response.context["question"]
    assert question.yes
    return {**dict(question.fields), "confirmed": "1"}


def logged() -> list[tuple[str, str]]:
    return list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message"))


# The first page.


def test_front_page_of_the_admin_leads_here(boss: Client) -> None:
    assert f'href="{PAGE}"' in boss.get("/admin/").content.decode()


def test_all_is_well_is_the_first_thing_it_says(boss: Client, well: None) -> None:
    page = text(boss)
    assert "All well." in page
    assert page.index("All well.") < page.index("Schedules Task Recurrence")
    assert "todo.cleanup At 02:00 every day (UTC) none never" in page
    assert "worker two 2 default" in page


def test_trouble_is_told_with_the_reasons_that_the_command_gives(boss: Client) -> None:
    add_missing_schedules()
    page = text(boss)
    expected = list(problems(gather()))
    assert expected
    assert "Needs attention: " + " ".join(expected) in page
    assert "All well" not in page


def test_page_says_what_the_last_cleanup_removed(boss: Client, well: None) -> None:
    run = new_run(result={"users_processed": 7, "todos_deleted": 1234, "errors": []})
    page = boss.get(PAGE).content.decode()
    assert "1,234 todos swept to the trash, 7 people taking part" in page
    assert reverse("admin:tasks_taskrun_change", args=[run.pk]) in page


def test_run_in_hand_shows_how_far_it_has_come(boss: Client, well: None) -> None:
    run = new_run(
        State.RUNNING,
        started_at=timezone.now() - timedelta(seconds=100),
        progress={"rows": 50_000, "done": 0.25},
        worker="two, process 2",
        held_by=new_process().pk,
        attempts=1,
    )
    page = text(boss)
    assert re.search(
        rf"{run.pk} todo\.cleanup Running for 100 s .* two, process 2 25 % 25 %, "
        r"50,000 todos swept to the trash, (49\d|500) a second, about 5 min left",
        page,
    )


def test_progress_of_a_task_that_names_no_counts_is_a_part_alone(boss: Client, well: None) -> None:
    new_run(
        State.RUNNING,
        task="ping",
        started_at=timezone.now() - timedelta(seconds=100),
        progress={"rows": 77_177, "done": 0.25},
    )
    page = text(boss)
    assert "25 % 25 %, about 5 min left" in page
    assert "77,177" not in page


class Broken(TaskExtension):
    """An extension with a fault in whatever the console asks of it by itself."""

    charts = (
        DailyChart(title="?", runs=Q(no_such_field=1), value=F("pk"), longest="?", nothing="?"),
    )

    @override
    def summary(self, numbers: Mapping[str, int]) -> str:
        return f"{1 // numbers['todos_deleted']}"

    @override
    def undo_message(self, run: TaskRun) -> Message[Any]:
        raise LookupError("no undo today")


def test_summary_that_is_no_text_is_no_crash(
    boss: Client, well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension = TaskExtension()
    monkeypatch.setattr(extension, "summary", lambda _: 5)
    actor = get_broker().get_actor(TaskName.TODO_CLEANUP)
    monkeypatch.setitem(actor.options, "extension", extension)
    new_run(State.RUNNING, started_at=timezone.now(), progress={"rows": 3, "done": 0.5})
    assert "50 % 50 %, 5" in text(boss)


def test_extension_that_fails_takes_no_page_with_it(
    boss: Client, well: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = new_run(result={"todos_deleted": 0})
    actor = get_broker().get_actor(TaskName.TODO_CLEANUP)
    monkeypatch.setitem(actor.options, "extension", Broken())
    page = text(boss)
    assert "Could not be read: the charts: Cannot resolve keyword 'no_such_field'" in page
    failed = "no summary: the extension of todo.cleanup raised ZeroDivisionError"
    assert failed in page
    assert failed in text(boss, "/admin/tasks/taskrun/")
    assert failed in text(boss, page_of(run))
    assert "Undo" not in text(boss, page_of(run))
    assert {"part of the console failed", "extension failed"} <= {
        event["event"] for event in map(attrgetter("msg"), caplog.records) if "event" in event
    }


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (Broken, "is not an instance of TaskExtension"),
        (None, "extension=None is not an instance"),
        (type("E", (TaskExtension,), {"counts": None})(), "counts must be a mapping, not None"),
        (type("E", (TaskExtension,), {"counts": {"k": "people"}})(), "a singular and a plural"),
        (type("E", (TaskExtension,), {"counts": {"k": ("a", 1)}})(), "a singular and a plural"),
    ],
)
def test_extension_that_is_none_is_named_by_a_check(
    monkeypatch: pytest.MonkeyPatch, extension: object, words: str
) -> None:
    actor = get_broker().get_actor(TaskName.TODO_CLEANUP)
    monkeypatch.setitem(actor.options, "extension", extension)
    (found,) = check_extensions()
    assert found.id == "tasks.E005"
    assert found.msg.startswith("Actor todo.cleanup: ")
    assert words in found.msg


class Secretive(TaskExtension):
    """Refuses an undo with words that not everybody may see."""

    @override
    def undo_message(self, run: TaskRun) -> Message[Any]:
        return get_broker().get_actor(TaskName.TODO_RESTORE).message(run_id=run.pk)

    @override
    def undo_preview(self, run: TaskRun) -> Sequence[str]:
        raise Refused("It cannot be undone", detail=SECRET)


def test_why_a_run_cannot_be_undone_is_told_in_full_to_those_who_may_see_details(
    client: Client, well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    actor = get_broker().get_actor(TaskName.TODO_CLEANUP)
    monkeypatch.setitem(actor.options, "extension", Secretive())
    address = reverse("background:confirm-undo", args=[run.pk])
    staff = log_in_staff(client, "view_taskrun", "undo_taskrun")
    assert f"It cannot be undone: {WITHHELD}" in text(client, address)
    staff.user_permissions.add(Permission.objects.get(codename="view_taskrun_details"))
    assert f"It cannot be undone: {SECRET}" in text(client, address)


@pytest.mark.parametrize("progress", [{}, {"rows": "many", "done": None}, [], {"done": 0}])
def test_progress_that_says_nothing_is_no_crash(boss: Client, well: None, progress: object) -> None:
    holder = new_process().pk
    new_run(State.RUNNING, started_at=timezone.now(), held_by=holder, progress=progress)
    assert "todo.cleanup Running for" in text(boss)


@pytest.mark.parametrize(("done", "told"), [(0.42, "42 %"), (6, None), (-1, None), ("x", None)])
def test_progress_is_a_part_of_the_work_or_is_not_told(
    boss: Client, well: None, done: object, told: str | None
) -> None:
    new_run(State.RUNNING, progress={"done": done}, held_by=new_process(host="w").pk)
    page = text(boss)
    assert ("%" in page) == bool(told)
    assert (told or "") in page
    assert "left" not in page


def test_what_runs_and_what_failed_stand_before_the_schedules(boss: Client, well: None) -> None:
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", boss.get(PAGE).content.decode())
    assert headings[:3] == ["Active runs", "Failures of the last day: 0", "Schedules"]


def test_schedule_whose_one_moment_is_over_cannot_be_paused(boss: Client, well: None) -> None:
    moment = timezone.now() - timedelta(hours=1)
    once = Schedule.objects.create(task=TaskName.TODO_CLEANUP, name="once", once_at=moment)
    pause = reverse("background:pause", args=[once.pk])
    assert pause in boss.get(PAGE).content.decode()
    Schedule.objects.filter(pk=once.pk).update(last_slot=moment)
    page = boss.get(PAGE).content.decode()
    assert pause not in page
    assert "none: it was to run once" in page


def test_many_unfinished_runs_are_counted_and_not_all_listed(boss: Client, well: None) -> None:
    for _ in range(overview.MAX_ACTIVE + 5):
        new_run(State.QUEUED)
    assert "And 5 more" in text(boss)


def test_htmx_gets_the_part_that_changes_alone(boss: Client, well: None) -> None:
    page = boss.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert "All well." in page
    assert "<html" not in page
    assert "<figure" not in page


# Who may see it, and do what.


@pytest.mark.parametrize("address", [PAGE, LETTERS])
def test_staff_without_the_right_do_not_see_it(client: Client, address: str) -> None:
    log_in_staff(client, "view_todo")
    assert client.get(address).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_who_is_not_logged_in_is_asked_to(client: Client) -> None:
    response = client.get(PAGE)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/admin/login/")


def test_read_only_operator_sees_everything_and_no_button(
    client: Client, well: None, broker: WakingBroker
) -> None:
    staff = log_in_staff(client, "view_taskrun", "view_schedule")
    runs = [new_run(), new_run(State.QUEUED), new_run(State.FAILED)]
    runs.append(new_run(State.RUNNING, started_at=timezone.now()))
    swept_by(runs[0], staff)
    bury(broker)
    for address in (PAGE, LETTERS, *map(page_of, runs)):
        main = client.get(address).content.decode().split("<main")[1]
        assert "<button" not in main.replace('<button class="button">Show</button>', "")
        assert "Undo" not in main


def waiting_to_retry(**values: Any) -> TaskRun:
    """Make a run that has failed, and whose next try is in an hour."""
    later = timezone.now() + timedelta(hours=1)
    return new_run(State.PENDING, attempts=1, failures=1, error="x", due_at=later, **values)


ACTIONS: dict[str, tuple[str, Callable[[], list[int]]]] = {
    "run-now": ("start_taskrun", lambda: [Schedule.objects.get(task="todo.cleanup").pk]),
    "pause": ("change_schedule", lambda: [Schedule.objects.get(task="todo.cleanup").pk]),
    "resume": ("change_schedule", lambda: [Schedule.objects.get(task="todo.cleanup").pk]),
    "run-again": ("start_taskrun", lambda: [new_run().pk]),
    "retry-now": ("start_taskrun", lambda: [waiting_to_retry().pk]),
    "cancel": ("cancel_taskrun", lambda: [new_run(State.QUEUED).pk]),
    "stop": ("stop_taskrun", lambda: [new_run(State.RUNNING).pk]),
    "acknowledge": ("acknowledge_taskrun", lambda: [new_run(State.FAILED).pk]),
    "acknowledge-all": ("acknowledge_taskrun", list),
    "undo": ("undo_taskrun", lambda: [new_run().pk]),
    "retry": ("retry_deadletter", list),
    "discard": ("discard_deadletter", list),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_asks_for_its_own_right(client: Client, well: None, name: str) -> None:
    right, arguments = ACTIONS[name]
    others = sorted({*ALL_RIGHTS} - {right})
    staff = log_in_staff(client, "view_taskrun", *others)
    address = reverse(f"background:{name}", args=arguments())

    assert client.post(address).status_code == 403
    staff.user_permissions.set(Permission.objects.filter(codename__in=[right, "view_taskrun"]))
    assert client.post(address, {"confirmed": "1", "note": "Why"}).status_code == 302


@pytest.mark.parametrize("name", sorted(set(ACTIONS) - {"pause", "resume"}))
def test_no_right_about_runs_is_of_use_to_those_who_may_not_see_them(
    client: Client, well: None, name: str
) -> None:
    right, arguments = ACTIONS[name]
    log_in_staff(client, right, "change_schedule", "view_schedule")
    address = reverse(f"background:{name}", args=arguments())
    assert client.post(address).status_code == 403


@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_a_post_with_a_token(boss: Client, well: None, name: str) -> None:
    _, arguments = ACTIONS[name]
    address = reverse(f"background:{name}", args=arguments())
    shown = boss.get(address, follow=True)
    assert shown.status_code == 200
    assert "You may" not in shown.content.decode()
    assert not LogEntry.objects.exists()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="boss"))
    assert strict.post(address).status_code == 403


#: Bulk operations need some; tests of their own start them.
WITHOUT_ARGUMENTS = [
    task
    for task in TaskName
    if task not in (TaskName.RUNS_RETRY, TaskName.RUNS_CANCEL, TaskName.RUNS_ACKNOWLEDGE)
]

DOORS = ("run-now", "run-again", "retry", "retry-all", "undo", "confirm-undo")


def knock(client: Client, broker: WakingBroker, door: str, task: str) -> Any:
    """Try to start a task through one of the console's doors, having said yes to everything."""
    confirmed = {"confirmed": "1"}
    if door == "run-now":
        schedule = Schedule.objects.get_or_create(task=task, defaults={"every": 3600})[0]
        return client.post(reverse("background:run-now", args=[schedule.pk]), confirmed)
    if door == "run-again":
        run = new_run(State.FAILED, task=task)
        return client.post(reverse("background:run-again", args=[run.pk]), confirmed)
    if door.startswith("retry"):
        letter = bury(broker, task)
        data: dict[str, object] = {"letter": f"default {letter}", **confirmed}
        if door == "retry-all":
            data = hidden(client, "retry", all="1")
        return client.post(reverse("background:retry"), data)
    run = new_run()
    swept_by(run, User.objects.get(username="staff"))
    address = reverse(f"background:{door}", args=[run.pk])
    return client.get(address) if door == "confirm-undo" else client.post(address)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("task", WITHOUT_ARGUMENTS)
def test_no_door_starts_a_task_for_who_may_do_all_but_that(
    client: Client, well: None, broker: WakingBroker, task: TaskName, door: str
) -> None:
    if "undo" in door and task != TaskName.TODO_RESTORE:
        task = TaskName.TODO_RESTORE  # What it starts, whatever was run.
    needed = permission_to_start(task)
    staff = log_in_staff(client, "view_taskrun", *ALL_RIGHTS)
    staff.user_permissions.remove(Permission.objects.get(codename=needed.split(".")[1]))
    ours = TaskRun.objects.filter(task=task, trigger=Trigger.ADMIN)

    response = knock(client, broker, door, task)

    assert not ours.exists()
    assert response.status_code == (302 if door.startswith("retry") else 403)
    if door.startswith("retry"):
        assert "1 dead letter kept: you may not start their task." in answer(
            client,
            "retry",
            letter=f"default {deadletters.read(['default'], limit=1)[0].id}",
            confirmed="1",
        )

    # The same knock, with the permission: so that what was refused was just that.
    broker.client.flushall()
    staff.user_permissions.add(Permission.objects.get(codename=needed.split(".")[1]))
    knock(client, broker, door, task)
    assert ours.exists() == (door != "confirm-undo")


@pytest.mark.parametrize("task", WITHOUT_ARGUMENTS)
def test_only_those_who_may_start_a_task_are_offered_to(
    client: Client, well: None, task: TaskName
) -> None:
    needed = permission_to_start(task).split(".")[1]
    staff = log_in_staff(client, "view_taskrun", *ALL_RIGHTS)
    Schedule.objects.get_or_create(task=task, defaults={"every": 3600})
    run = new_run(task=task)
    button = f"Run {task} now"
    for offered in (True, False):
        assert (button in client.get(PAGE).content.decode()) == offered
        assert ("Run again" in text(client, page_of(run))) == offered
        staff.user_permissions.remove(Permission.objects.get(codename=needed))


@pytest.mark.parametrize("task", TaskName)
def test_only_those_who_may_start_a_task_may_retry_it_now(
    client: Client, well: None, task: TaskName
) -> None:
    needed = permission_to_start(task).split(".")[1]
    staff = log_in_staff(client, "view_taskrun", *ALL_RIGHTS)
    run = waiting_to_retry(task=task)
    permission = Permission.objects.get(codename=needed)
    staff.user_permissions.remove(permission)
    assert "Retry now" not in actions_on(client, run)
    assert client.post(reverse("background:retry-now", args=[run.pk])).status_code == 403
    assert not TaskRun.objects.due().exists()
    staff.user_permissions.add(permission)
    assert "Retry now" in actions_on(client, run)
    assert (
        answer(client, "retry-now", run.pk)
        == f"Run {run.pk} is tried again as soon as a worker can."
    )
    assert TaskRun.objects.due().get() == run


def test_who_may_only_purge_may_do_that(client: Client, well: None) -> None:
    log_in_staff(client, "view_taskrun", "purge_trashedtodo")
    schedules = {each.task: each.pk for each in Schedule.objects.all()}
    answer(client, "run-now", schedules["todo.purge"], confirmed="1")
    assert TaskRun.objects.get().task == TaskName.TODO_PURGE
    address = reverse("background:run-now", args=[schedules["todo.cleanup"]])
    assert client.post(address).status_code == 403


# Schedules and runs.


def test_purge_by_hand_asks_first_with_the_count(boss: Client, well: None) -> None:
    old = new_run(created_at=timezone.now() - timedelta(days=60))
    recent = new_run(created_at=timezone.now() - timedelta(days=1))
    for run in (old, recent, recent):
        swept_by(run, User.objects.get())
    schedule = Schedule.objects.get(task=TaskName.TODO_PURGE)
    everything = new_run(task=TaskName.TODO_PURGE, arguments={"kwargs": {"days": 0}})
    mine = TaskRun.objects.filter(trigger=Trigger.ADMIN)

    for name, pk, count in (
        ("run-now", schedule.pk, "1 todo"),
        ("run-again", everything.pk, "3 todos"),
    ):
        page = press(boss, name, pk, back=LETTERS)
        assert f"{count} would be deleted for good." in page
        assert f"Yes, delete {count} for good" in page
        assert not mine.exists()
        fields = hidden(boss, name, pk, back=LETTERS)
        assert fields == {"confirmed": "1", "back": LETTERS}
        assert "of todo.purge is queued" in answer(boss, name, pk, **fields)
        assert mine.get().task == TaskName.TODO_PURGE
        mine.delete()


def test_purge_that_is_retried_asks_first_with_the_count(
    boss: Client, broker: WakingBroker
) -> None:
    for _ in range(2):
        swept_by(new_run(created_at=timezone.now() - timedelta(days=1)), User.objects.get())
    letter = bury(broker, "todo.purge", days=0)
    page = press(boss, "retry", letter=f"default {letter}")
    assert "1 dead letter would be sent again." in page
    assert "todo.purge: 2 todos would be deleted for good." in page
    assert not TaskRun.objects.filter(task=TaskName.TODO_PURGE).exists()
    fields = hidden(boss, "retry", letter=f"default {letter}")
    assert answer(boss, "retry", **fields) == "1 dead letter retried."


def test_second_click_on_undo_leads_to_the_run_that_undoes(boss: Client) -> None:
    run = new_run()
    swept_by(run, User.objects.get())
    answer(boss, "undo", run.pk)
    undoing = TaskRun.objects.get(task=TaskName.TODO_RESTORE)

    told = answer(boss, "undo", run.pk)

    assert f"Run {run.pk} is being undone by run {undoing.pk}." in told
    assert f'href="{page_of(undoing)}"' in told


def test_run_at_work_is_stopped_from_its_page_and_from_the_list(boss: Client, well: None) -> None:
    holder = new_process().pk
    run = new_run(State.RUNNING, started_at=timezone.now(), held_by=holder, attempts=1)
    assert f"Stop run {run.pk}" in boss.get(PAGE).content.decode()
    assert "Stop" in text(boss, page_of(run))

    told = answer(boss, "stop", run.pk, back=page_of(run))

    assert told == f"Run {run.pk} was asked to stop: it ends at its next step."
    number = User.objects.get().pk
    page = text(boss, page_of(run))
    assert re.search(
        rf": asked to stop; it ends at its next step\. Stopped by user {number} \(boss\)\.", page
    )
    assert f"Stop run {run.pk}" not in boss.get(PAGE).content.decode()
    assert f"{run.pk} todo.cleanup Running" not in text(boss)
    assert f"{run.pk} todo.cleanup Asked to stop: it ends at its next step" in text(boss)
    assert answer(boss, "stop", run.pk) == (
        f"Run {run.pk} was already asked to stop: it ends at its next step."
    )
    assert logged() == [(str(run), "Stopped.")]

    assert TaskRun.objects.get(pk=run.pk).end_stopped()
    swept_by(run, User.objects.get())
    page = text(boss, page_of(run))
    assert "now running" not in page
    assert ": cancelled" in page
    assert "Undo" in page
    assert f"Run {run.pk} of todo.cleanup has ended already: cancelled." in answer(
        boss, "stop", run.pk
    )


def test_run_between_two_turns_is_stopped_at_once(boss: Client, well: None) -> None:
    run = new_run(State.PENDING, started_at=timezone.now(), attempts=1)
    assert "Stop" in actions_on(boss, run)
    assert answer(boss, "stop", run.pk) == f"Run {run.pk} is cancelled."
    assert ids_of_state(boss, "cancelled") == {run.pk}


def ids_of_state(client: Client, state: str) -> set[int]:
    """Return the runs that the list shows for a state."""
    html = client.get(f"/admin/tasks/taskrun/?state__exact={state}").content.decode()
    return {int(row[1]) for row in Page(html).rows[1:]}


# Failures.


def test_failure_is_acknowledged_on_its_page(boss: Client, well: None) -> None:
    for run in (new_run(State.FAILED, error="x"), new_run(has_errors=True)):
        assert "Acknowledge" in actions_on(boss, run)
        assert answer(boss, "acknowledge", run.pk) == f"Run {run.pk} is acknowledged."
        assert ": acknowledged by boss" in text(boss, page_of(run)).split("Timeline")[1]
        assert "Acknowledge" not in actions_on(boss, run)
        assert "nothing to acknowledge" in answer(boss, "acknowledge", run.pk)
    assert [message for _, message in logged()] == ["Acknowledged."] * 2
    assert "Acknowledge" not in actions_on(boss, new_run())


def test_schedules_last_run_says_that_its_failure_is_acknowledged(boss: Client, well: None) -> None:
    run = new_run(State.FAILED, error="ValueError: x")
    assert "failed , acknowledged," not in text(boss)
    answer(boss, "acknowledge", run.pk)
    assert "failed , acknowledged," in text(boss)


def test_failures_that_nobody_has_acknowledged_are_listed_and_acknowledged_together(
    boss: Client, well: None
) -> None:
    now = timezone.now()
    runs = [
        new_run(State.FAILED, error=f"Error {n}", finished_at=now - timedelta(minutes=n))
        for n in range(12)
    ]
    page = text(boss)
    assert "not acknowledged yet: 12, the latest are listed." in page
    assert "Error 9" in page
    assert "Error 11" not in page
    unread = boss.get(PAGE).context["overview"].status.unacknowledged
    assert "Acknowledge all 12" in page

    assert answer(boss, "acknowledge", runs[0].pk) == f"Run {runs[0].pk} is acknowledged."
    shown = {"until": unread.until, "count": unread.count}
    late = new_run(State.FAILED, error="Late", finished_at=now + timedelta(seconds=1))
    assert answer(boss, "acknowledge-all", **shown) == "11 runs are acknowledged."

    assert list(TaskRun.objects.unacknowledged()) == [late]
    assert len(logged()) == 12
    page = text(boss)
    assert "not acknowledged yet: 1." in page
    assert f"todo.cleanup {late.pk}" in page


def test_second_click_on_acknowledge_all_says_that_there_was_nothing_left(
    boss: Client, well: None
) -> None:
    new_run(State.FAILED)
    shown = {"until": timezone.now() + timedelta(days=1), "count": 1}
    assert answer(boss, "acknowledge-all", **shown) == "1 run is acknowledged."
    assert answer(boss, "acknowledge-all", **shown) == "All of them were acknowledged before."
    assert len(logged()) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"until": "\0", "count": "1"},
        {"until": "2026-01-01", "count": "1"},
        {"until": "0001-01-01T00:00:00+14:00", "count": "1"},
        {"until": "2126-01-01T00:00:00+00:00", "count": "\0"},
        {"until": "2126-01-01T00:00:00+00:00", "count": "9" * 5_000},
        {"until": "2126-01-01T00:00:00+00:00", "count": "-1"},
    ],
)
def test_garbage_acknowledges_nothing(boss: Client, well: None, data: dict[str, str]) -> None:
    new_run(State.FAILED)
    assert answer(boss, "acknowledge-all", **data)
    assert TaskRun.objects.unacknowledged().count() == 1
    assert logged() == []


def test_run_now_leads_to_the_run_and_is_logged(boss: Client, well: None) -> None:
    schedule = Schedule.objects.get(task=TaskName.TODO_CLEANUP)
    assert "of todo.cleanup is queued" in answer(boss, "run-now", schedule.pk)
    run = TaskRun.objects.get()
    assert (run.trigger, run.requested_by) == (Trigger.ADMIN, User.objects.get())
    assert logged() == [(str(run), "Run now.")]

    assert f"Run {run.pk} of todo.cleanup is unfinished" in answer(boss, "run-now", schedule.pk)
    assert TaskRun.objects.count() == 1


def test_pause_and_resume(boss: Client, well: None) -> None:
    schedule = Schedule.objects.get(task=TaskName.TODO_CLEANUP)
    assert "Why?" in press(boss, "pause", schedule.pk)
    assert "Why?" in press(boss, "pause", schedule.pk, confirmed=1, note=" ")
    confirmed = {**hidden(boss, "pause", schedule.pk), "note": " Until the <b>mail</b>\n is back "}
    paused = "The schedule of todo.cleanup is paused."
    assert answer(boss, "pause", schedule.pk, **confirmed) == paused
    assert "by boss: Until the <b>mail</b> is back" in text(boss)
    assert "<b>mail" not in boss.get(PAGE).content.decode()
    assert answer(boss, "pause", schedule.pk) == "The schedule of todo.cleanup was paused already."
    assert answer(boss, "resume", schedule.pk) == "The schedule of todo.cleanup is resumed."
    assert "is back" not in text(boss)
    said = [message for _, message in logged()]
    assert said == ["Paused: Until the <b>mail</b> is back", "Resumed."]


def test_undo_asks_first_and_says_how_many_come_back(boss: Client, well: None) -> None:
    run = new_run()
    for _ in range(3):
        swept_by(run, User.objects.get())
    address = reverse("admin:tasks_taskrun_change", args=[run.pk])
    assert "Undo" in text(boss, address)
    assert "3 todos will be restored" in text(
        boss, reverse("background:confirm-undo", args=[run.pk])
    )
    assert not TaskRun.objects.filter(task=TaskName.TODO_RESTORE).exists()

    answer(boss, "undo", run.pk)

    undoing = TaskRun.objects.get(task=TaskName.TODO_RESTORE)
    assert logged() == [(str(undoing), f"Undo run {run.pk}.")]


def test_undo_says_what_cannot_come_back_and_why(boss: Client, well: None) -> None:
    run, owner = new_run(), User.objects.get()
    taken = [swept_by(run, owner) for _ in range(3)][1]
    Todo.objects.create(pk=taken, user=owner, title="Imported")
    page = text(boss, reverse("background:confirm-undo", args=[run.pk]))
    assert "2 todos will be restored" in page
    assert "1 cannot: another todo has its number." in page


def test_run_that_took_nothing_offers_no_undo(boss: Client) -> None:
    run = new_run()
    assert "Undo" not in text(boss, reverse("admin:tasks_taskrun_change", args=[run.pk]))
    page = text(boss, reverse("background:confirm-undo", args=[run.pk]))
    assert f"No todo that run {run.pk} removed is in the trash anymore." in page


def test_cancelling_from_a_runs_page(boss: Client) -> None:
    run = new_run(State.QUEUED)
    assert "Cancel" in text(boss, reverse("admin:tasks_taskrun_change", args=[run.pk]))
    assert answer(boss, "cancel", run.pk) == f"Run {run.pk} is cancelled."
    assert "has started or ended meanwhile" in answer(boss, "cancel", run.pk)
    page = text(boss, reverse("admin:tasks_taskrun_change", args=[run.pk]))
    assert f"Cancelled by user {User.objects.get().pk} (boss)." in page


def test_run_page_tells_the_runs_whole_life(boss: Client) -> None:
    now = timezone.now()
    run = new_run(
        State.FAILED,
        scheduled_for=now,
        sent_at=now,
        sends=2,
        started_at=now,
        attempts=3,
        worker="two, process 2",
        error="Traceback (most recent call last):\nKeyError: 1",
    )
    page = text(boss, reverse("admin:tasks_taskrun_change", args=[run.pk]))
    for part in (
        *("Failed after 3 attempts", "for the slot of", "(2 times)", "KeyError: 1"),
        *("2 attempts are not kept", "attempt 3 by two, process 2 failed"),
    ):
        assert part in page, part


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            {"crontab": "30 4 * * *"},
            r"At 04:30 every day \(UTC\)\..*(\d{4}-\d\d-\d\d 04:30:00 UTC ){5}",
        ),
        (
            {"crontab": "30 4 * * *", "timezone": "Asia/Tokyo"},
            r"\(Asia/Tokyo\)\..*(\d{4}-\d\d-\d\d 19:30:00 UTC ){5}",
        ),
        ({"every": "60"}, "Every 60 seconds"),
        ({"crontab": "30 25 * * *"}, "Bad hour|hour"),
        ({"crontab": "0 2 * * *", "timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"crontab": "", "every": "soon"}, "Enter a whole number"),
        ({}, "one of the three"),
    ],
)
def test_next_five_times_are_shown_before_saving(
    boss: Client, well: None, typed: dict[str, str], expected: str
) -> None:
    before = list(Schedule.objects.values())
    for headers in ({}, {"HX-Request": "true"}):
        response = boss.post("/admin/background/times/", typed, headers=headers)
        words = " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())
        assert re.search(expected, re.sub(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ", "", words) + " ")
    assert list(Schedule.objects.values()) == before


def test_button_leads_back_to_this_site_alone(boss: Client, well: None) -> None:
    schedule = Schedule.objects.get(task=TaskName.TODO_CLEANUP)
    for page, target in (("https://elsewhere.example/", PAGE), (LETTERS, LETTERS)):
        address = reverse("background:resume", args=[schedule.pk])
        assert boss.post(address, {"back": page}).headers["Location"] == target


# Dead letters.


def test_ticked_dead_letters_are_retried_and_the_others_stand(
    boss: Client, broker: WakingBroker
) -> None:
    first, second = bury(broker), bury(broker, number=2)
    page = boss.get(LETTERS).content.decode()
    assert "2 shown of 2." in page
    assert "number=2" in page
    assert "KeyError: 1" in page

    assert answer(boss, "retry", letter=f"default {first}") == "1 dead letter retried."
    assert "1 shown of 1." in text(boss, LETTERS)
    assert answer(boss, "discard", letter=f"default {second}") == "1 dead letter discarded."
    assert "There are none." in text(boss, LETTERS)
    run = TaskRun.objects.get()
    assert logged() == [
        (str(run), "Retry of a dead letter."),
        (f"dead letter {second} of ping", "Discarded."),
    ]


def test_all_that_match_are_retried_once_that_is_confirmed(
    boss: Client, broker: WakingBroker
) -> None:
    for _ in range(3):
        bury(broker)
    unknown = bury(broker, "of.another.version")
    page = text(boss, f"{LETTERS}?actor=ping")
    assert "3 shown of 4." in page

    assert "3 dead letters would be sent again." in press(boss, "retry", all="1", actor="ping")
    assert not TaskRun.objects.exists()
    fields = hidden(boss, "retry", all="1", actor="ping")
    assert answer(boss, "retry", **fields) == "3 dead letters retried."
    told = answer(boss, "retry", **hidden(boss, "retry", all="1", actor=""))
    assert told == "1 dead letter kept: this version of the code does not know their actor."
    assert unknown in boss.get(LETTERS).content.decode()


def test_all_that_match_are_discarded_up_to_the_newest_that_was_counted(
    boss: Client, broker: WakingBroker
) -> None:
    seen = [bury(broker) for _ in range(3)]
    page = press(boss, "discard", all="1")
    assert "3 dead letters would be deleted for good." in page
    assert "Yes, discard 3 dead letters" in page
    assert len(deadletters.read(["default"], limit=10)) == 3
    assert logged() == []
    fields = hidden(boss, "discard", all="1")
    late = bury(broker, at=time() + 1)

    assert answer(boss, "discard", **fields) == "3 dead letters discarded."

    assert [letter.id for letter in deadletters.read(["default"], limit=10)] == [late]
    assert {name for name, _ in logged()} == {f"dead letter {letter} of ping" for letter in seen}


def test_letters_that_somebody_else_discards_at_the_same_time_are_logged_once(
    boss: Client, broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(broker)
    letters = deadletters.read(["default"], limit=10)
    monkeypatch.setattr(deadletters, "find", lambda _: letters)
    chosen = {"letter": f"default {letters[0].id}"}
    assert answer(boss, "discard", **chosen) == "1 dead letter discarded."
    assert answer(boss, "discard", **chosen) == ""
    assert len(logged()) == 1


def test_letter_whose_worker_has_a_slow_clock_is_not_taken_for_one_that_was_counted(
    boss: Client, broker: WakingBroker
) -> None:
    bury(broker)
    fields = hidden(boss, "discard", all="1")
    bury(broker, at=time() - 3600)
    assert "2 dead letters would be deleted for good." in press(boss, "discard", **fields)
    assert len(deadletters.read(["default"], limit=10)) == 2


@pytest.mark.parametrize("name", ["retry", "discard"])
@pytest.mark.parametrize(
    "data",
    [
        {"letter": ""},
        {"letter": "\0"},
        {"letter": "default"},
        {"letter": "default \0"},
        {"letter": "no.such.queue x"},
        {"letter": "x" * 10_000},
        {"all": "1", "actor": "\0"},
        {"all": "1", "actor": "ping", "confirmed": "1", "until": "\0", "count": "1"},
        {"all": "1", "actor": "ping", "confirmed": "1", "until": "2126-01-01", "count": "1"},
        {"all": "1", "confirmed": "1", "until": "2126-01-01T00:00:00+00:00", "count": "x"},
    ],
)
def test_garbage_touches_no_dead_letter(
    boss: Client, broker: WakingBroker, name: str, data: dict[str, str]
) -> None:
    letter = bury(broker)
    response = boss.post(reverse(f"background:{name}"), data)
    assert response.status_code in {200, 302}
    assert [each.id for each in deadletters.read(["default"], limit=10)] == [letter]
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize(
    "page", ["\0", "foo", "/admin/\0", "admin:index", "//[", "x" * 20_000, "/\n"]
)
def test_garbage_to_go_back_to_is_no_crash(boss: Client, well: None, page: str) -> None:
    schedule = Schedule.objects.get(task=TaskName.TODO_CLEANUP)
    response = boss.post(reverse("background:resume", args=[schedule.pk]), {"back": page})
    assert response.status_code in {302, 400}


@pytest.mark.parametrize(
    "address",
    [
        f"{LETTERS}?actor=%00",
        f"{PAGE}runs/{10**30}/undo/",
        f"{PAGE}runs/{'9' * 5_000}/undo/",
        f"/admin/tasks/taskrun/{10**30}/change/",
        "/admin/tasks/taskrun/%00/change/",
        "/admin/tasks/taskrun/?task=%00",
        "/admin/tasks/taskrun/?state__exact=%00",
        "/admin/tasks/taskrun/?q=%00",
    ],
)
def test_garbage_in_an_address_is_no_crash(boss: Client, well: None, address: str) -> None:
    assert boss.get(address, follow=True).status_code in {200, 400, 404}


def test_letter_retried_before_says_so(boss: Client, broker: WakingBroker) -> None:
    letter = bury(broker)
    key = f"{broker.namespace}:default.XQ"
    content = broker.client.hget(f"{key}.msgs", letter)
    answer(boss, "retry", letter=f"default {letter}")
    broker.client.zadd(key, {letter: 1})
    broker.client.hset(f"{key}.msgs", letter, content)

    run = TaskRun.objects.get()
    assert f"already retried as run {run.pk}" in text(boss, LETTERS)
    told = answer(boss, "retry", letter=f"default {letter}")
    assert told == "1 dead letter deleted: already retried before."


# What staff may not see, and what nobody should run.


def test_staff_who_may_not_see_details_see_no_text_of_any_error(
    client: Client, well: None, broker: WakingBroker
) -> None:
    staff = log_in_staff(client, "view_taskrun", "view_schedule")
    error = f"Traceback (most recent call last):\n  File\nIntegrityError: DETAIL: (1, {SECRET})"
    run = new_run(
        State.FAILED,
        error=error,
        arguments={"args": [], "kwargs": {"title": SECRET}},
        result={"errors": [SECRET]},
        progress={"errors": [SECRET]},
    )
    letter = bury(broker, title=SECRET)
    key = f"{broker.namespace}:default.XQ.msgs"
    content = broker.client.hget(key, letter)
    assert isinstance(content, bytes)
    broker.client.hset(key, letter, content.replace(b"KeyError: 1", SECRET.encode()))
    pages = (
        *(PAGE, LETTERS, reverse("admin:tasks_taskrun_change", args=[run.pk])),
        reverse("admin:tasks_taskrun_changelist"),
    )
    for address in pages:
        html = client.get(address).content.decode()
        assert SECRET not in html
        if address != pages[3]:
            assert WITHHELD in unescape(html)
    staff.user_permissions.add(Permission.objects.get(codename="view_taskrun_details"))
    for address in pages[:3]:
        assert SECRET in client.get(address).content.decode()


def test_hostile_contents_are_shown_inert(boss: Client, well: None, broker: WakingBroker) -> None:
    new_run(State.FAILED, error=HOSTILE, task=HOSTILE[:100])
    new_run(State.RUNNING, task=HOSTILE[:90], worker=HOSTILE[:200], queue=HOSTILE[:100])
    new_process(host=HOSTILE[:200], pid=3, queues=[HOSTILE])
    Schedule.objects.create(task=HOSTILE[:80], crontab=HOSTILE[:100])
    bury(broker, HOSTILE, data=None, text=HOSTILE)
    bury(broker, data=b"\xff<script>alert(1)</script>")
    for address in (PAGE, LETTERS):
        response = boss.get(address)
        html = response.content.decode()
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert Page(html).blocked == []
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


# Whatever is broken, the page comes.


def test_broker_that_is_away_leaves_the_rest_standing(
    boss: Client, well: None, broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = redis.Redis.from_url("unix:///nonexistent/valkey.sock")
    monkeypatch.setattr(broker, "short_timeout_client", nowhere)
    page = text(boss)
    assert "Needs attention: The broker cannot be used" in page
    assert "todo.cleanup At 02:00" in page
    assert "They could not be read" in text(boss, LETTERS)
    assert "The broker cannot be reached" in answer(boss, "retry", letter="default x")
    assert "The broker cannot be reached" in answer(boss, "retry", all="1")
    assert "The broker cannot be reached" in answer(boss, "discard", all="1")


@pytest.mark.parametrize("part", ["gather", "active_runs", "read_charts"])
def test_database_that_is_slow_leaves_a_page_that_says_so(
    boss: Client, well: None, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    slow = Mock(side_effect=OperationalError("canceling statement due to statement timeout"))
    monkeypatch.setattr(overview, part, slow)
    page = text(boss)
    assert "Unknown state: not everything could be read." in page
    assert "canceling statement due to statement timeout" in page


@pytest.mark.postgresql
def test_statement_that_takes_too_long_is_given_up(
    boss: Client, well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep() -> list[TaskRun]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return []

    monkeypatch.setattr(overview, "STATEMENT_TIMEOUT_MS", 50)
    monkeypatch.setattr(overview, "active_runs", sleep)
    page = text(boss)
    assert "the active runs: canceling statement due to statement timeout" in page
    assert "todo.cleanup At 02:00" in page


def test_task_of_another_version_is_shown(boss: Client, well: None) -> None:
    schedule = Schedule.objects.create(task="of.another.version", every=60)
    run = new_run(State.FAILED, task="of.another.version", error="gone")
    assert "of.another.version Cannot be used: No actor does this task." in text(boss)
    assert "no actor for of.another.version" in answer(boss, "run-now", schedule.pk)
    assert "no actor for of.another.version" in answer(boss, "run-again", run.pk)


def test_pages_cost_a_fixed_number_of_queries_and_exchanges(
    client: Client, well: None, broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = ("view_taskrun", "view_schedule", "view_process", "view_taskrun_details")
    staff = log_in_staff(client, *seeing, *ALL_RIGHTS)
    pages = {
        *(PAGE, LETTERS, "/admin/tasks/taskrun/", "/admin/background/tasks/"),
        *("/admin/tasks/schedule/", "/admin/tasks/process/"),
        *("/admin/background/tasks/ping/charts/", "/admin/background/tasks/ping/start/"),
        reverse("admin:tasks_taskrun_change", args=[new_run(State.FAILED, error="x").pk]),
    }
    connections = Mock(wraps=broker.short_timeout_client.connection_pool.get_connection)
    monkeypatch.setattr(broker.short_timeout_client.connection_pool, "get_connection", connections)
    asked: list[dict[str, tuple[int, int]]] = []
    silent_for = int(0.7 * liveness().total_seconds())
    for _ in range(3):  # The first time, it also asks what kinds of rows there are.
        for number in range(30):
            Schedule.objects.create(task=f"task {Schedule.objects.count()}", every=60)
            new_process(host="x", pid=number)
            new_process(host="y", pid=number, silent_for=silent_for)
            new_run(State.RUNNING, requested_by=staff)
            new_run(State.FAILED, error="x")
            bury(broker)
        costs = {}
        for page in pages:
            connections.reset_mock()
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200
            asking = [query for query in queries if query["sql"].startswith(("SELECT", "("))]
            costs[page] = (len(asking), connections.call_count)
        asked.append(costs)
    assert asked[1] == asked[2]
    # Two are for the rights of who looks, which a superuser does not need. Where there are channels
    # of alerts, there is one more.
    assert max(queries for queries, _ in asked[1].values()) <= 14 + 2, asked
    assert max(exchanges for _, exchanges in asked[1].values()) <= 3, asked


@pytest.mark.parametrize(
    "lookup",
    ["error__startswith", "error__contains", "arguments__kwargs__title__startswith", "result__t"],
)
def test_what_is_withheld_is_not_told_by_a_filter_in_the_address(db: None, lookup: str) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_taskrun"))
    client = Client()
    client.force_login(reader)
    new_run(State.FAILED, error="ValueError: secret")
    answers = {
        client.get("/admin/tasks/taskrun/", {lookup: value}).status_code
        for value in ("ValueError", "nothing of it")
    }
    assert answers == {400}


def test_refusal_quotes_arguments_to_those_who_may_see_details_alone(
    client: Client, well: None
) -> None:
    secret = {"args": [], "kwargs": {"keep_days": "Bring the flowers"}}
    run = new_run(State.FAILED, arguments=secret)
    staff = log_in_staff(client, "view_taskrun", "start_taskrun")
    told = answer(client, "run-again", run.pk)
    assert "todo.cleanup does not accept these arguments: withheld" in told
    assert "flowers" not in told
    staff.user_permissions.add(Permission.objects.get(codename="view_taskrun_details"))
    assert "flowers" in answer(client, "run-again", run.pk)
