"""Alerts of real schedulers: one for all of them, whatever is away, and whoever is killed."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from project.mail import NO_STARTTLS
from tests.counting import number
from tests.mail_server import MailServer, mail_server
from tests.plugin import RUNTIME
from tests.processes import Process, Tidy, wait_until
from tests.receiver import Receiver, documented_check, receiver
from tests.seam.injection import Die, Pause, Value
from tests.servers import start_valkey
from tests.tasks.faults import database_away

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

WORKER = ("rundramatiq", "--processes=1", "--threads=2")
SECRET = "made-up-for-these-tests-0123456789-abcdef"
ADDRESSES = ("ops@example.org", "boss@example.org")

#: Of these tests, where a minute is two seconds.
LASTING = 2.0

#: What a scheduler of these tests writes after each look.
LOOKED = "paused after tasks.engine.alerts.process:Alerts.look"


@dataclass
class Stage:
    """A system whose alerts go to servers of ours."""

    tidy: Tidy
    mail: MailServer
    hook: Receiver
    switch: Receiver
    sql: psycopg.Connection
    brokers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        """What the webhooks told."""
        return [content["event"] for content in self.contents]

    @property
    def contents(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.hook.requests]

    @property
    def subjects(self) -> Counter[str]:
        """The subjects of mails, and how many of each."""
        return Counter(str(mail["Subject"]) for mail in self.mail.mails)

    def forget_processes_soon(self) -> None:
        """Have one that is killed soon no longer be in the verdict."""
        self.tidy.settings = {**self.tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}

    @contextmanager
    def schedulers(self, count: int) -> Iterator[list[Process]]:
        """Run some until the block ends."""
        with ExitStack() as stack:
            started = [stack.enter_context(self.tidy.start("runscheduler")) for _ in range(count)]
            for scheduler in started:
                scheduler.wait_for("scheduler started")
            yield started
            for scheduler in started:
                if scheduler.popen.poll() is None:
                    assert scheduler.stop(seconds=30) == 0
                assert "Traceback" not in scheduler.output()

    @contextmanager
    def worker(self) -> Iterator[Process]:
        with self.tidy.start(*WORKER) as worker:
            worker.wait_for("Worker process is ready")
            yield worker
            assert worker.stop() == 0

    def wait_for_events(self, *events: str, seconds: float = 30) -> None:
        wait_until(
            lambda: len(self.events) >= len(events) and len(self.mail.mails) >= self.mails,
            seconds=seconds,
            otherwise=lambda: f"{self.events} are not {events}, or {self.subjects}",
        )
        assert self.events == list(events)

    def wait_for_end(self, *, alerts: int = 1) -> None:
        """Return when it is told that all is over; what came up meanwhile may have been told."""
        wait_until(
            lambda: "over" in self.events and len(self.mail.mails) >= self.mails,
            seconds=60,
            otherwise=lambda: f"{self.events}, {self.subjects}",
        )
        without = [event for event in self.events if event != "more"]
        assert without == [*["alert"] * alerts, "over"]

    def wait_until_delivered(self) -> None:
        """Return when nothing is left to deliver."""
        left = "SELECT json_array_length(content::json->'deliveries') FROM tasks_alertstate"
        wait_until(
            lambda: self.sql.execute(left).fetchone() == (0,),
            seconds=30,
            otherwise=lambda: f"{self.events}, {self.subjects}",
        )

    @property
    def mails(self) -> int:
        """How many mails are to be expected."""
        kinds = {request.headers["Webhook-Id"] for request in self.hook.requests}
        return len(ADDRESSES) * len(kinds) if self.mail.go_on.is_set() else 0

    def stay_silent(self, schedulers: list[Process]) -> None:
        """Let so many looks pass that whatever is wrong would have been told again."""
        told = (self.events, self.subjects)
        look_often(schedulers)
        assert (self.events, self.subjects) == told


def shorten(tidy: Tidy, constants: Mapping[str, float]) -> None:
    """Give constants other values, by their paths in the folder of alerts."""
    tidy.inject(*(Value(f"tasks.engine.alerts.{path}", v) for path, v in constants.items()))


def look_often(schedulers: list[Process]) -> None:
    """Return when each has looked ten times more."""
    before = [each.output().count(LOOKED) for each in schedulers]
    for scheduler, looks in zip(schedulers, before, strict=True):
        scheduler.wait_for(LOOKED, times=looks + 10)


@pytest.fixture
def stage(tidy: Tidy) -> Iterator[Stage]:
    with (
        mail_server() as mail,
        receiver() as hook,
        receiver() as switch,
        psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as sql,
    ):
        tidy.settings = {
            **tidy.settings,
            "EMAIL_URL": mail.url,
            "ALERT_EMAILS": ",".join(ADDRESSES),
            "ALERT_WEBHOOK_URL": hook.url,
            "ALERT_WEBHOOK_SECRET": SECRET,
            "ALERT_CHECK_IN_URL": switch.url,
            "ALERT_PRIVATE_TARGETS": "true",
        }
        shorter = {
            "episodes:LOOK_SECONDS": 0.4,
            "episodes:LASTING_SECONDS": LASTING,
            "outbox:CLAIM_SECONDS": 8.0,
            "process:LATEST_START_SECONDS": 4.0,
            "outbox:FIRST_PAUSE_SECONDS": 0.5,
        }
        tidy.inject(Pause("after", LOOKED.rsplit(maxsplit=1)[-1], seconds=0))
        tidy.inject(*(Value(f"tasks.engine.alerts.{path}", v) for path, v in shorter.items()))
        stage = Stage(tidy, mail, hook, switch, sql)
        yield stage
        for broker in stage.brokers:
            broker.terminate()
            broker.wait(10)


def test_three_schedulers_send_one_alert_and_others_that_follow_them_its_end(stage: Stage) -> None:
    with stage.schedulers(3) as schedulers:
        stage.wait_for_events("alert")
        stage.stay_silent(schedulers)
    with stage.schedulers(2) as schedulers:
        stage.stay_silent(schedulers)
        with stage.worker():
            stage.wait_for_events("alert", "over")
            stage.stay_silent(schedulers)
            subjects, people = stage.subjects, stage.mail.per_person()
            alert, over = stage.contents
    is_genuine = documented_check()
    for request in stage.hook.requests:
        assert is_genuine(request.headers, request.body, SECRET)
    assert alert["problems"][0]["text"] == "No worker is alive. Start one: manage.py rundramatiq"
    assert over["episode"] == alert["id"]
    assert subjects == {
        "tidy.example needs attention: No worker is alive. Start one: manage.py rundramatiq": 2,
        "tidy.example: all well again": 2,
    }
    assert people == dict.fromkeys(ADDRESSES, 2)


# Killed.


@pytest.mark.parametrize(("when", "copies"), [("before", 1), ("after", 2)])
def test_scheduler_killed_at_a_delivery_loses_nothing(
    stage: Stage, tmp_path: Path, when: Any, copies: int
) -> None:
    shorten(stage.tidy, {"outbox:CLAIM_SECONDS": 8.0, "process:LATEST_START_SECONDS": 4.0})
    mark = tmp_path / "killed"
    stage.tidy.inject(Die(when, "tasks.engine.alerts.channels:Webhook.deliver", str(mark)))
    with stage.schedulers(2) as schedulers:
        wait_until(mark.exists, seconds=30, otherwise=lambda: "none was killed")
        stage.wait_for_events(*["alert"] * copies)
        stage.wait_until_delivered()  # What the killed one had claimed beside, too.
        (left,) = [each for each in schedulers if each.popen.poll() is None]
        stage.stay_silent([left])
    # Whoever got it twice can tell.
    assert len({request.headers["Webhook-Id"] for request in stage.hook.requests}) == 1


def test_worker_that_is_killed_and_not_replaced_is_told_by_itself_until_one_is(
    stage: Stage,
) -> None:
    """The other worker does all the work meanwhile, and nothing else is wrong."""
    stage.forget_processes_soon()
    with stage.schedulers(1) as schedulers, stage.worker(), stage.tidy.start(*WORKER) as dead:
        dead.wait_for("Worker process is ready")
        stage.stay_silent(schedulers)
        os.killpg(dead.popen.pid, signal.SIGKILL)
        # It is released, and the rest of the system has nothing to do with it any more.
        schedulers[0].wait_for("process gone", seconds=40)
        stage.wait_for_events("alert")
        schedulers[0].wait_for(LOOKED, times=schedulers[0].output().count(LOOKED) + 10)
        verdict = stage.tidy.manage("tasks_status", "--check")
        assert verdict.returncode == 1
        (line,) = verdict.stdout.splitlines()
        assert re.fullmatch(
            r"The worker on .+, process \d+, went silent at .+ and has not been replaced: .+", line
        )
        (problem,) = stage.contents[0]["problems"]
        seen_at = re.findall(r"(?:since|at) (\d{4}-\S+ \S+) ", problem["text"])[0]
        assert problem["since"].replace("T", " ") > seen_at
        with stage.worker():
            stage.wait_for_events("alert", "over")
            verdict = stage.tidy.manage("tasks_status", "--check")
            assert (verdict.returncode, verdict.stdout) == (0, "All well.\n")


# The database and the broker are away.


@contextmanager
def broker_away(stage: Stage) -> Iterator[None]:
    """Stop the broker while the block lasts; a new one starts with what it had on disk."""
    folder = Path(stage.tidy.settings["REDIS_URL"].removeprefix("unix://")).parent
    with redis.Redis.from_url(stage.tidy.settings["REDIS_URL"]) as client:
        client.shutdown(nosave=True)
    try:
        yield
    finally:
        stage.brokers.append(start_valkey(folder))


def test_database_that_is_away_is_told_once_and_so_is_its_return(
    stage: Stage, postgresql: Path
) -> None:
    stage.forget_processes_soon()
    with stage.worker(), stage.schedulers(2) as schedulers:
        stage.stay_silent(schedulers)
        with database_away(stage.sql, postgresql):
            stage.wait_for_events("alert")
            stage.stay_silent(schedulers)
            # One more, which knows nothing of the database, neither repeats nor forgets.
            schedulers[0].popen.send_signal(signal.SIGKILL)
            with stage.schedulers(1) as third:
                stage.stay_silent(third)
                assert schedulers[1].stop(seconds=30) == 0
                stage.stay_silent(third)
        with stage.schedulers(1):
            stage.wait_for_end()
    (problem,) = stage.contents[0]["problems"]
    assert problem["text"].startswith("The database cannot be queried: ")


@contextmanager
def database_frozen(postgresql: Path) -> Iterator[None]:
    """Freeze the database server while the block lasts: it takes connections, and never answers."""
    postmaster = int((RUNTIME / "postgresql/postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    pids = [postmaster, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_database_that_is_frozen_is_told_once_also_by_who_starts_meanwhile(
    stage: Stage, postgresql: Path
) -> None:
    shorten(stage.tidy, {"looking:READING_SECONDS": 1.0, "store:CHANGE_SECONDS": 1.0})
    stage.forget_processes_soon()
    with stage.worker(), stage.schedulers(1) as schedulers:
        stage.stay_silent(schedulers)
        with database_frozen(postgresql):
            stage.wait_for_events("alert")
            schedulers[0].popen.kill()  # As its watchdog does after a minute.
            with stage.tidy.start("runscheduler") as second:
                second.wait_for(LOOKED, times=5, seconds=60)
                assert stage.events == ["alert"]
        with stage.schedulers(1):
            stage.wait_for_end()
    (problem,) = stage.contents[0]["problems"]
    assert problem["text"] == "The database does not answer within 1 s."


def test_broker_that_is_away_is_told_once_then_the_database_by_each_and_their_return_once(
    stage: Stage, postgresql: Path
) -> None:
    with stage.worker(), stage.schedulers(2) as schedulers:
        stage.stay_silent(schedulers)
        with broker_away(stage):
            stage.wait_for_events("alert")
            stage.stay_silent(schedulers)
            with database_away(stage.sql, postgresql):
                stage.wait_for_events("alert", "more", "more")
                stage.stay_silent(schedulers)
        stage.wait_for_end()
        stage.stay_silent(schedulers)
    assert "The broker cannot be used: " in str(stage.contents[0]["problems"])
    assert "The database cannot be queried: " in str(stage.contents[1]["problems"])


# Channels that fail.


def test_frozen_mail_server_delays_neither_slots_nor_webhooks(stage: Stage) -> None:
    stage.tidy.inject(every={"ping": 1})
    stage.mail.go_on.clear()
    with stage.schedulers(1) as schedulers:
        assert stage.mail.stalled.wait(30)
        stage.wait_for_events("alert")
        claimed = "SELECT count(*) FROM tasks_taskrun WHERE task = 'ping'"
        before = number(stage.sql, claimed)
        wait_until(
            lambda: number(stage.sql, claimed) >= before + 4,
            seconds=20,
            otherwise=schedulers[0].output,
        )
        stage.mail.go_on.set()
        wait_until(
            lambda: set(stage.mail.per_person()) == set(ADDRESSES),
            seconds=30,
            otherwise=lambda: str(stage.subjects),
        )
    # The server accepted one and did not say so: its copy has the same id.
    assert len({mail["Message-ID"] for mail in stage.mail.mails}) == len(stage.subjects)


def test_webhook_that_fails_is_in_the_verdict_told_by_mail_and_made_up_for(stage: Stage) -> None:
    stage.hook.status = 500
    with stage.schedulers(2) as schedulers:
        fails = "An alert by webhook has not been delivered since"
        wait_until(
            lambda: any(fails in str(mail.get_content()) for mail in stage.mail.mails),
            seconds=30,
            otherwise=lambda: str(stage.subjects),
        )
        verdict = stage.tidy.manage("tasks_status", "--check")
        assert "HTTP 500. Try manage.py send_test_alert." in verdict.stdout
        stage.hook.status = 204
        stage.hook.requests.clear()
        with stage.worker():
            stage.wait_for_end()
            wait_until(
                lambda: stage.mail.per_person() == dict.fromkeys(ADDRESSES, 3),
                seconds=20,
                otherwise=lambda: str(stage.subjects),
            )
    logged = "".join(each.output() for each in schedulers)
    assert 1 <= logged.count("alert not delivered") <= 2
    for secret in (SECRET, "key=k", *ADDRESSES):
        assert secret not in logged


# The dead man's switch.

OVERDUE = """
    UPDATE tasks_schedule SET effective_since = now() - interval '3 days', last_slot = NULL
    WHERE task = 'todo.cleanup'
