"""Paused queues and leaving workers: what the verdict says, who may ask for it, and how."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from io import StringIO
from threading import Event
from time import sleep
from typing import Any
from uuid import UUID

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from dramatiq import MessageProxy, Middleware, Worker

from accounts.models import User
from tasks.engine.actors import runs_prune
from tasks.engine.broker.intake import Intake
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.metrics.status import status_metrics
from tasks.engine.models import Process, ProcessKind, Queue, Schedule, State, TaskRun
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import gather
from tasks.engine.operations import queues
from tasks.engine.operations.errors import Refused
from tasks.engine.runs.enqueue import enqueue
from tasks.engine.runs.execution import Execution, shutting_down
from tasks.engine.scheduler.defaults import add_missing_schedules
from tasks.engine.worker import attempts
from tasks.engine.worker.control import Control
from tasks.engine.worker.intake import NotTaken
from tasks.engine.worker.opening import open_attempt
from tests.admin_pages import HOSTILE, Page, log_in_staff
from tests.factories import new_process, new_run
from tests.processes import wait_until
from tests.tasks.engine.relaying import relay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

PAGE = "/admin/background/"
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
LONG_AGO = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def boss(transactional_db: None, client: Client) -> Client:
    """A client that may do everything."""
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def worker(transactional_db: None) -> Process:
    """All is well: a scheduler and a worker are there, and every schedule has just begun."""
    add_missing_schedules()
    new_process(ProcessKind.SCHEDULER, host="one", pid=1)
    return new_process(host="two", pid=2, queues=["default", "operators"], command_pid=1)


def verdict() -> list[str]:
    return list(problems(gather()))


def paused(**values: Any) -> Queue:
    """Return the queue `default`, paused a moment ago unless told otherwise."""
    return Queue.objects.create(name="default", note="The mail server moves.", **values)


def words(client: Client, address: str = PAGE) -> str:
    """Return the words of a page that breaks no policy."""
    response = client.get(address)
    assert response.status_code == 200
    html = response.content.decode()
    assert Page(html).blocked == []
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html.split("<main")[1])).split())


def address_to(name: str, queue: str) -> str:
    return f"{reverse(f'background:{name}')}?{urlencode({'queue': queue})}"


def told(client: Client, address: str, **data: str) -> str:
    """Press a button; return the messages of the page that comes then."""
    response = client.post(address, data, follow=True)
    assert response.status_code == 200
    return " ".join(map(str, response.context["messages"]))


# The verdict.


def test_paused_queue_is_one_line_that_says_since_when_by_whom_and_why(worker: Process) -> None:
    assert verdict() == []
    alice = User.objects.create_user("alice")
    paused(paused_at=LONG_AGO, paused_by=alice)
    new_run(State.QUEUED)
    new_run(State.PENDING, due_at=timezone.now() + DAY)
    new_run(State.QUEUED, queue="other")
    (line,) = verdict()
    assert line == (
        "The queue default has been paused since 2026-03-10 00:00:00 UTC, by alice: The mail server"
        " moves. 1 run waits."
    )
    alice.delete()
    assert ", by" not in verdict()[0]


def test_nothing_that_follows_from_a_pause_is_told_beside_it(
    worker: Process, broker: WakingBroker
) -> None:
    long_ago = timezone.now() - 3 * DAY
    paused(paused_at=long_ago)
    Schedule.objects.update(effective_since=long_ago, last_slot=timezone.now() + MINUTE / 4)
    new_run(State.QUEUED, created_at=long_ago, due_at=long_ago)
    broker.enqueue(runs_prune.message().copy(message_timestamp=int(long_ago.timestamp() * 1000)))
    # Suspects are published one at a time: the second one waits for the first.
    new_run(State.QUEUED, crashes=2, due_at=long_ago)
    new_run(State.PENDING, crashes=2, due_at=long_ago)
    assert [line.partition(" since")[0] for line in verdict()] == [
        "The queue default has been paused"
    ]
    assert gather().last_ping.stale is False

    Queue.objects.update(resumed_at=Now())
    assert verdict() == [], "workers have a minute"
    Queue.objects.update(resumed_at=timezone.now() - 2 * MINUTE)
    after = " ".join(verdict())
    assert "No ping has been answered" in after
    assert "has waited for a worker" in after
    assert "a message that no worker has fetched" in after
    assert "should have been sent by now" in after


def test_pause_explains_no_slot_that_failed_before_it(worker: Process) -> None:
    task = "todo.cleanup"
    long_ago = timezone.now() - 30 * DAY
    Schedule.objects.filter(task=task).update(
        effective_since=long_ago, crontab="0 0 * * *", last_slot=timezone.now() - DAY
    )
    Schedule.objects.exclude(task=task).delete()
    paused(paused_at=timezone.now() - MINUTE)
    assert any("none of its slots" in line for line in verdict())
    Queue.objects.update(paused_at=timezone.now() - 2 * DAY)
    assert not any("none of its slots" in line for line in verdict())


def test_worker_of_an_earlier_version_takes_from_it_and_the_verdict_says_so(
    worker: Process,
) -> None:
    Process.objects.update(command_pid=None)
    paused()
    assert verdict()[0].endswith("1 worker of an earlier version still takes from it.")


def test_runs_of_a_paused_queue_say_what_they_wait_for(boss: Client) -> None:
    Queue.objects.create(name="default", note="The mail server moves.")
    runs = [new_run(State.QUEUED), new_run(State.PENDING, due_at=timezone.now())]
    for run in runs:
        page = boss.get(reverse("admin:tasks_taskrun_change", args=[run.pk])).content.decode()
        assert "Waiting until the queue default is resumed" in page
    for page in ("/admin/tasks/taskrun/", "/admin/background/"):
        html = boss.get(page).content.decode()
        assert html.count("Waiting until the queue default is resumed") == 2


def test_worker_that_is_about_to_leave_serves_no_queue(worker: Process) -> None:
    Process.objects.filter(pk=worker.pk).update(leaving_since=Now())
    assert verdict() == [
        f"No live worker serves the queue {name}. Start one that does."
        for name in ("default", "operators")
    ]
    new_process(host="three", pid=3, queues=["default", "operators"], command_pid=1)
    assert verdict() == []


def test_monitoring_sees_that_a_queue_is_paused(worker: Process) -> None:
    def shown() -> dict[tuple[str, ...], float]:
        (metric,) = (m for m in status_metrics(gather()) if m.name == "queue_paused")
        return dict(metric.samples)  # type: ignore[arg-type]

    assert shown()["default",] == 0
    paused()
    assert shown()["default",] == 1


def test_relay_fails_no_run_of_a_paused_queue_for_want_of_a_worker_that_knows_its_task(
    worker: Process,
) -> None:
    long_ago = timezone.now() - DAY
    Process.objects.update(started_at=long_ago, tasks=["ping"])
    run = new_run(State.PENDING, due_at=long_ago)
    paused()
    relay()
    run.refresh_from_db()
    assert run.state == State.PENDING
    Queue.objects.update(resumed_at=timezone.now() - DAY / 2)
    relay()
    run.refresh_from_db()
    assert run.state == State.FAILED


# Workers.


@contextmanager
def at_work(broker: WakingBroker) -> Iterator[Worker]:
    """Run a worker in this process."""
    middleware, broker.intake = list(broker.middleware), Intake()
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        shutting_down.clear()
        broker.middleware, broker.intake = middleware, Intake()


def test_run_that_was_fetched_before_the_pause_goes_back_and_counts_no_attempt(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Control, "look", lambda _: None)  # It has not looked since.
    with at_work(broker):
        queues.pause("default", note="a move")
        run = enqueue(runs_prune)
        keys = broker.keys("default")
        wait_until(
            lambda: not broker.intake.takes_from("default") and not len(broker.active("default")),
            seconds=30,
            otherwise=lambda: "it was not given back",
        )
        assert broker.client.lrange(keys.waiting, 0, -1) == [str(run.delivery).encode()]
        run.refresh_from_db()
        assert (run.state, run.attempts, run.sends) == (State.QUEUED, 0, 1)
        queues.resume("default")
        monkeypatch.undo()
        ended = TaskRun.objects.filter(pk=run.pk, state=State.SUCCEEDED, attempts=1)
        wait_until(ended.exists, seconds=30, otherwise=lambda: "it was not run")


def test_statement_that_starts_an_attempt_asks_for_the_pause() -> None:
    """Not one before it: the process may be frozen in between."""
    worker = new_process()
    queues.pause("default", note="a move")
    waits = new_run(State.QUEUED)
    elsewhere = new_run(State.QUEUED, queue="operators")
    assert not waits.start(worker.pk)
    assert elsewhere.start(worker.pk)
    queues.resume("default")
    assert waits.start(worker.pk)


def test_run_whose_queue_is_paused_as_it_is_about_to_start_goes_back(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Control, "look", lambda _: None)
    start, paused = TaskRun.start, Event()

    def pause_and_start(run: TaskRun, process: UUID, **how: Any) -> bool:
        if not paused.is_set():
            queues.pause("default", note="a move")
            paused.set()
        return start(run, process, **how)

    monkeypatch.setattr(TaskRun, "start", pause_and_start)
    with at_work(broker):
        run = enqueue(runs_prune)
        wait_until(
            lambda: paused.is_set() and not len(broker.active("default")),
            seconds=30,
            otherwise=lambda: "it was not given back",
        )
        run.refresh_from_db()
        assert (run.state, run.attempts, run.sends) == (State.QUEUED, 0, 1)
    assert broker.client.llen(broker.keys("default").waiting) == 1


def test_runs_given_back_and_fetched_again_by_the_same_worker_are_each_run_once(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a queue is paused and resumed while its messages wait for a thread."""
    declined: Counter[str] = Counter()

    def decline_three_times(message: MessageProxy, *others: Any) -> Execution | None:
        if declined[message.message_id] < 3:
            declined[message.message_id] += 1
            raise NotTaken
        return open_attempt(message, *others)

    class SlowToAcknowledge(Middleware):
        def before_ack(self, *_: object) -> None:
            sleep(0.1)

    monkeypatch.setattr(attempts, "open_attempt", decline_three_times)
    with at_work(broker):
        broker.add_middleware(SlowToAcknowledge())
        runs = [enqueue(runs_prune) for _ in range(5)]
        ended = TaskRun.objects.filter(state=State.SUCCEEDED, attempts=1, sends=1)
        wait_until(lambda: ended.count() == 5, seconds=30, otherwise=lambda: str(declined))
        kept = broker.keys("default").messages
        wait_until(
            lambda: not broker.client.hlen(kept), seconds=30, otherwise=lambda: "not acknowledged"
        )
    assert declined == dict.fromkeys([str(run.message_id) for run in runs], 3)


