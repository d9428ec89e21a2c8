"""Bulk operations: what they do to runs, for whom, and what happens when somebody cuts in."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from dramatiq.broker import get_broker

from accounts.models import User
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.operations import bulk
from tasks.engine.operations.bulk import BulkReport, Order, Verb
from tasks.engine.operations.run_filter import RunFilter
from tasks.engine.operations.selection import MAX_TICKED, Selection, bound_now, check_selection
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import Execution, Stopped
from tasks.engine.runs.inline import run_inline
from tasks.names import TaskName
from tests.admin_pages import log_in_staff
from tests.counting import number
from tests.factories import new_process, new_run, new_runs
from tests.processes import Process, Tidy, wait_until
from tests.seam.injection import Die, When

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

FAILED = RunFilter(state=State.FAILED)


@pytest.fixture
def boss(transactional_db: None) -> User:
    return User.objects.create_superuser("boss")


def staff(*permissions: str) -> User:
    """Return a member of staff who may see runs, and has these permissions."""
    user = User.objects.create_user("staff", is_staff=True)
    names = ["view_taskrun", *permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def select(matching: RunFilter = FAILED, *ticked: int) -> Selection:
    """Return what an operator selects now."""
    up_to, until = bound_now()
    if ticked:
        return Selection(ticked=ticked, up_to=up_to, until=until)
    return Selection(matching=matching, up_to=up_to, until=until)


def carry_out(
    verb: Verb,
    selection: Selection,
    by: User | None,
    on_progress: Callable[[Execution], None] = lambda _: None,
    **more: Any,
) -> BulkReport:
    """Do a bulk operation in this process, as a worker would."""
    message = get_broker().get_actor(f"runs.{verb}").message(**selection.as_arguments(), **more)
    report: BulkReport = run_inline(Request(Trigger.ADMIN, by), message, on_progress=on_progress)
    return report


def operation() -> TaskRun:
    return TaskRun.objects.filter(task__startswith="runs.").latest("pk")


# What is done.


def test_all_that_match_are_retried_with_their_arguments_and_acknowledged(boss: User) -> None:
    failed = new_runs(3, State.FAILED, arguments={"args": [], "kwargs": {"keep_days": 7}})
    succeeded = new_run()
    report = carry_out(Verb.RETRY, select(), boss)
    assert report == {"matched": 3, "done": 3, "refused": 0, "reasons": []}
    new = TaskRun.objects.filter(task=TaskName.TODO_CLEANUP, trigger=Trigger.ADMIN).order_by("pk")
    assert [run.arguments for run in new] == [failed[0].arguments] * 3
    assert {(run.state, run.requested_by) for run in new} == {(State.QUEUED, boss)}
    for old, retry in zip(failed, new, strict=True):
        old.refresh_from_db()
        assert (old.acknowledged_by, old.state) == (boss, State.FAILED)
        assert old.reason == f"Retried as run {retry.pk} by user {boss.pk}."
    assert not TaskRun.objects.unacknowledged().exists()
    succeeded.refresh_from_db()
    assert succeeded.acknowledged_at is None
    assert operation().summary == "3 runs matched, 3 retried, 0 left as they were"


def test_run_is_retried_by_one_operation_however_many_ask_for_it(boss: User) -> None:
    failed = new_runs(3, State.FAILED)
    done = new_run(State.CANCELLED, reason="Stopped by user 7.")
    new_run(State.FAILED, acknowledged_at=timezone.now())
    everything = select(RunFilter(task=TaskName.TODO_CLEANUP))
    other = User.objects.create_superuser("other")
    assert carry_out(Verb.RETRY, everything, boss)["done"] == 5
    report = carry_out(Verb.RETRY, everything, other)
    assert (report["done"], report["refused"]) == (0, 5)
    assert [each["reason"] for each in report["reasons"]] == ["It was retried before."]
    assert TaskRun.objects.filter(trigger=Trigger.ADMIN, task=TaskName.TODO_CLEANUP).count() == 5
    done.refresh_from_db()
    assert re.fullmatch(r"Stopped by user 7\. Retried as run \d+ by user \d+\.", done.reason)
    assert not TaskRun.objects.unacknowledged().filter(pk__in=[run.pk for run in failed]).exists()


@pytest.mark.postgresql
def test_two_operations_at_once_retry_each_run_once(boss: User) -> None:
    failed = new_runs(100, State.FAILED)

    def retry(_: int) -> int:
        order = Order(by=boss, operation=uuid4(), confirmed=())
        try:
            with transaction.atomic():
                return len(failed) - len(bulk.retry(failed, order))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(retry, range(2))) == [0, 100]
    assert TaskRun.objects.filter(task=TaskName.TODO_CLEANUP, state=State.QUEUED).count() == 100


def test_bulk_operations_are_not_among_what_is_retried(boss: User) -> None:
    new_run(task="runs.retry")
    failed = new_run(State.FAILED)
    assert list(bulk.eligible(Verb.RETRY, select(RunFilter()))) == [failed]


def test_retry_belongs_to_the_schedule_of_the_run(boss: User) -> None:
    new_run(State.FAILED, schedule_name="one")
    carry_out(Verb.RETRY, select(), boss)
    assert TaskRun.objects.get(trigger=Trigger.ADMIN, state=State.QUEUED).schedule_name == "one"


def test_retries_of_one_task_do_not_wait_for_one_another(boss: User) -> None:
    new_run(State.RUNNING)
    new_runs(250, State.FAILED)
    assert carry_out(Verb.RETRY, select(), boss)["done"] == 250
    queued = TaskRun.objects.filter(state=State.QUEUED, task=TaskName.TODO_CLEANUP)
    assert queued.count() == 250
    assert operation().progress["done"] == 1


def test_what_waits_is_cancelled_and_what_is_at_work_asked_to_stop(boss: User) -> None:
    waiting = new_runs(2, State.QUEUED)
    at_work = new_run(State.RUNNING, attempts=1, started_at=timezone.now())
    report = carry_out(Verb.CANCEL, select(RunFilter(state="unfinished")), boss)
    assert (report["done"], report["refused"]) == (3, 0)
    states = TaskRun.objects.filter(pk__in=[run.pk for run in waiting])
    assert set(states.values_list("state", flat=True)) == {State.CANCELLED}
    at_work.refresh_from_db()
    assert at_work.stop_requested_at


def test_failures_and_errors_are_acknowledged_in_few_steps(boss: User) -> None:
    new_runs(6_000, State.FAILED)
    new_run(has_errors=True)
    steps = []
    everything = select(RunFilter())
    report = carry_out(
        Verb.ACKNOWLEDGE, everything, boss, lambda it: steps.append(it.progress.get("rows"))
    )
    assert report["done"] == 6_001
    assert steps == [None, 5_000, 6_001]
    known = TaskRun.objects.filter(acknowledged_by=boss, acknowledged_at__isnull=False)
    assert known.count() == 6_001


def test_only_those_that_are_ticked_are_acted_on(boss: User) -> None:
    first, second, third = new_runs(3, State.FAILED)
    carry_out(Verb.ACKNOWLEDGE, select(FAILED, first.pk, third.pk), boss)
    assert TaskRun.objects.unacknowledged().get() == second


def test_nothing_newer_than_the_question_is_touched(boss: User) -> None:
    new_run(State.FAILED)
    at_work = new_run(State.RUNNING)
    selection = select(RunFilter())
    # One of them fails after the question, another is created.
    TaskRun.objects.filter(pk=at_work.pk).update(
        state=State.FAILED, finished_at=timezone.now() + timedelta(seconds=1)
    )
    newer = new_run(State.FAILED, finished_at=selection.until)
    for verb in (Verb.ACKNOWLEDGE, Verb.RETRY):
        assert carry_out(verb, selection, boss)["matched"] == 1
    left = set(TaskRun.objects.unacknowledged().values_list("pk", flat=True))
    assert left == {at_work.pk, newer.pk}


def test_operation_leaves_itself_alone(boss: User) -> None:
    everything = select(RunFilter(state="unfinished"))
    assert carry_out(Verb.CANCEL, everything, boss)["matched"] == 0
    assert operation().state == State.SUCCEEDED


def test_what_is_refused_is_counted_by_its_reason_and_the_first_are_named(boss: User) -> None:
    gone = [run.pk for run in new_runs(7, State.FAILED, task="no.such")]
    wrong = new_run(State.FAILED, arguments={"args": [1], "kwargs": {}})
    new_run(State.FAILED)
    report = carry_out(Verb.RETRY, select(), boss)
    assert (report["matched"], report["done"], report["refused"]) == (9, 1, 8)
    assert report["reasons"] == [
        {
            "reason": "This version of the code has no actor for no.such.",
            "count": 7,
            "runs": gone[:5],
        },
        {
            "reason": "todo.cleanup does not accept these arguments",
            "count": 1,
            "runs": [wrong.pk],
        },
    ]
    assert not operation().has_errors


def test_question_with_nothing_to_do_leads_back(client: Client) -> None:
    log_in_staff(client, "view_taskrun", "cancel_taskrun")
    new_run(State.FAILED)
    back = "/admin/tasks/taskrun/?state=failed"
    question = client.post("/admin/background/runs/all/cancel/", {"all": 1, "back": back})
    assert f'<a href="{back}">Take me back</a>' in question.content.decode()


def test_operation_can_be_stopped_and_says_what_it_has_done(boss: User) -> None:
    new_runs(250, State.FAILED)

    def stop(execution: Execution) -> None:
        if execution.progress:
            execution.run.request_stop("Stopped.")

    with suppress(Stopped):
        carry_out(Verb.RETRY, select(), boss, stop)
    stopped = operation()
    assert (stopped.state, stopped.summary) == (State.CANCELLED, "100 runs retried")
    assert TaskRun.objects.unacknowledged().count() == 150


# Who may do it.


def test_each_part_takes_the_permission_of_its_own(db: None) -> None:
    by = staff("start_taskrun", "cancel_taskrun")
    purge = new_run(State.FAILED, task=TaskName.TODO_PURGE)
    cleanup = new_run(State.FAILED)
    report = carry_out(Verb.RETRY, select(), by)
    assert report["reasons"] == [
        {"reason": "You may not start todo.purge.", "count": 1, "runs": [purge.pk]}
    ]
    cleanup.refresh_from_db()
    assert cleanup.acknowledged_by == by

    TaskRun.objects.unfinished().delete()
    at_work = new_run(State.RUNNING)
    waiting = new_run(State.QUEUED)
    report = carry_out(Verb.CANCEL, select(RunFilter()), by)
    assert report["reasons"] == [
        {"reason": "You may not stop runs at work.", "count": 1, "runs": [at_work.pk]}
    ]
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELLED
    assert carry_out(Verb.ACKNOWLEDGE, select(), by)["done"] == 0


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_who_was_deactivated_meanwhile_does_nothing(boss: User, change: dict[str, bool]) -> None:
    new_run(State.FAILED)
    User.objects.filter(pk=boss.pk).update(**change)
    for verb in Verb:
        with pytest.raises(PermissionDenied):
            carry_out(verb, select(RunFilter()), boss)
        assert operation().state == State.FAILED
        assert "PermissionDenied: Whoever asked for this may not see runs" in operation().error
    assert TaskRun.objects.filter(acknowledged_at__isnull=False).count() == 0


def test_nobody_who_asks_does_nothing(db: None) -> None:
    with pytest.raises(PermissionDenied):
        carry_out(Verb.RETRY, select(), None)


def test_who_may_not_see_errors_any_more_does_not_act_by_them(db: None) -> None:
    by = staff("acknowledge_taskrun")
    new_run(State.FAILED, error="ValueError: x")
    with pytest.raises(PermissionDenied):
        carry_out(Verb.ACKNOWLEDGE, select(RunFilter(error="x")), by)


def test_task_that_asks_first_is_retried_only_if_that_was_confirmed(boss: User) -> None:
    new_runs(2, State.FAILED, task=TaskName.TODO_PURGE)
    report = carry_out(Verb.RETRY, select(), boss)
    assert report["reasons"][0]["reason"] == (
        "todo.purge asks for a confirmation: run it again by itself."
    )
    confirmed = carry_out(Verb.RETRY, select(), boss, confirmed=[TaskName.TODO_PURGE])
    assert confirmed["done"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *({}, {"matching": {}, "ticked": [1]}, {"matching": {"x": 1}}, {"ticked": []}),
        *({"ticked": [0]}, {"ticked": ["1"]}, {"ticked": [1] * (MAX_TICKED + 1)}, {"ticked": 1}),
        *({"matching": {}, "up_to": -1}, {"matching": {}, "until": "now"}),
        *({"matching": {}, "confirmed": [1]}, {"matching": {}, "confirmed": "x"}),
    ],
)
def test_arguments_that_are_no_selection_are_refused(arguments: dict[str, Any]) -> None:
    bound = {"up_to": 1, "until": "2026-03-01T12:00:00+00:00"}
    with pytest.raises(ValueError, match=r"\w"):
        check_selection(**{**bound, **arguments})


# The page's buttons.


@pytest.fixture
def page(client: Client, boss: User) -> Client:
    """The browser of somebody who may do everything."""
    client.force_login(boss)
    new_process(queues=["default", "operators"])
    return client


def press(client: Client, verb: str, **data: Any) -> tuple[str, dict[str, list[str]]]:
    """Press a button; return the words of the page that follows, and its question's fields."""
    response = client.post(f"/admin/background/runs/all/{verb}/", data, follow=True)
    assert response.status_code == 200
    html = response.content.decode()
    fields: dict[str, list[str]] = {}
    question = (response.context or {}).get("question")
    for name, value in question.fields if question else ():
        fields.setdefault(name, []).append(value)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()), fields