"""


def test_night_that_succeeded_is_checked_in_once_and_again_until_it_arrives(stage: Stage) -> None:
    stage.switch.status = 503
    with stage.worker(), stage.schedulers(3) as schedulers:
        stage.stay_silent(schedulers)
        assert stage.switch.requests == []
        stage.sql.execute(OVERDUE)
        wait_until(
            lambda: len(stage.switch.requests) >= 2,
            seconds=30,
            otherwise=lambda: str(stage.switch.requests),
        )
        stage.switch.status = 200
        stage.switch.requests.clear()
        wait_until(lambda: bool(stage.switch.requests), seconds=20, otherwise=lambda: "no check-in")
        stage.stay_silent(schedulers)
    (request,) = stage.switch.requests
    assert (request.method, request.path, request.body) == ("GET", "/hook?key=k", b"")


# Trying it.


def test_command_says_what_became_of_each_channel(stage: Stage) -> None:
    stage.mail.refused = {"boss@example.org": "550 nobody here"}
    tried = stage.tidy.manage("send_test_alert", "--check-in")
    assert tried.returncode == 1
    assert tried.stdout.splitlines() == [
        "mail to ops@example.org: sent",
        "mail to boss@example.org: failed: SMTP 550 for the address",
        "webhook to 127.0.0.1: sent",
        "check-in to 127.0.0.1: sent",
    ]
    assert stage.events == ["test"]
    assert len(stage.switch.requests) == 1
    stage.mail.refused = {}
    tried = stage.tidy.manage("send_test_alert")
    assert tried.returncode == 0
    assert tried.stdout.splitlines()[-1] == "check-in to 127.0.0.1: not tried; --check-in does"


def test_command_says_which_address_suits_a_mail_server_without_starttls(stage: Stage) -> None:
    for begins, reason in {
        "smtp://": NO_STARTTLS,
        "smtp+plain://ops:secret@": "SMTP AUTH extension not supported by server",
    }.items():
        url = f"{begins}127.0.0.1:{stage.mail.port}"
        stage.tidy.settings = {**stage.tidy.settings, "EMAIL_URL": url}
        tried = stage.tidy.manage("send_test_alert")
        assert tried.returncode == 1
        assert tried.stdout.splitlines()[0] == f"mail to ops@example.org: failed: {reason}"
        assert tried.stderr == ""
    assert "smtp+plain://" in NO_STARTTLS