def test_worker_that_takes_nothing_stays_alive_for_the_broker(broker: WakingBroker) -> None:
    with at_work(broker):
        broker.intake.shut()
        heartbeats = f"{broker.namespace}:__heartbeats__"
        broker.client.zadd(heartbeats, {broker.broker_id: 1})
        wait_until(
            lambda: (broker.client.zscore(heartbeats, broker.broker_id) or 0) > 1,
            seconds=30,
            otherwise=lambda: "it counts as dead",
        )


# The console.


def test_queue_is_paused_with_a_note_and_resumed(boss: Client, worker: Process) -> None:
    assert "Pause …" in words(boss)
    page = address_to("pause-queue", "default")
    assert "begin nothing of this queue until it is resumed" in words(boss, page)
    assert told(boss, page, note=" The mail\nserver moves ") == "The queue default is paused."
    queue = Queue.objects.get()
    assert (queue.note, queue.paused_by) == ("The mail server moves", User.objects.get())
    shown = words(boss)
    assert "by boss: The mail server moves. No run waits" not in shown
    assert "by boss: The mail server moves. 0 runs wait." in shown
    assert re.search(r"paused since \S+ \S+ UTC by boss: The mail server moves Resume", shown)
    resume = address_to("resume-queue", "default")
    assert told(boss, resume) == "The queue default is resumed."
    assert told(boss, resume) == "The queue default is not paused."
    logged = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(logged) == [
        ("default", "Paused: The mail server moves"),
        ("default", "Resumed."),
    ]


