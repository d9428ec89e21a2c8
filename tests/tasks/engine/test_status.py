"""`manage.py tasks_status`: what people and monitoring are told about background work."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
import redis
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.models import DateTimeField, Value
from django.test.utils import CaptureQueriesContext
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from tasks.actors import todo_cleanup
from tasks.engine.broker.keys import presence_key
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.models import (
    UNFINISHED,
    Process,
    ProcessKind,
    Queue,
    Schedule,
    State,
    TaskRun,
)
from tasks.engine.monitoring import processes, schedules, status
from tasks.engine.monitoring.problems import find_problems
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.names import TaskName
from tests import factories
from tests.processes import Tidy, wait_until

pytestmark = pytest.mark.django_db

#: Ten seconds after a ping's slot, seven hours after the cleanup's.
NOW = datetime(2026, 3, 10, 9, 0, 10, tzinfo=UTC)
TWO = datetime(2026, 3, 10, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

#: A terminal would turn red, ring, or write from right to left.
HOSTILE = "\x1b[31mred\x07\u202etfel\x9b"


def from_server(kind: bytes, body: bytes) -> bytes:
    """Return a message of PostgreSQL's protocol."""
    return kind + struct.pack("!I", len(body) + 4) + body


#: What a server says to who is let in without a password: come in; my version and my clock's zone;
#: I am ready.
GREETING = b"".join(
    (
        from_server(b"R", struct.pack("!I", 0)),
        from_server(b"S", b"server_version\x0018.0\x00"),
        from_server(b"S", b"client_encoding\x00UTF8\x00"),
        from_server(b"S", b"TimeZone\x00UTC\x00"),
        from_server(b"Z", b"I"),
    )
)