def test_question_says_how_many_runs_of_which_tasks_and_what_for(page: Client) -> None:
    new_runs(3, State.FAILED, error="KeyError: 'x'")
    new_run(State.FAILED, task=TaskName.PING, error="KeyError: 'x'")
    new_run(State.FAILED, error="another")
    text, fields = press(page, "retry", all=1, error="KeyError: 'x'", state="failed")
    assert "4 runs, created until now. 3 of todo.cleanup, 1 of ping." in text
    assert "Each would be started again with its arguments, as a new run." in text
    assert "Yes, retry 4 runs" in text
    assert not TaskRun.objects.filter(task="runs.retry").exists()

    text, _ = press(page, "retry", confirmed=1, **fields)
    run = operation()
    assert f"Run {run.pk} does this." in text
    assert (run.state, run.queue, run.task) == (State.QUEUED, "operators", "runs.retry")
    assert run.arguments["kwargs"]["matching"] == {"error": "KeyError: 'x'", "state": "failed"}
    assert LogEntry.objects.get().change_message == "Retry runs."


def test_second_click_starts_no_second_operation(page: Client, boss: User) -> None:
    new_runs(2, State.FAILED)
    _, fields = press(page, "retry", all=1)
    first, second = (press(page, "retry", confirmed=1, **fields)[0] for _ in range(2))
    run = TaskRun.objects.get(task="runs.retry")
    assert f"Run {run.pk} does this." in first
    assert f"Run {run.pk} does this." in second
    # Another question is another operation.
    _, fields = press(page, "retry", all=1)
    press(page, "retry", confirmed=1, **fields)
    assert TaskRun.objects.filter(task="runs.retry").count() == 2