@pytest.mark.parametrize(
    ("note", "fault"),
    [("", "Say why"), ("  ", "Say why"), ("x" * 201, "longer than 200 characters")],
)
def test_note_that_says_nothing_or_too_much_is_refused_beside_its_field(
    boss: Client, worker: Process, note: str, fault: str
) -> None:
    response = boss.post(address_to("pause-queue", "default"), {"note": note})
    html = response.content.decode()
    assert fault in html
    assert note in html
    assert 'aria-describedby="note-fault"' in html
    assert not Queue.objects.exists()


def test_queue_is_paused_while_the_broker_is_away(
    boss: Client, worker: Process, broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = redis.Redis.from_url("unix:///nonexistent/valkey.sock")
    monkeypatch.setattr(broker, "short_timeout_client", nowhere)
    assert "could not be read" in words(boss)
    assert "default unknown open Pause …" in words(boss)
    assert "is paused" in told(boss, address_to("pause-queue", "default"), note="a move")
    assert "default unknown paused since" in words(boss)


@pytest.mark.parametrize("name", ["", "no such queue", "x" * 300, "a/b"])
def test_queue_that_is_not_there_cannot_be_paused(boss: Client, worker: Process, name: str) -> None:
    assert boss.get(address_to("pause-queue", name)).status_code == 404
    response = boss.post(address_to("resume-queue", name), follow=True)
    assert response.status_code == 200
    assert not Queue.objects.exists()


def test_queue_with_any_name_is_paused_and_shown_inert(boss: Client, worker: Process) -> None:
    name = f"a/b?c=d&e#{HOSTILE}"[:100]
    Process.objects.update(queues=["default", name])
    assert "is paused" in told(boss, address_to("pause-queue", name), note=HOSTILE)
    html = boss.get(PAGE).content.decode()
    assert "<script>alert" not in html
    found = re.search(r'action="([^"]*resume/\?queue=a[^"]*)"', html)
    assert found
    assert "is resumed" in told(boss, unescape(found[1]))


def test_two_who_pause_at_once_pause_once(worker: Process) -> None:
    queues.pause("default", note="first")
    with pytest.raises(Refused, match="was paused already"):
        queues.pause("default", note="second")
    assert Queue.objects.get().note == "first"
    queues.resume("default")
    queues.pause("default", note="third")
    assert Queue.objects.get().note == "third"


@pytest.mark.parametrize("permissions", [["view_taskrun"], ["pause_queue"], ["stop_process"]])
def test_who_lacks_a_permission_pauses_nothing_and_sends_nobody_away(
    client: Client, worker: Process, permissions: list[str]
) -> None:
    log_in_staff(client, *permissions)
    for name in ("pause-queue", "resume-queue"):
        assert client.post(address_to(name, "default"), {"note": "x"}).status_code == 403
    leave = reverse("background:leave", args=[worker.pk])
    assert client.post(leave, {"confirmed": "1"}).status_code == 403
    if permissions == ["view_taskrun"]:
        page = words(client)
        assert "Pause …" not in page
        assert "Finish and leave" not in page


def test_worker_is_asked_to_leave_with_the_others_of_its_command(
    boss: Client, worker: Process
) -> None:
    sibling = new_process(host="two", pid=3, queues=["default"], command_pid=1)
    other = new_process(host="three", pid=3, queues=["default", "operators"], command_pid=1)
    runs = [new_run(State.RUNNING, held_by=sibling.pk).pk for _ in range(7)]
    shown = words(boss)
    assert f"{' , '.join(map(str, runs[:5]))} and 2 more" in shown
    leave = reverse("background:leave", args=[worker.pk])
    question = boss.post(leave).content.decode()
    assert "2 processes of one command: 2, 3. In hand now: 7 runs." in question
    assert "No other worker serves" not in question
    other.delete()
    question = boss.post(leave).content.decode()
    assert "No other worker serves default, operators: nothing of that runs" in question
    other.save(force_insert=True)
    assert not Process.objects.filter(leave_requested_at__isnull=False).exists()
    assert told(boss, leave, confirmed="1") == "2 processes are asked to finish and leave."
    asked = Process.objects.filter(leave_requested_by=User.objects.get())
    assert {one.pk for one in asked} == {worker.pk, sibling.pk}
    assert LogEntry.objects.filter(change_message="Asked to finish and leave.").count() == 2
    assert "was asked before, or has left" in told(boss, leave, confirmed="1")

    assert words(boss).count("was asked to leave, and has not taken note yet") == 2
    Process.objects.note_leaving(sibling.pk)
    assert "finishing: 7 runs in hand" in words(boss)
    assert Process.objects.get(pk=other.pk).leave_requested_at is None


def test_only_workers_that_heed_it_are_asked_to_leave(boss: Client, worker: Process) -> None:
    Process.objects.update(command_pid=None)
    assert "Finish and leave" not in words(boss)
    assert "of an earlier version: heeds no pause" in words(boss)
    for process in Process.objects.all():
        leave = reverse("background:leave", args=[process.pk])
        assert "cannot be asked to leave" in told(boss, leave, confirmed="1")
    assert not Process.objects.filter(leave_requested_at__isnull=False).exists()


def test_user_who_asked_can_be_deleted_by_the_database_alone(worker: Process) -> None:
    """The version before knows nothing of these columns when it deletes a user."""
    alice = User.objects.create_user("alice")
    paused(paused_by=alice)
    Process.objects.filter(pk=worker.pk).update(leave_requested_by=alice)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [alice.pk])
    assert Queue.objects.get().paused_by_id is None
    assert Process.objects.get(pk=worker.pk).leave_requested_by_id is None


# The command.


def pause_queue(*arguments: str) -> str:
    out = StringIO()
    call_command("pause_queue", *arguments, stdout=out)
    return out.getvalue()


def test_command_pauses_and_resumes(worker: Process) -> None:
    assert pause_queue("default", "--note", "a move") == "The queue default is paused.\n"
    assert Queue.objects.paused().get().paused_by is None
    assert pause_queue("default", "--resume") == "The queue default is resumed.\n"
    assert not Queue.objects.paused().exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *(("default",), ("default", "--resume"), ("default", "--note="), ("nowhere", "--note=x")),
        ("default", "--resume", "--note=x"),
    ],
)
def test_command_that_changes_nothing_is_an_error(
    worker: Process, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(CommandError):
        pause_queue(*arguments)