@pytest.fixture
def well(db: None, broker: WakingBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well: who should be there is, every slot that has come is handled."""
    monkeypatch.setattr(processes, "clock", lambda: Value(NOW, output_field=DateTimeField()))
    monkeypatch.setattr(processes, "database_now", lambda: NOW)
    monkeypatch.setattr(processes, "clock_ahead", lambda now: (now - now).total_seconds())
    add_missing_schedules()
    Schedule.objects.update(effective_since=NOW - 30 * DAY)
    slots = {
        TaskName.PING: NOW - 10 * SECOND,
        TaskName.TODO_CLEANUP: TWO,
        TaskName.TODO_PURGE: TWO + 60 * MINUTE,
        TaskName.RUNS_PRUNE: TWO + 90 * MINUTE,
    }
    for task, slot in slots.items():
        dealt_with(task, slot)
    # Those that a project adds are not meant here.
    Schedule.objects.exclude(task__in=slots).delete()
    new_process(ProcessKind.SCHEDULER, "clock", pid=1)
    new_process(ProcessKind.WORKER, "worker", pid=2, queues=["default", "operators"])


def new_process(kind: ProcessKind, host: str, **values: Any) -> Process:
    """Write a process that has been heard of just now."""
    return factories.new_process(kind, host=host, **{"seen_at": NOW, "pid": 3, **values})


def dealt_with(task: str, slot: datetime) -> None:
    """Have a schedule's slot be claimed, and its run succeed a second later."""
    Schedule.objects.filter(task=task).update(last_slot=slot)
    make(task, State.SUCCEEDED, scheduled_for=slot, finished_at=slot + SECOND)


def make(task: str, state: State, **values: Any) -> TaskRun:
    defaults = {"task": task, "created_at": NOW, "due_at": NOW, "finished_at": None}
    return factories.new_run(state, **{**defaults, **values})


def tasks_status(*arguments: str) -> str:
    """Run the command; return what it prints."""
    out = StringIO()
    call_command("tasks_status", *arguments, stdout=out)
    return out.getvalue()


def as_json() -> dict[str, Any]:
    printed = tasks_status("--json")
    assert printed.count("\n") == 1
    told: dict[str, Any] = json.loads(printed)
    return told


def problems() -> list[str]:
    """Return the problems that `--check` tells, which it does if and only if it fails."""
    out = StringIO()
    exit_code: object = 0
    try:
        call_command("tasks_status", "--check", stdout=out)
    except SystemExit as ended:
        exit_code = ended.code
    lines = out.getvalue().splitlines()
    assert exit_code == (0 if lines == ["All well."] else 1)
    return [] if exit_code == 0 else lines


def section(title: str) -> list[list[str]]:
    """Return the cells of the rows of a section, as people read them."""
    lines = tasks_status().split(f"\n{title}")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Have the database's clock show this, and every process have been heard of just now."""
    monkeypatch.setattr(processes, "clock", lambda: Value(now, output_field=DateTimeField()))
    Process.objects.update(seen_at=now)


def test_all_is_well(well: None) -> None:
    assert problems() == []
    assert as_json()["problems"] == []


def test_people_read_tables(well: None, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    printed = tasks_status()
    assert printed.startswith("Background work at 2026-03-10 10:00:10 CET\n\nSchedules\n")
    assert section("Schedules")[1:] == [
        [
            "ping",
            "Every 60 seconds",
            "2026-03-10 10:00:00 CET succeeded",
            "succeeded 9 s ago",
            "2026-03-10 10:01:00 CET",
        ],
        [
            "runs.prune",
            "At 03:30 every day (Europe/Berlin)",
            "2026-03-10 04:30:00 CET succeeded",
            "succeeded 5 h ago",
            "2026-03-11 03:30:00 CET",
        ],
        [
            "todo.cleanup",
            "At 02:00 every day (Europe/Berlin)",
            "2026-03-10 03:00:00 CET succeeded",
            "succeeded 7 h ago",
            "2026-03-11 02:00:00 CET",
        ],
        [
            "todo.purge",
            "At 03:00 every day (Europe/Berlin)",
            "2026-03-10 04:00:00 CET succeeded",
            "succeeded 6 h ago",
            "2026-03-11 03:00:00 CET",
        ],
    ]
    assert section("Active runs") == [["none"]]
    assert "Last ping answered: 9 s ago\n" in printed
    assert section("Needs attention") == [["nothing"]]


def test_lines_of_a_table_are_aligned(well: None) -> None:
    header, *rows = tasks_status().split("\nSchedules\n")[1].split("\n\n")[0].splitlines()
    column = header.index("next slot")
    assert [row[column - 2 : column + 5] for row in rows] == ["  2026-"] * Schedule.objects.count()


def test_json_keeps_its_keys(well: None) -> None:
    make(TaskName.TODO_CLEANUP, State.RUNNING)
    make(TaskName.TODO_CLEANUP, State.FAILED, finished_at=NOW, error="Traceback\nKeyError: 1")
    new_process(ProcessKind.WORKER, "frozen", seen_at=NOW - MINUTE)
    told = as_json()
    assert list(told) == [
        *("now", "schedules", "runs_in_hand", "failures", "processes", "unserved_queues"),
        *("queues", "paused_queues", "broker_error", "pulse", "unacknowledged"),
        "silent_processes",
        *("absent_processes", "unknown_tasks", "clock_ahead_seconds", "problems"),
    ]
    assert list(told["schedules"][0]) == [
        *("id", "task", "enabled", "times", "timezone", "fault"),
        *("last_slot", "last_slot_state", "last_run", "next_slot", "overdue_slot"),
        *("last_success_slot", "unsuccessful_since", "held_until", "name"),
    ]
    assert list(told["schedules"][2]["last_run"]) == [
        *("run", "task", "state", "finished_at", "summary", "error", "errors")
    ]
    assert list(told["runs_in_hand"][0]) == [
        *("task", "pending", "queued", "running", "overdue", "oldest_age_seconds"),
        *("oldest_run", "waiting", "stalled", "orphaned", "stopping", "interrupted"),
    ]
    assert list(told["runs_in_hand"][0]["stalled"]) == ["count", "run", "queue", "since"]
    assert list(told["failures"]) == list(told["unacknowledged"]) == ["count", "latest"]
    assert list(told["silent_processes"][0]) == list(told["processes"][0])
    assert list(told["queues"][0]) == [
        *("name", "waiting", "running", "delayed", "dead", "oldest_age_seconds")
    ]
    assert list(told["processes"][0]) == [
        *("kind", "host", "pid", "queues", "started_at", "seen_at"),
        *("leave_requested_at", "leaving_since", "run"),
    ]
    assert list(told["pulse"]) == ["last_at", "age_seconds", "stale"]
    assert told["now"] == "2026-03-10T09:00:10+00:00"
    assert told["schedules"][0]["next_slot"] == "2026-03-10T09:01:00+00:00"


def shape(value: object) -> object:
    """Return a value of JSON with the names of types in place of what has no parts."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_json_keeps_the_shape_of_every_value(well: None, broker: WakingBroker) -> None:
    dealt_with(TaskName.PING, NOW + 365 * DAY)
    nights(State.FAILED, State.FAILED, State.SUCCEEDED)
    Schedule.objects.filter(task=TaskName.TODO_CLEANUP).update(last_slot=TWO - DAY)
    TaskRun.objects.filter(state=State.FAILED).update(acknowledged_at=None)
    frozen = new_process(ProcessKind.WORKER, "frozen", queues=["other"], seen_at=NOW - 40 * SECOND)
    Process.objects.filter(kind=ProcessKind.WORKER).update(tasks=["ping"])
    Process.objects.filter(kind=ProcessKind.WORKER, host="worker").update(queues=["other"])
    make("mail", State.RUNNING, held_by=frozen.pk, stop_requested_at=NOW - MINUTE)
    cut: dict[str, Any] = {"signs_in": True, "started_at": NOW - DAY, "queues": ["other"]}
    new_process(ProcessKind.SCHEDULER, "cut", **cut)
    broker.client.set(presence_key(broker.namespace), 1)
    broker.enqueue(todo_cleanup.message())
    run = {
        "run": "int",
        "task": "str",
        "state": "str",
        "finished_at": "str",
        "summary": "str",
        "error": "str",
        "errors": "int",
    }
    stuck = {"count": "int", "run": "int", "queue": "str", "since": "str"}
    nothing_stuck = {**stuck, "run": "NoneType", "since": "NoneType"}
    process = {
        "kind": "str",
        "host": "str",
        "pid": "int",
        "queues": ["str"],
        "started_at": "str",
        "seen_at": "str",
        "leave_requested_at": "NoneType",
        "leaving_since": "NoneType",
        "run": "NoneType",
    }
    Queue.objects.create(name="other", paused_at=NOW - MINUTE, note="a move")
    told = as_json()
    assert [type(schedule["held_until"]) for schedule in told["schedules"][:2]] == [str, type(None)]
    told["schedules"].sort(key=lambda schedule: schedule["task"] != TaskName.TODO_CLEANUP)
    told["processes"].sort(key=lambda process: process["kind"] != ProcessKind.WORKER)
    assert shape(told) == {
        "now": "str",
        "schedules": [
            {
                "id": "int",
                "task": "str",
                "enabled": "bool",
                "times": "str",
                "timezone": "str",
                "fault": "str",
                "last_slot": "str",
                "last_slot_state": "str",
                "last_run": run,
                "next_slot": "str",
                "overdue_slot": "str",
                "last_success_slot": "str",
                "unsuccessful_since": "str",
                "held_until": "NoneType",
                "name": "str",
            }
        ],
        "runs_in_hand": [
            {
                "task": "str",
                "pending": "int",
                "queued": "int",
                "running": "int",
                "overdue": "int",
                "oldest_age_seconds": "float",
                "oldest_run": "int",
                "waiting": nothing_stuck,
                "stalled": nothing_stuck,
                "orphaned": nothing_stuck,
                "stopping": stuck,
                "interrupted": nothing_stuck,
            }
        ],
        "failures": {"count": "int", "latest": [run]},
        "processes": [process],
        "unserved_queues": ["str"],
        "queues": [
            {
                "name": "str",
                "waiting": "int",
                "running": "int",
                "delayed": "int",
                "dead": "int",
                "oldest_age_seconds": "float",
            }
        ],
        "paused_queues": [
            {
                "name": "str",
                "since": "str",
                "by": "str",
                "note": "str",
                "waiting": "int",
                "ignored_by": "int",
            }
        ],
        "broker_error": "str",
        "pulse": {"last_at": "str", "age_seconds": "float", "stale": "bool"},
        "unacknowledged": {"count": "int", "latest": [run]},
        "silent_processes": [{**process, "run": "int"}],
        "absent_processes": [process],
        "unknown_tasks": ["str"],
        "clock_ahead_seconds": "float",
        "problems": ["str"],
    }


def test_json_and_check_print_the_json_and_exit_with_one(well: None) -> None:
    Process.objects.all().delete()
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("tasks_status", "--json", "--check", stdout=out)
    assert ended.value.code == 1
    assert json.loads(out.getvalue())["problems"] == [
        "No scheduler is alive. Start one: manage.py runscheduler",
        "No worker is alive. Start one: manage.py rundramatiq",
    ]


def test_everything_is_told_with_the_same_few_queries_however_much_there_is(well: None) -> None:
    asked = []
    for _ in range(2):
        for number in range(5):
            task = f"task {uuid4()}"
            Schedule.objects.create(task=task, every=60 + number)
            new_process(ProcessKind.WORKER, task, pid=number)
            new_process(ProcessKind.WORKER, task, pid=number, seen_at=NOW - MINUTE)
            make(task, State.QUEUED)
            make(task, State.FAILED, finished_at=NOW)
        with CaptureQueriesContext(connection) as queries:
            tasks_status()
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 12


# Schedules.


def test_last_slot_tells_what_became_of_it(well: None) -> None:
    TaskRun.objects.filter(task=TaskName.TODO_CLEANUP).update(state=State.SKIPPED)
    make(TaskName.TODO_CLEANUP, State.SUCCEEDED, scheduled_for=TWO - DAY, finished_at=TWO - DAY)
    cleanup = as_json()["schedules"][2]
    assert cleanup["last_slot"] == "2026-03-10T02:00:00+00:00"
    assert cleanup["last_slot_state"] == "skipped"
    assert cleanup["last_run"]["finished_at"] == "2026-03-09T02:00:00+00:00"
    assert problems() == []


def nights(*states: State | None) -> None:
    """Have the cleanup's last nights have ended so, the latest first; None for no row."""
    TaskRun.objects.filter(task=TaskName.TODO_CLEANUP).delete()
    for ago, state in enumerate(states):
        if state:
            ended = None if state in UNFINISHED else TWO - ago * DAY
            make(
                TaskName.TODO_CLEANUP,
                state,
                scheduled_for=TWO - ago * DAY,
                finished_at=ended,
                started_at=TWO - ago * DAY,
                progressed_at=NOW,
                held_by=Process.objects.get(kind=ProcessKind.WORKER).pk,
                # What somebody has acknowledged is known.
                acknowledged_at=ended,
            )


NO_SUCCESS = (
    "todo.cleanup: none of its slots since 2026-03-09 02:00:00 UTC has succeeded. See why its runs"
    " failed, or were skipped or cancelled."
)


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ([State.SUCCEEDED, State.FAILED, State.FAILED], False),
        ([State.FAILED, State.SUCCEEDED], False),
        ([State.CANCELLED, State.SUCCEEDED], False),
        ([State.FAILED, State.FAILED, State.SUCCEEDED], True),
        ([State.SKIPPED, State.FAILED, State.SUCCEEDED], True),
        ([State.CANCELLED, State.CANCELLED, State.SUCCEEDED], True),
        # A run that has been running for three days, and nights skipped because of it.
        ([State.SKIPPED, State.SKIPPED, State.RUNNING, State.SUCCEEDED], True),
        # The latest is at it, so it is not counted yet.
        ([State.RUNNING, State.FAILED, State.SUCCEEDED], False),
        ([State.RUNNING, State.SUCCEEDED], False),
        ([None, None, State.SUCCEEDED], True),
    ],
)
def test_schedule_none_of_whose_last_slots_has_succeeded_is_a_problem(
    well: None,
    states: list[State | None],
    problem: bool,  # noqa: FBT001
) -> None:
    nights(*states)
    assert (NO_SUCCESS in problems()) is problem