def test_ticked_runs_are_posted_by_their_numbers(page: Client) -> None:
    first, _, third = new_runs(3, State.FAILED)
    text, fields = press(page, "acknowledge", run=[first.pk, third.pk], state="failed")
    assert "2 runs, created until now. 2 of todo.cleanup." in text
    press(page, "acknowledge", confirmed=1, **fields)
    assert operation().arguments["kwargs"]["ticked"] == [first.pk, third.pk]


def test_question_of_a_task_is_asked_with_its_own_words(page: Client) -> None:
    new_run(State.FAILED, task=TaskName.TODO_PURGE)
    text, fields = press(page, "retry", all=1)
    assert "todo.purge: 0 todos would be deleted for good. This cannot be undone." in text
    press(page, "retry", confirmed=1, **fields)
    assert operation().arguments["kwargs"]["confirmed"] == ["todo.purge"]


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("retry", "None of these runs has ended: there is nothing to retry."),
        ("cancel", "All of these runs have ended: there is nothing to cancel."),
        ("acknowledge", "None of these runs has a failure or errors to acknowledge."),
    ],
)
def test_nothing_to_do_is_said_and_not_started(page: Client, verb: str, told: str) -> None:
    if verb == "acknowledge":
        new_run()
    assert told in press(page, verb, all=1)[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "No run is ticked. Tick some, or all that match."),
        ({"run": ["x", "-1", "²"]}, "No run is ticked."),
        ({"run": ["9" * 5_000]}, "These are no runs of the list. Reload the page."),
        ({"run": [10**30]}, "These are no runs of the list. Reload the page."),
        ({"all": 1, "state": "x"}, "What the runs should be like is not clear."),
        ({"all": 1, "confirmed": 1}, "The question is incomplete. Ask again."),
        ({"all": 1, "confirmed": 1, "up_to": 5, "asked_at": "now"}, "The question is incomplete."),
    ],
)
def test_form_that_makes_no_sense_starts_nothing(
    page: Client, data: dict[str, Any], told: str
) -> None:
    new_run(State.FAILED)
    assert told in press(page, "acknowledge", **data)[0]
    assert TaskRun.objects.count() == 1