def test_night_that_has_not_succeeded_is_not_made_good_by_a_run_by_hand(well: None) -> None:
    nights(State.FAILED, State.FAILED)
    make(TaskName.TODO_CLEANUP, State.SUCCEEDED, trigger="command", finished_at=NOW)
    assert problems() == [NO_SUCCESS]


def test_schedule_that_was_switched_on_lately_has_no_slots_to_have_succeeded(well: None) -> None:
    nights(State.FAILED, State.FAILED)
    Schedule.objects.filter(task=TaskName.TODO_CLEANUP).update(effective_since=TWO - DAY)
    assert problems() == []


@given(
    every=st.integers(60, 7 * 24 * 60 * 60),
    seconds=st.integers(0, 10**8),
    succeeded=st.integers(0, 10),
    kept=st.integers(0, 10),
)
def test_schedule_is_told_of_if_and_only_if_none_of_its_last_two_slots_has_succeeded(
    every: int, seconds: int, succeeded: int, kept: int
) -> None:
    now = NOW + seconds * SECOND
    number = int((now - MINUTE).timestamp()) // every
    slots = [datetime.fromtimestamp((number - ago) * every, UTC) for ago in range(11)]
    nightly = cast("Any", Schedule(task=TaskName.TODO_CLEANUP, every=every))
    nightly.last_slot = slots[0]
    nightly.last_success_slot = slots[succeeded]
    # Of the slots there were, the schedule has so many behind it.
    nightly.effective_since = slots[kept]
    since = schedules.find_unsuccessful_since(nightly, now, active=False)
    assert since == (slots[1] if succeeded >= 2 and kept >= 2 else None)


@pytest.mark.parametrize("task", ["todo.cleanup", "mail"])
def test_failure_is_a_problem_until_somebody_acknowledges_it(
    well: None, alice: User, task: str
) -> None:
    run = make(task, State.FAILED, finished_at=NOW - MINUTE, error="Trace\nKeyError: 'x'")
    problem = f"{task}: run {run.pk} failed and is not acknowledged: KeyError: 'x'"
    assert problems() == [problem]
    make(task, State.SUCCEEDED, trigger="command", finished_at=NOW)
    assert problems() == [problem]
    assert TaskRun.objects.get(pk=run.pk).acknowledge(alice)
    assert problems() == []
    assert as_json()["failures"]["count"] == 1


def test_run_that_ended_with_errors_is_a_problem(well: None) -> None:
    errors = [{"user_id": 7}] * 500
    swept, mailed = make(TaskName.TODO_CLEANUP, State.RUNNING), make("mail", State.RUNNING)
    for run in (swept, mailed):
        ended = TaskRun.objects.get(pk=run.pk)
        assert ended.succeed({"todos_deleted": 0, "errors": errors})
    assert problems() == [
        f"mail: run {mailed.pk} ended with 500 errors, not acknowledged.",
        (
            f"todo.cleanup: run {swept.pk} ended with 500 errors, not acknowledged: "
            "0 todos swept to the trash."
        ),
    ]


def test_of_many_failures_some_are_told_and_the_others_counted(well: None) -> None:
    for number in range(50):
        make("mail", State.FAILED, finished_at=NOW - number * SECOND, error=f"no {number}")
    *told, more = problems()
    assert [line.rpartition(": ")[2] for line in told] == ["no 0", "no 1", "no 2"]
    assert more == "47 more unacknowledged runs failed or ended with errors."


def test_slot_that_nobody_claims_is_a_problem_after_half_a_minute(
    well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = Schedule.objects.filter(task=TaskName.TODO_CLEANUP)
    nightly.update(last_slot=TWO - DAY)
    dealt_with(TaskName.PING, TWO)
    for later, minutes in ((TaskName.TODO_PURGE, 60), (TaskName.RUNS_PRUNE, 90)):
        dealt_with(later, TWO + minutes * MINUTE - DAY)

    set_clock(monkeypatch, TWO + 29 * SECOND)
    assert problems() == []
    set_clock(monkeypatch, TWO + 31 * SECOND)
    assert problems() == [
        (
            "todo.cleanup: no scheduler has claimed its slot of 2026-03-10 02:00:00 UTC. Check that"
            " one is alive, and that nothing locks the schedule's row."
        )
    ]
    nightly.update(last_slot=None)
    assert len(problems()) == 1
    nightly.update(effective_since=TWO)
    assert problems() == []
    nightly.update(last_slot=TWO - DAY)
    assert problems() == []


def test_schedule_that_is_switched_off_has_no_next_slot_and_no_problems(well: None) -> None:
    Schedule.objects.update(enabled=False, last_slot=None)
    TaskRun.objects.update(state=State.FAILED, acknowledged_at=NOW)
    assert problems() == []
    for schedule in as_json()["schedules"]:
        assert (schedule["next_slot"], schedule["overdue_slot"]) == (None, None)
    assert section("Schedules")[1][-1] == "paused"
    Schedule.objects.update(timezone="Nowhere/Atall")
    assert problems() == []


def test_schedule_whose_times_make_no_sense_is_a_problem_and_no_crash(well: None) -> None:
    Schedule.objects.filter(task=TaskName.TODO_CLEANUP).update(crontab="0 25 * * *")
    Schedule.objects.filter(task=TaskName.PING).update(timezone="Nowhere/Atall")
    assert problems() == [
        (
            "ping: its schedule cannot be used: 'Nowhere/Atall' is not a time zone such as"
            " Europe/Berlin."
        ),
        "todo.cleanup: its schedule cannot be used: '25' is not a valid hour in a crontab.",
    ]
    assert "'25' is not a valid hour" in tasks_status()


def test_schedule_whose_task_has_no_actor_is_a_problem(well: None) -> None:
    Schedule.objects.create(task="no.such", every=60)
    Schedule.objects.update(effective_since=NOW - DAY)
    assert problems() == ["no.such: its schedule cannot be used: No actor does this task."]


# Runs.


def test_runs_in_hand_are_counted_by_task_with_the_oldest_ones_age(well: None) -> None:
    make("mail", State.SUCCEEDED, created_at=NOW - DAY, finished_at=NOW)
    mail = make("mail", State.PENDING, created_at=NOW - 3 * MINUTE)
    make("mail", State.QUEUED)
    make("mail", State.RUNNING)
    make("mail", State.RUNNING)
    report = make("report", State.QUEUED, created_at=NOW + SECOND)
    told = as_json()["runs_in_hand"]
    for runs in told:
        for kind in ("waiting", "stalled", "orphaned", "stopping", "interrupted"):
            assert runs.pop(kind) == {"count": 0, "run": None, "queue": "", "since": None}
    assert told == [
        {
            "task": "mail",
            "pending": 1,
            "queued": 1,
            "running": 2,
            "overdue": 0,
            "oldest_age_seconds": 180.0,
            "oldest_run": mail.pk,
        },
        {
            "task": "report",
            "pending": 0,
            "queued": 1,
            "running": 0,
            "overdue": 0,
            "oldest_age_seconds": 0.0,
            "oldest_run": report.pk,
        },
    ]
    assert section("Active runs")[1:] == [
        ["mail", "1", "1", "2", "3 min ago", f"{mail.pk}"],
        ["report", "0", "1", "0", "0 s ago", f"{report.pk}"],
    ]


NOT_SENT = (
    "mail: 1 run should have been sent by now. Check that a scheduler is alive and that the broker"
    " can be used."
)


def test_run_that_should_have_been_sent_by_now_is_a_problem(well: None) -> None:
    make("mail", State.PENDING, due_at=NOW - 44 * SECOND)
    assert problems() == []
    make("mail", State.PENDING, due_at=NOW - 46 * SECOND)
    assert problems() == [NOT_SENT]


def test_run_that_the_broker_does_not_take_is_a_problem_however_often_it_is_tried(
    well: None,
) -> None:
    run = make("mail", State.PENDING, created_at=NOW - 44 * SECOND)
    assert run.mark_sent()
    assert run.mark_unsent(retry_in=timedelta(seconds=2))
    TaskRun.objects.filter(pk=run.pk).update(due_at=NOW + SECOND)
    assert problems() == []
    TaskRun.objects.filter(pk=run.pk).update(created_at=NOW - 46 * SECOND)
    assert problems() == [NOT_SENT]
    # What waits to be tried again after a failure has been started before.
    TaskRun.objects.filter(pk=run.pk).update(attempts=1, failures=1)
    assert problems() == []


def test_run_of_a_slot_is_no_less_late_while_a_silent_broker_is_tried(well: None) -> None:
    made_at = NOW - 46 * SECOND
    values: dict[str, Any] = {"scheduled_for": made_at, "created_at": made_at, "due_at": made_at}
    run = make("mail", State.PENDING, **values)
    assert run.mark_sent()
    TaskRun.objects.filter(pk=run.pk).update(due_at=NOW - SECOND)
    assert problems() == [NOT_SENT]
    TaskRun.objects.filter(pk=run.pk).update(created_at=NOW - 44 * SECOND)
    assert problems() == []


def test_run_that_no_worker_takes_up_is_a_problem_however_often_it_is_sent(well: None) -> None:
    make("mail", State.QUEUED, due_at=NOW - 44 * SECOND, sent_at=NOW)
    assert problems() == []
    make("mail", State.QUEUED, due_at=NOW - MINUTE, sent_at=NOW)
    # The line names the one that has waited for the longest, whenever it was written.
    oldest = make("mail", State.QUEUED, due_at=NOW - 2 * MINUTE, sent_at=NOW)
    assert problems() == [
        (
            f"mail: run {oldest.pk} has waited for a worker since 2026-03-10 08:58:10 UTC. Start"
            " more workers for the queue default. And 1 more like it."
        )
    ]
    stuck = as_json()["runs_in_hand"][0]["waiting"]
    assert stuck == {
        "count": 2,
        "run": oldest.pk,
        "queue": "default",
        "since": "2026-03-10T08:58:10+00:00",
    }


def test_run_in_a_queue_that_nobody_serves_is_a_problem_that_says_so(well: None) -> None:
    run = make("mail", State.QUEUED, queue="letters", due_at=NOW - MINUTE)
    assert problems() == [
        (
            f"mail: run {run.pk} has waited for a worker since 2026-03-10 08:59:10 UTC. No live"
            " worker serves the queue letters: start one."
        )
    ]


def at_work(task: str, **values: Any) -> TaskRun:
    """Write a run that a live worker is running."""
    worker = Process.objects.get(host="worker")
    return make(task, State.RUNNING, held_by=worker.pk, started_at=NOW - DAY, **values)


def test_run_that_works_in_steps_and_takes_none_is_a_problem(well: None) -> None:
    run = at_work(TaskName.TODO_CLEANUP, progress={"rows": 1}, progressed_at=NOW - MINUTE)
    assert problems() == []
    TaskRun.objects.filter(pk=run.pk).update(progressed_at=NOW - 3 * MINUTE)
    assert problems() == [
        (
            f"todo.cleanup: run {run.pk} is running and has not progressed since"
            " 2026-03-10 08:57:10 UTC."
            f" Stop it with manage.py stop_run {run.pk}, or end its worker."
        )
    ]


def test_run_without_steps_is_a_problem_once_its_time_limit_has_passed(well: None) -> None:
    cleanup = at_work(TaskName.TODO_CLEANUP, progressed_at=NOW - 30 * MINUTE)
    mail = at_work("mail", progressed_at=NOW - 10 * MINUTE)
    assert problems() == []
    for run in (cleanup, mail):
        late = NOW - (32 if run == cleanup else 12) * MINUTE
        TaskRun.objects.filter(pk=run.pk).update(progressed_at=late)
    assert [line.split(" and ")[0] for line in problems()] == [
        f"mail: run {mail.pk} is running",
        f"todo.cleanup: run {cleanup.pk} is running",
    ]


def test_run_of_an_actor_without_a_time_limit_is_a_problem_after_a_day(
    well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(todo_cleanup.options, "time_limit", float("inf"))
    run = at_work(TaskName.TODO_CLEANUP, progressed_at=NOW - DAY)
    assert problems() == []
    TaskRun.objects.filter(pk=run.pk).update(progressed_at=NOW - DAY - 2 * MINUTE)
    assert len(problems()) == 1


def test_run_of_the_version_before_counts_from_its_start(well: None) -> None:
    at_work("mail", progressed_at=None)
    assert len(problems()) == 1


def test_run_whose_process_is_gone_and_that_nobody_takes_is_a_problem(well: None) -> None:
    run = make("mail", State.RUNNING, held_by=uuid4(), progressed_at=NOW - 40 * SECOND)
    assert problems() == []
    TaskRun.objects.filter(pk=run.pk).update(progressed_at=NOW - MINUTE)
    assert problems() == [
        (
            f"mail: run {run.pk} has not progressed since 2026-03-10 08:59:10 UTC: its process is"
            " gone, and no scheduler has released it. Check that one is alive."
        )
    ]


def test_run_that_does_not_stop_is_a_problem(well: None) -> None:
    # That it has not progressed either is not said once more.
    run = at_work("mail", progressed_at=NOW - DAY, stop_requested_at=NOW - MINUTE)
    assert problems() == [
        (
            f"mail: run {run.pk} was asked to stop at 2026-03-10 08:59:10 UTC and is still"
            " running. End its worker if you cannot wait."
        )
    ]


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED])
def test_run_that_is_interrupted_again_and_again_is_a_problem(well: None, state: State) -> None:
    tried = {"attempts": 3, "progressed_at": NOW - 5 * SECOND}
    make("mail", state, **tried)
    make("mail", state, **tried, error="its own", failures=1)
    assert problems() == []
    run = make("mail", state, **tried, error="disk full")
    assert problems() == [
        (
            f"mail: run {run.pk} was interrupted after 2026-03-10 09:00:05 UTC and will be"
            " retried. Its page shows the error."
        )
    ]