def test_buttons_are_for_who_may_press_them(client: Client, db: None) -> None:
    log_in_staff(client, "view_taskrun", "acknowledge_taskrun")
    new_run(State.FAILED)
    html = client.get("/admin/tasks/taskrun/").content.decode()
    assert "runs/all/acknowledge/" in html
    assert "runs/all/retry/" not in html
    for verb, status in (("acknowledge", 200), ("retry", 403), ("cancel", 403), ("burn", 404)):
        address = f"/admin/background/runs/all/{verb}/"
        assert client.post(address, {"all": 1}).status_code == status
        assert client.get(address).headers["Location"] == "/admin/tasks/taskrun/"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post("/admin/background/runs/all/acknowledge/", {"all": 1}).status_code == 403


def test_question_says_what_would_be_left_alone(client: Client, db: None) -> None:
    log_in_staff(client, "view_taskrun", "start_taskrun", "cancel_taskrun")
    new_run(State.FAILED, task=TaskName.TODO_PURGE)
    new_run(State.RUNNING)
    text, _ = press(client, "retry", all=1)
    assert "You may not start todo.purge: its runs would be left as they are." in text
    text, _ = press(client, "cancel", all=1)
    assert "You may not stop runs at work: those would be left as they are." in text


# Whoever dies.

RETRIED = 250