def test_run_of_a_task_that_no_live_worker_knows_is_a_problem(well: None) -> None:
    make("mail", State.PENDING)
    Process.objects.filter(host="worker").update(tasks=["mail"])
    assert problems() == []
    Process.objects.filter(host="worker").update(tasks=["ping"])
    (problem,) = problems()
    assert problem.startswith("mail: no live worker knows this task.")
    # Such a worker gives it back for later; that it has not been sent meanwhile is no news.
    TaskRun.objects.filter(task="mail").update(sent_at=NOW, created_at=NOW - DAY)
    assert problems() == [problem]
    TaskRun.objects.filter(task="mail").update(created_at=NOW)
    # One of an earlier version does not say what it knows.
    new_process(ProcessKind.WORKER, "earlier", queues=["default"])
    assert problems() == []


def test_failures_of_the_last_day_are_counted_and_the_latest_told(well: None) -> None:
    make("mail", State.FAILED, finished_at=NOW - DAY - SECOND, error="too old")
    for number in range(12):
        make("mail", State.FAILED, finished_at=NOW - number * SECOND, error=f"Trace\nno {number}")
    failures = as_json()["failures"]
    assert failures["count"] == 12
    assert [run["error"] for run in failures["latest"]] == [f"no {number}" for number in range(10)]
    assert section("Failures of the last day: 12")[1][1:] == [
        *("mail", "2026-03-10 09:00:10 UTC", "no", "no 0")
    ]


# Pings.

ADVICE = (
    "Solve the other problems first; if there are none, read the logs of schedulers and workers."
)