#: Runs that failed, and what retries them all.
ASK = f"""
from django.db.models.functions import Now
from uuid import uuid4
from accounts.models import User
from tasks.engine.models import TaskRun
from tasks.engine.operations.bulk import Verb, start
from tasks.engine.operations.run_filter import RunFilter
from tasks.engine.operations.selection import Selection, bound_now

boss = User.objects.create_superuser("boss")
TaskRun.objects.bulk_create(
    TaskRun(task="sessions.clear", trigger="schedule", state="failed", queue="default",
            message_id=uuid4(), finished_at=Now(), error="OSError: once")
    for _ in range({RETRIED})
)
up_to, until = bound_now()
start(Verb.RETRY, Selection(matching=RunFilter(state="failed"), up_to=up_to, until=until), by=boss)
"""

BULK = "tasks.engine.operations.bulk"

#: Where a worker dies.
STEPS: dict[str, tuple[When, str]] = {
    "before a step": ("before", f"{BULK}:next_batch"),
    "runs created, not committed": ("before", f"{BULK}:note"),
    "progress written, not committed": ("after", "tasks.engine.models:TaskRun.save_progress"),
    "committed, nothing published": ("before", "tasks.engine.runs.enqueue:publish"),
    "one published": ("after", "tasks.engine.runs.enqueue:publish"),
    "all done, the end not written": ("before", f"{BULK}:report"),
}


@pytest.fixture
def own_system(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """Processes of the test's own, that soon notice who is gone; their database."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        yield database


@pytest.mark.e2e
@pytest.mark.parametrize("step", STEPS)
def test_worker_that_dies_anywhere_retries_each_run_once(
    tidy: Tidy, own_system: psycopg.Connection, tmp_path: Path, step: str
) -> None:
    asked = tidy.manage("shell", "-v0", "-c", ASK)
    assert asked.returncode == 0, asked.stderr
    died = tmp_path / "died"
    when, path = STEPS[step]
    tidy.inject(Die(when, path, mark=str(died)))
    retries = "SELECT count(*) FROM tasks_taskrun WHERE trigger = 'admin' AND task <> 'runs.retry'"
    ended = "SELECT count(*) FROM tasks_taskrun WHERE task = 'runs.retry' AND state = 'succeeded'"
    with ExitStack() as stack:

        def start(*command: str) -> Process:
            return stack.enter_context(tidy.start(*command))

        worker_command = ("rundramatiq", "--processes=1", "--threads=2")
        start("runscheduler")
        worker = start(*worker_command)
        wait_until(died.exists, seconds=30, otherwise=worker.output)
        wait_until(lambda: worker.popen.poll() is not None, seconds=45, otherwise=worker.output)
        worker = start(*worker_command)
        wait_until(lambda: number(own_system, ended) == 1, seconds=60, otherwise=worker.output)
        unfinished = f"{retries} AND state <> 'succeeded'"
        wait_until(lambda: not number(own_system, unfinished), seconds=60, otherwise=worker.output)

    assert number(own_system, retries) == RETRIED
    once = "SELECT count(DISTINCT reason) FROM tasks_taskrun WHERE acknowledged_at IS NOT NULL"
    assert number(own_system, once) == RETRIED
    done = "SELECT (result->>'done')::int FROM tasks_taskrun WHERE task = 'runs.retry'"
    assert number(own_system, done) == RETRIED


def test_operations_have_a_queue_of_their_own(broker: WakingBroker) -> None:
    queues = {broker.get_actor(f"runs.{verb}").queue_name for verb in Verb}
    assert queues == {"operators"}
    others = {actor.queue_name for name, actor in broker.actors.items() if "runs." not in name}
    assert "operators" not in others
    assert max(size for _, size in bulk.ACTIONS.values()) <= bulk.NUMBERS_PER_STEP