def test_three_pings_in_a_row_without_an_answer_are_a_problem(
    well: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = NOW - 9 * SECOND
    slot = NOW - 10 * SECOND
    Schedule.objects.filter(task=TaskName.PING).update(last_slot=slot + 3 * MINUTE)

    set_clock(monkeypatch, slot + 3 * MINUTE - SECOND)
    assert as_json()["pulse"] == {
        "last_at": answered.isoformat(),
        "age_seconds": 178.0,
        "stale": False,
    }
    assert problems() == []
    set_clock(monkeypatch, slot + 3 * MINUTE + SECOND)
    assert problems() == [f"No ping has been answered since 2026-03-10 09:00:01 UTC. {ADVICE}"]


@pytest.mark.parametrize("state", [State.FAILED, State.SKIPPED])
def test_only_a_ping_that_succeeded_was_answered(well: None, state: State) -> None:
    TaskRun.objects.filter(task=TaskName.PING).update(finished_at=NOW - DAY)
    make(TaskName.PING, state, finished_at=NOW - SECOND)
    assert as_json()["pulse"]["age_seconds"] == DAY.total_seconds()


def test_ping_that_was_never_answered_is_a_problem_once_the_schedule_has_had_three_slots(
    well: None,
) -> None:
    TaskRun.objects.filter(task=TaskName.PING).delete()
    ping = Schedule.objects.filter(task=TaskName.PING)
    assert problems() == [f"No ping has been answered yet. {ADVICE}"]
    ping.update(effective_since=NOW - 10 * SECOND - 2 * MINUTE)
    assert problems() == []
    ping.update(effective_since=NOW - DAY, enabled=False)
    assert problems() == []


def test_last_ping_of_before_a_change_of_the_schedule_is_no_problem_at_once(well: None) -> None:
    TaskRun.objects.filter(task=TaskName.PING).update(finished_at=NOW - DAY)
    assert problems() == [f"No ping has been answered since 2026-03-09 09:00:10 UTC. {ADVICE}"]
    Schedule.objects.filter(task=TaskName.PING).update(effective_since=NOW - MINUTE)
    assert problems() == []


# Queues.


def test_queues_are_told_as_the_broker_has_them(well: None, broker: WakingBroker) -> None:
    for seconds in (90, 40, 30, 10):
        sent_at = int((NOW - seconds * SECOND).timestamp() * 1000)
        broker.enqueue(todo_cleanup.message().copy(message_timestamp=sent_at))
    broker.enqueue(todo_cleanup.message(), delay=60_000)
    (fetched,) = broker.do_fetch("default", 1)
    assert [as_json()["queues"][0]] == [
        {
            "name": "default",
            "waiting": 3,
            "running": 1,
            "delayed": 1,
            "dead": 0,
            "oldest_age_seconds": 40.0,
        }
    ]
    assert section("Queues")[1:2] == [["default", "3", "40 s ago", "1", "1", "0", "-"]]
    assert problems() == []

    broker.do_nack("default", Message.decode(fetched).options["redis_message_id"])
    queue = as_json()["queues"][0]
    assert (queue["running"], queue["dead"]) == (0, 1)
    assert problems() == ["The queue default has 1 dead letter to retry or discard in the console."]


def test_message_that_nobody_fetches_is_a_problem(well: None, broker: WakingBroker) -> None:
    sent_at = int((NOW - MINUTE).timestamp() * 1000)
    broker.enqueue(todo_cleanup.message().copy(message_timestamp=sent_at))
    assert problems() == [
        (
            "The queue default has a message that no worker has fetched for 60 s. Start more"
            " workers, or check whether they are stuck."
        )
    ]


def test_empty_queue_has_no_oldest_message(well: None) -> None:
    queue = as_json()["queues"][0]
    assert queue == {
        "name": "default",
        "waiting": 0,
        "running": 0,
        "delayed": 0,
        "dead": 0,
        "oldest_age_seconds": None,
    }


@pytest.mark.parametrize(
    "data", [b"\xff", b"{}", b'{"message_timestamp": "x"}', b"[" * 100_000, None]
)
def test_message_that_is_none_of_dramatiqs_is_no_crash(
    well: None, broker: WakingBroker, data: bytes | None
) -> None:
    broker.client.rpush("dramatiq:default", "id")
    if data:
        broker.client.hset("dramatiq:default.msgs", "id", data)
    queue = as_json()["queues"][0]
    assert (queue["waiting"], queue["running"], queue["oldest_age_seconds"]) == (1, 0, None)


@pytest.mark.parametrize(
    "timestamp",
    ["soon", float("inf"), float("nan"), -1e300, 1e300, 10**400, -62_135_596_800_000],
    ids=lambda value: str(value)[:9],
)
def test_message_whose_timestamp_is_no_moment_is_no_crash(
    well: None, broker: WakingBroker, timestamp: object
) -> None:
    broker.enqueue(todo_cleanup.message().copy(message_timestamp=timestamp))
    assert as_json()["queues"][0]["oldest_age_seconds"] is None
    assert section("Queues")[1:2] == [["default", "1", "-", "0", "0", "0", "-"]]
    assert problems() == []


def test_queue_of_another_versions_worker_is_told_as_well(well: None, broker: WakingBroker) -> None:
    new_process(ProcessKind.WORKER, "old", queues=["mail"])
    assert [queue["name"] for queue in as_json()["queues"]] == ["default", "mail", "operators"]


@pytest.mark.parametrize("server", ["nobody there", "never answers"])
def test_broker_that_is_away_is_a_problem_and_the_rest_is_still_told(
    well: None,
    broker: WakingBroker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: str,
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        if server == "never answers":
            listener.listen()
        url = f"unix://{tmp_path}/socket?socket_timeout=0.2"
        with monkeypatch.context() as away:
            away.setattr(broker, "short_timeout_client", redis.Redis.from_url(url))
            (problem,) = problems()
            told = as_json()
            printed = tasks_status()
    assert problem.startswith("The broker cannot be used: ")
    assert told["queues"] == []
    assert told["broker_error"]
    assert len(told["schedules"]) == Schedule.objects.count()
    assert f"\nQueues: {told['broker_error']}\n" in printed


@pytest.mark.parametrize(
    ("refuse", "take", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
    ],
)
def test_broker_that_can_be_read_and_takes_nothing_is_a_problem(
    well: None, broker: WakingBroker, refuse: list[str], take: list[str], reason: str
) -> None:
    broker.client.execute_command(*refuse)
    try:
        (problem,) = problems()
    finally:
        broker.client.execute_command(*take)
    assert problem.startswith("The broker cannot be used: ")
    assert reason in problem
    assert problems() == []


def test_broker_that_holds_something_else_is_a_problem_and_no_crash(
    well: None, broker: WakingBroker
) -> None:
    broker.client.set("dramatiq:default", "not a list")
    (problem,) = problems()
    assert "WRONGTYPE" in problem


# Processes.


def test_live_processes_are_told(well: None) -> None:
    Process.objects.filter(kind=ProcessKind.SCHEDULER).update(started_at=NOW - DAY)
    new_process(ProcessKind.WORKER, "gone", seen_at=NOW - 2 * MINUTE)
    scheduler, worker = as_json()["processes"]
    assert (scheduler["kind"], scheduler["host"], scheduler["pid"]) == ("scheduler", "clock", 1)
    assert scheduler["started_at"] == (NOW - DAY).isoformat()
    assert (worker["kind"], worker["host"], worker["queues"]) == (
        "worker",
        "worker",
        ["default", "operators"],
    )
    assert section("Processes")[2][:4] == ["worker", "worker", "2", "default, operators"]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (ProcessKind.SCHEDULER, "No scheduler is alive. Start one: manage.py runscheduler"),
        (ProcessKind.WORKER, "No worker is alive. Start one: manage.py rundramatiq"),
    ],
)
def test_process_that_is_gone_is_a_problem(well: None, kind: ProcessKind, problem: str) -> None:
    Process.objects.filter(kind=kind).update(seen_at=NOW - 2 * MINUTE)
    first, second = problems()
    assert first == problem
    assert second.startswith(f"The {kind} on ")
    Process.objects.filter(kind=kind).delete()
    assert problems() == [problem]


def test_silence_is_told_before_a_process_counts_as_gone(well: None) -> None:
    frozen = new_process(
        ProcessKind.WORKER, "frozen", queues=["default"], seen_at=NOW - 29 * SECOND
    )
    assert problems() == []
    Process.objects.filter(host="frozen").update(seen_at=NOW - 31 * SECOND)
    assert problems() == [
        (
            "The worker on frozen, process 3, has sent no heartbeat since 2026-03-10 08:59:39 UTC."
            " Check whether it is frozen, or cut off from the database."
        )
    ]
    run = make("mail", State.RUNNING, held_by=frozen.pk, progressed_at=NOW)
    make("mail", State.RUNNING, held_by=frozen.pk, progressed_at=NOW)
    (problem,) = problems()
    assert problem.endswith(f" Its runs, such as {run.pk}, will soon be released.")


@pytest.mark.postgresql
@pytest.mark.parametrize("seen_before", [True, False])
def test_database_that_is_read_only_is_told_instead_of_what_follows_from_it(
    well: None,
    seen_before: bool,  # noqa: FBT001
) -> None:
    make(TaskName.TODO_CLEANUP, State.QUEUED, due_at=NOW - 10 * MINUTE)
    make(TaskName.PING, State.PENDING, due_at=NOW - 10 * MINUTE)
    Schedule.objects.filter(task=TaskName.PING).update(last_slot=NOW - 5 * MINUTE)
    Process.objects.update(seen_at=NOW - 5 * MINUTE)
    if not seen_before:
        Process.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        assert problems()[0] == (
            "The database is read-only: nothing can be saved, and no task runs. Find out why, and"
            " have it accept writes."
        )
        about = "\n".join(problems())
    for process in ("scheduler", "worker", "heartbeat"):
        assert process not in about


def test_processes_that_all_went_silent_at_once_may_live_and_the_disk_be_full(well: None) -> None:
    line = "If they still run, the database may accept no writes: is its disk full?"
    Process.objects.update(seen_at=NOW - 2 * MINUTE)
    assert [line in each for each in problems()].count(True) == 1
    Process.objects.filter(kind=ProcessKind.WORKER).update(seen_at=NOW - 3 * MINUTE)
    assert line not in "\n".join(problems())
    Process.objects.filter(kind=ProcessKind.WORKER).update(seen_at=NOW)
    assert line not in "\n".join(problems())


def test_each_silence_of_each_process_is_a_problem_of_its_own(well: None) -> None:
    """Or an alert of one would keep another's from being told, or name an earlier moment."""

    def kinds() -> set[str]:
        return {one.kind for one in find_problems(status.gather()) if "silent" in one.kind}

    new_process(ProcessKind.WORKER, "frozen", seen_at=NOW - 40 * SECOND)
    first = kinds()
    new_process(ProcessKind.WORKER, "frozen", seen_at=NOW - 41 * SECOND, pid=4)
    both = kinds()
    assert len(both) == 2
    assert first < both
    Process.objects.filter(host="frozen", pid=3).update(seen_at=NOW - 35 * SECOND)
    assert len(kinds() | both) == 3


def test_of_many_silent_processes_the_latest_are_named(well: None) -> None:
    for pid in range(1, 31):
        new_process(ProcessKind.WORKER, "frozen", pid=pid, seen_at=NOW - (30 + pid) * SECOND)
    lines = problems()
    assert len(lines) == 21
    assert lines[0].startswith("The worker on frozen, process 1, has sent no heartbeat since ")
    assert lines[-1] == "10 more processes are silent."


def test_clock_of_the_database_that_was_set_back_is_told(well: None) -> None:
    new_process(ProcessKind.WORKER, "later", queues=["default"], seen_at=NOW + 2 * MINUTE)
    assert problems() == [
        (
            "The worker on later, process 3, sent a heartbeat later than now: the database's clock"
            " was set back."
        )
    ]


def test_runs_of_the_future_do_not_stand_for_those_that_come_now(well: None) -> None:
    """The database's clock was ahead, and has been set back."""
    later = {"finished_at": NOW + 60 * MINUTE, "scheduled_for": NOW + DAY}
    before = as_json()
    for task in (TaskName.PING, TaskName.TODO_CLEANUP):
        make(task, State.SUCCEEDED, **later)
    after = as_json()
    assert before["pulse"]["last_at"] == after["pulse"]["last_at"]
    for name in ("last_run", "last_success_slot"):
        was, now = ([row[name] for row in told["schedules"]] for told in (before, after))
        assert was == now
    assert problems() == []


def test_one_moment_that_was_missed_is_a_problem_until_it_gets_another(well: None) -> None:
    once = Schedule.objects.create(
        task=TaskName.TODO_CLEANUP, name="once", once_at=NOW - 60 * SECOND
    )
    moment = {"effective_since": NOW - DAY, "last_slot": once.once_at}
    Schedule.objects.filter(pk=once.pk).update(**moment)
    run = make(
        TaskName.TODO_CLEANUP,
        State.SKIPPED,
        schedule_name="once",
        scheduled_for=once.once_at,
        finished_at=NOW,
    )
    (line,) = problems()
    assert line.startswith("todo.cleanup (once): it was to run once, at 2026-03-10 08:59")
    assert "was skipped. Give it another moment" in line
    TaskRun.objects.filter(pk=run.pk).update(state=State.SUCCEEDED)
    assert problems() == []


def test_schedule_that_waits_for_a_clock_that_was_set_back_is_a_problem(well: None) -> None:
    cleanup = Schedule.objects.filter(task=TaskName.TODO_CLEANUP)
    dealt_with(TaskName.TODO_CLEANUP, TWO + 365 * DAY)
    (problem,) = problems()
    assert problem.startswith(
        "todo.cleanup: it does not run before 2027-03-10 02:00:00 UTC, as the database's clock was"
        " set back."
    )
    cleanup.update(last_slot=None, effective_since=NOW + 2 * MINUTE)
    assert len(problems()) == 1
    cleanup.update(effective_since=NOW + SECOND)
    assert problems() == []


@pytest.mark.parametrize(("ahead", "differs"), [(61.0, "61 s ahead of"), (-7200.0, "2 h behind")])
def test_clocks_that_differ_are_a_problem(
    well: None, monkeypatch: pytest.MonkeyPatch, ahead: float, differs: str
) -> None:
    monkeypatch.setattr(processes, "clock_ahead", lambda _: ahead)
    assert problems() == [
        (
            f"This host's clock is {differs} the database's. Synchronize both with a time server:"
            " tasks may refuse to run until then."
        )
    ]
    monkeypatch.setattr(processes, "clock_ahead", lambda _: 59.0)
    assert problems() == []


def test_queue_that_no_live_worker_serves_is_a_problem(well: None) -> None:
    Process.objects.filter(kind=ProcessKind.WORKER).update(queues=["mail", "operators"])
    assert problems() == ["No live worker serves the queue default. Start one that does."]
    assert as_json()["unserved_queues"] == ["default"]


def test_workers_of_the_version_before_need_not_serve_a_queue_that_is_new(well: None) -> None:
    workers = Process.objects.filter(kind=ProcessKind.WORKER)
    known = set(TaskName) - {TaskName.RUNS_RETRY, TaskName.RUNS_CANCEL, TaskName.RUNS_ACKNOWLEDGE}
    workers.update(queues=["default"], tasks=sorted(known))
    assert problems() == []
    workers.update(tasks=sorted(TaskName))
    assert problems() == ["No live worker serves the queue operators. Start one that does."]


# What is printed.


def test_nothing_that_a_terminal_would_obey_is_printed(well: None, broker: WakingBroker) -> None:
    Schedule.objects.create(task=f"a{HOSTILE}", every=60)
    Schedule.objects.update(effective_since=NOW - DAY)
    Schedule.objects.filter(task=TaskName.PING).update(timezone=HOSTILE)
    new_process(ProcessKind.WORKER, HOSTILE, queues=["default", f"q{HOSTILE}"])
    make(HOSTILE, State.PENDING, due_at=NOW - DAY)
    make(TaskName.TODO_CLEANUP, State.FAILED, finished_at=NOW, error=f"KeyError: {HOSTILE}")

    shown = [tasks_status(), "\n".join(problems()), tasks_status("--json")]

    # The broker names the key that it complains about.
    broker.client.set(f"dramatiq:q{HOSTILE}", "not a list")
    shown += [tasks_status(), "\n".join(problems())]

    for text in shown:
        assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert shown[0].count("?[31mred??tfel?") >= 6
    assert shown[1].count("\n") == 3


def test_error_of_many_lines_takes_one_and_a_long_one_is_cut(well: None) -> None:
    make("mail", State.FAILED, finished_at=NOW, error="Trace\nKeyError: " + "x" * 1000)
    (row,) = section("Failures of the last day: 1")[1:]
    assert row[-1] == "KeyError: " + "x" * 190


def test_database_that_is_away_is_one_clear_line(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> datetime:
        raise OperationalError("connection failed:\n\tis the server running?")

    monkeypatch.setattr(processes, "database_now", away)
    with pytest.raises(CommandError) as refused:
        tasks_status("--check")
    assert str(refused.value) == (
        "The database cannot be queried: connection failed: is the server running?"
    )


@contextmanager
def frozen_server(folder: Path, *, greets: bool) -> Iterator[None]:
    """Have a database server take connections in a folder, and then say nothing.

    Args:
        folder: of its socket.
        greets: it froze after it had let the client in.
    """
    connections: list[socket.socket] = []

    def greet() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                connections.append(client)
                client.recv(1024)
                client.sendall(GREETING)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen()
        greeting = Thread(target=greet, daemon=True)
        if greets:
            greeting.start()
        yield
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        if greets:
            greeting.join(10)
    for client in connections:
        client.close()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("greets", "line"),
    [
        (False, "CommandError: The database cannot be queried: "),
        (True, "CommandError: The database does not answer within 15 s."),
    ],
)
def test_check_of_a_database_that_never_answers_says_so_within_seconds(
    tidy: Tidy,
    tmp_path: Path,
    greets: bool,  # noqa: FBT001
    line: str,
) -> None:
    tidy.settings = {**tidy.settings, "DATABASE_URL": f"postgresql://me@/tidy?host={tmp_path}"}
    with frozen_server(tmp_path, greets=greets):
        told = tidy.manage("tasks_status", "--check", seconds=40)
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.startswith(line)
    assert told.stderr.count("\n") == 1


@pytest.mark.e2e
def test_check_of_a_database_that_takes_too_long_says_so_within_seconds(
    tidy: Tidy,
) -> None:
    with psycopg.connect(tidy.settings["DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE tasks_taskrun")
        told = tidy.manage("tasks_status", "--check", seconds=40)
    assert told.returncode == 1
    assert told.stderr == (
        "CommandError: The database cannot be queried: canceling statement due to statement"
        " timeout\n"
    )


@pytest.mark.e2e
def test_check_of_a_real_system_fails_when_its_processes_are_killed(tidy: Tidy) -> None:
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    alone = tidy.manage("tasks_status", "--check")
    assert alone.returncode == 1
    assert alone.stdout == (
        "No scheduler is alive. Start one: manage.py runscheduler\n"
        "No worker is alive. Start one: manage.py rundramatiq\n"
    )

    with (
        tidy.start("runscheduler") as scheduler,
        tidy.start("rundramatiq", "--processes=1", "--threads=2"),
    ):
        wait_until(
            lambda: tidy.manage("tasks_status", "--check").returncode == 0,
            seconds=60,
            otherwise=lambda: tidy.manage("tasks_status").stdout,
        )
        told = json.loads(tidy.manage("tasks_status", "--json", "--check").stdout)
        assert told["problems"] == []
        assert [process["kind"] for process in told["processes"]] == ["scheduler", "worker"]
        assert told["processes"][0]["pid"] == scheduler.popen.pid
        assert told["processes"][1]["queues"] == ["default", "operators"]
        assert [queue["name"] for queue in told["queues"]] == ["default", "operators"]

    wait_until(
        lambda: tidy.manage("tasks_status", "--check").stdout.startswith(alone.stdout),
        seconds=30,
        otherwise=lambda: tidy.manage("tasks_status").stdout,
    )
