"""Several schedulers' alerts in one process, with a real database, broker, mail and web server."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import timedelta
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis
import time_machine
from django.core.management import CommandError, call_command
from django.core.signing import Signer
from django.utils import timezone
from pytest_django import Settings

from project.environment import mailer_from
from project.mail import NO_STARTTLS
from tasks.engine.alerts import episodes, looking, outbox
from tasks.engine.alerts.process import Alerts
from tasks.engine.alerts.state import Delivery, Line, Message, State
from tasks.engine.alerts.store import SALT, SharedState, copy_of, sign
from tasks.engine.broker.keys import alerts_key
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.models import AlertState, ProcessKind, Schedule, TaskRun
from tasks.engine.models import State as RunState
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import gather
from tasks.engine.scheduler.defaults import add_missing_schedules
from tests.factories import new_process, new_run
from tests.mail_server import MailServer, mail_server
from tests.processes import wait_until
from tests.receiver import Receiver, documented_check, receiver

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "ops@example.org"
SECRET = "made-up-for-these-tests-0123456789-abcdef"
HOSTILE = "Buy a ring for Ada\nSubject: x\r\n\x1b[31m"
#: A minute of these tests.
LASTING = 0.6


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def switch() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def site(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    broker: WakingBroker,
    mail: MailServer,
    hook: Receiver,
    switch: Receiver,
) -> Settings:
    """All is well; the channels are servers of ours, and time flies."""
    monkeypatch.setattr(episodes, "LOOK_SECONDS", 0.15)
    monkeypatch.setattr(episodes, "LASTING_SECONDS", LASTING)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", 0.1)
    settings.MAILERS = mail.mailers
    settings.TASKS_ALERT_EMAILS = [ADDRESS]
    settings.TASKS_ALERT_WEBHOOK_URL = hook.url
    settings.TASKS_ALERT_WEBHOOK_SECRET = SECRET
    settings.TASKS_ALERT_CHECK_IN_URL = switch.url
    settings.TASKS_ALERT_CHECK_IN_TASKS = ["todo.cleanup"]
    settings.TASKS_ALERT_PRIVATE_TARGETS = True
    settings.TASKS_ALERT_SITE_URL = "https://tidy.example.org"
    add_missing_schedules()
    new_process(ProcessKind.SCHEDULER, host="one", pid=1)
    new_process(host="two", pid=2, queues=["default", "operators"])
    return settings


@contextmanager
def alerting(count: int = 3) -> Iterator[None]:
    """Have so many schedulers alert until the block ends."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(Alerts())
        yield


def wait(condition: Callable[[], object], otherwise: object) -> None:
    wait_until(lambda: bool(condition()), seconds=20, otherwise=lambda: str(otherwise))


def let_them_look(looks: int = 12) -> None:
    """Return when the verdict has been looked at so many times more, by any of them."""
    seen: set[float] = set()

    def looked() -> bool:
        seen.add(State.load(AlertState.objects.get().content).looked_at)
        return len(seen) > looks

    wait(looked, "they do not look")


def fail_a_run() -> TaskRun:
    error = f"Traceback ...\nValueError: {HOSTILE}"
    return new_run(RunState.FAILED, error=error, result={"title": HOSTILE}, reason=HOSTILE)


def acknowledge() -> None:
    TaskRun.objects.update(acknowledged_at=timezone.now())


def test_schedulers_together_send_one_alert_and_one_end_with_no_text_of_anybody(
    site: Settings,
    mail: MailServer,
    hook: Receiver,
    switch: Receiver,
    broker: WakingBroker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    run = fail_a_run()
    with alerting():
        wait(lambda: len(hook.requests) == 1 and len(mail.mails) == 1, (hook, mail))
        let_them_look()
        assert len(hook.requests) == len(mail.mails) == 1
        acknowledge()
        wait(lambda: len(hook.requests) == 2 and len(mail.mails) == 2, (hook, mail))
        let_them_look_at_nothing()
    assert len(hook.requests) == len(mail.mails) == 2
    assert switch.requests == []
    subjects = [mail["Subject"] for mail in mail.mails]
    line = f"todo.cleanup: run {run.pk} failed and is not acknowledged"
    assert subjects == [
        f"tidy.example.org needs attention: {line}",
        "tidy.example.org: all well again",
    ]
    text = str(mail.mails[0].get_content()).replace("\r\n", "\n")
    assert f"- {line} (since 20" in text
    assert "The console: https://tidy.example.org/admin/background/\n" in text
    first, last = mail.mails
    assert last["References"] == first["Message-ID"]
    copy = broker.client.get(alerts_key(broker.namespace))
    told = (text, hook.requests, AlertState.objects.get().content, copy, caplog.text)
    assert "ring" not in str(told)
    for secret in (SECRET, ADDRESS, "key=k"):
        assert secret not in str((AlertState.objects.get().content, copy, caplog.text))


def let_them_look_at_nothing() -> None:
    """Return after many looks that have nothing to write down."""
    wait(lambda: not deliveries(), "something is not delivered")
    version = State.load(AlertState.objects.get().content).version
    with SharedStateWatch() as watch:
        wait(lambda: watch.changes > 12, "they do not look")
    assert State.load(AlertState.objects.get().content).version == version


class SharedStateWatch:
    """Counts the changes that are tried."""

    def __init__(self) -> None:
        self.changes = 0
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> "SharedStateWatch":
        real = SharedState.change

        def change(state: SharedState, do: Any) -> State:
            self.changes += 1
            return real(state, do)

        self._patch.setattr(SharedState, "change", change)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def test_verdict_that_cannot_be_read_is_told(
    site: Settings,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise ZeroDivisionError(HOSTILE)

    monkeypatch.setattr(looking, "gather", fail)
    with alerting():
        wait(lambda: hook.requests, "nobody was told")
    text = "The verdict cannot be read: ZeroDivisionError. Read the schedulers' logs."
    assert json.loads(hook.requests[0].body)["problems"][0]["text"] == text
    assert sum("alerts failed" in record.message for record in caplog.records) <= 3


def test_webhook_is_genuine_by_the_check_of_the_documents_and_nothing_else_is(
    site: Settings, hook: Receiver
) -> None:
    fail_a_run()
    with alerting(1):
        wait(lambda: hook.requests, "nobody was told")
    (request,) = hook.requests
    is_genuine = documented_check()
    headers, body = request.headers, request.body
    assert headers["Content-Type"] == "application/json"
    assert is_genuine(headers, body, SECRET)
    assert not is_genuine(headers, body, SECRET + "x")
    assert not is_genuine(headers, body + b" ", SECRET)
    assert not is_genuine({**headers, "Webhook-Id": "another"}, body, SECRET)
    later = str(int(headers["Webhook-Timestamp"]) + 1)
    assert not is_genuine({**headers, "Webhook-Timestamp": later}, body, SECRET)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert not is_genuine(headers, body, SECRET)


# The dead man's switch.


def sweep_last_night(state: RunState, *, nights_ago: int = 0) -> Schedule:
    """Have the schedule's latest slot, or an earlier one, end like this."""
    schedule = Schedule.objects.get(task="todo.cleanup")
    slot = next(schedule.recurrence.until(timezone.now())) - timedelta(days=nights_ago)
    schedule.last_slot = slot
    Schedule.objects.filter(pk=schedule.pk).update(
        last_slot=slot, effective_since=slot - timedelta(days=3)
    )
    new_run(state, scheduled_for=slot, acknowledged_at=timezone.now())
    return schedule


def test_successful_night_is_checked_in_once_by_all_schedulers(
    site: Settings, switch: Receiver
) -> None:
    sweep_last_night(RunState.SUCCEEDED)
    with alerting():
        wait(lambda: switch.requests, "no check-in")
        let_them_look_at_nothing()
    with alerting(1):
        let_them_look_at_nothing()
    (request,) = switch.requests
    assert (request.method, request.path, request.body) == ("GET", "/hook?key=k", b"")


@pytest.mark.parametrize(
    "state",
    [RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED, RunState.RUNNING, RunState.PENDING],
)
def test_night_that_has_not_succeeded_is_not_checked_in(
    site: Settings, switch: Receiver, state: RunState
) -> None:
    sweep_last_night(RunState.SUCCEEDED, nights_ago=1)
    sweep_last_night(state)
    alerts = Alerts()
    for _ in range(3):
        alerts.look()
    assert State.load(AlertState.objects.get().content).deliveries == []
    assert switch.requests == []


def test_night_before_the_last_is_not_checked_in_after_an_outage(site: Settings) -> None:
    sweep_last_night(RunState.SUCCEEDED, nights_ago=1)
    Alerts().look()
    assert State.load(AlertState.objects.get().content).deliveries == []


def test_check_in_that_fails_is_told_and_retried(
    site: Settings, switch: Receiver, mail: MailServer
) -> None:
    switch.status = 500
    sweep_last_night(RunState.SUCCEEDED)
    with alerting():
        wait(lambda: mail.mails, "nobody was told")
        fails = "A check-in at the dead man's switch has not been delivered since"
        assert fails in str(mail.mails[0].get_content())
        assert any(fails in problem for problem in problems(gather()))
        switch.status = 200
        wait(lambda: not deliveries(), deliveries)
        wait(lambda: len(mail.mails) >= 2, mail)
    assert mail.mails[-1]["Subject"] == "tidy.example.org: all well again"


def test_mail_server_that_lacks_what_is_asked_of_it_is_named_in_the_verdict(
    site: Settings, mail: MailServer
) -> None:
    site.MAILERS = {"default": mailer_from(f"smtp://127.0.0.1:{mail.port}")}
    fail_a_run()
    lacks = f"{NO_STARTTLS}. Try manage.py send_test_alert"
    with alerting():
        wait(lambda: any(lacks in problem for problem in problems(gather())), mail)
    assert not mail.mails


def deliveries() -> list[Delivery]:
    return State.load(AlertState.objects.get().content).deliveries


def signed(content: str) -> str:
    """Return what the broker holds if the site itself has written this."""
    return Signer(salt=SALT).sign(content)


# The state.


def altered(**parts: object) -> str:
    """Return a late state as JSON, with these parts instead of its own."""
    return json.dumps({**asdict(State(version=9_000)), **parts})


NO_STATES = {
    "half": "{",
    "list": "[]",
    "null": "null",
    "other fields": '{"versions": 5}',
    "deep": "[" * 100_000 + "]" * 100_000,
    "text as moment": altered(seen={"runs failed": {"since": "a", "at": "b"}}),
    "no moment": altered(seen={"runs failed": {"since": 1e300, "at": 1e300}}),
    "not finite": altered(looked_at=float("nan")),
    "text as version": altered(version="9000"),
    "number as text": altered(episode={"id": 1, "since": 1, "lines": [], "told_at": 1}),
    "list as dictionary": altered(messages=[]),
    "unknown event": altered(
        messages={"m": {"id": "m", "event": "x", "episode": "m", "at": 1, "since": 1}}
    ),
}


@pytest.mark.parametrize("content", NO_STATES.values(), ids=NO_STATES.keys())
def test_state_that_cannot_be_read_is_begun_anew_with_one_line(
    site: Settings,
    broker: WakingBroker,
    hook: Receiver,
    caplog: pytest.LogCaptureFixture,
    content: str,
) -> None:
    AlertState.objects.create(content=content)
    broker.client.set(alerts_key(broker.namespace), signed(content))
    fail_a_run()
    with alerting(1):
        wait(lambda: hook.requests, "nobody was told")
    assert caplog.text.count("alerts cannot read their state") == 1
    assert "Traceback" not in caplog.text
    assert State.load(AlertState.objects.get().content).version < 1_000


def test_empty_row_is_no_state_that_cannot_be_read(
    site: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    AlertState.objects.create()
    SharedState().change(lambda *_: None)
    assert "cannot read" not in caplog.text


def forged() -> str:
    """Return a state that has a message of somebody else delivered, and wins against others."""
    state = State(version=9_000)
    message = Message("forged", "alert", "forged", 1.0, 1.0, lines=(Line("Pay me", 1.0),))
    outbox.queue(state, message, ["webhook"], now=1.0)
    return state.dump()


@pytest.mark.parametrize(
    "content",
    [*NO_STATES.values(), forged(), f"{forged()}:", Signer(salt="other").sign(forged()), b"\xff"],
    ids=[*NO_STATES, "forged", "half signed", "signed for something else", "no text"],
)
def test_who_writes_to_the_broker_neither_silences_alerts_nor_sends_any(
    site: Settings, broker: WakingBroker, hook: Receiver, content: str | bytes
) -> None:
    key = alerts_key(broker.namespace)
    broker.client.set(key, content)
    fail_a_run()
    with alerting(1):
        wait(lambda: hook.requests, "nobody was told")
        broker.client.set(key, content)
        acknowledge()
        wait(lambda: len(hook.requests) == 2, hook)
    assert [json.loads(request.body)["event"] for request in hook.requests] == ["alert", "over"]
    assert State.load(AlertState.objects.get().content).version < 1_000


@pytest.mark.parametrize("database", ["answers", "away"])
def test_copy_that_is_not_ours_is_replaced_whatever_it_is(
    site: Settings, broker: WakingBroker, database: str
) -> None:
    def count(state: State, now: float) -> None:
        state.flaps += 1

    key = alerts_key(broker.namespace)
    shared = SharedState()
    shared.database_answers = database == "answers"
    for number, planted in enumerate((forged(), signed(NO_STATES["deep"]), None), start=1):
        broker.client.delete(key)
        if planted is None:
            broker.client.rpush(key, forged())
        else:
            broker.client.set(key, planted)
        assert shared.change(count).flaps == number
        assert copy_of(broker.client.get(key)).flaps == number


def test_process_goes_on_with_its_own_copy_while_both_are_away(
    site: Settings, broker: WakingBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(state: State, now: float) -> None:
        state.flaps += 1

    nowhere = redis.Redis.from_url(f"unix://{tmp_path}/none")
    monkeypatch.setattr(broker, "short_timeout_client", nowhere)
    shared = SharedState()
    shared.database_answers = False
    assert [shared.change(count).flaps for _ in range(2)] == [1, 2]


def test_copy_is_read_after_the_sites_key_has_changed(site: Settings, broker: WakingBroker) -> None:
    broker.client.set(alerts_key(broker.namespace), sign(State(version=9, flaps=9)))
    site.SECRET_KEY_FALLBACKS = [site.SECRET_KEY]
    site.SECRET_KEY = "another one that is made up for these tests, and long"
    assert SharedState().change(lambda *_: None).flaps == 9


def test_change_of_many_at_once_is_lost_by_none(site: Settings) -> None:
    shared = [SharedState() for _ in range(4)]

    def count(state: State, now: float) -> None:
        state.flaps += 1

    threads = [
        Thread(target=lambda one=one: [one.change(count) for _ in range(10)]) for one in shared
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert State.load(AlertState.objects.get().content).flaps == 40


def test_later_copy_of_the_broker_is_taken_and_an_earlier_one_replaced(
    site: Settings, broker: WakingBroker
) -> None:
    key = alerts_key(broker.namespace)
    AlertState.objects.create(content=State(version=3, flaps=3).dump())
    broker.client.set(key, sign(State(version=9, flaps=9)))
    assert SharedState().change(lambda *_: None).flaps == 9
    assert State.load(AlertState.objects.get().content).version == 9
    broker.client.set(key, sign(State(version=2)))
    SharedState().change(lambda *_: None)
    assert copy_of(broker.client.get(key)).version == 9


def test_earlier_copy_that_is_put_back_sends_nothing_again(
    site: Settings, broker: WakingBroker, hook: Receiver
) -> None:
    def queue(state: State, now: float) -> None:
        message = Message("m", "alert", "m", now, now, lines=(Line("Once.", now),))
        outbox.queue(state, message, ["webhook"], now=now)

    key = alerts_key(broker.namespace)
    SharedState().change(queue)
    earlier = broker.client.get(key)
    for _ in range(2):
        with alerting(1):  # The second one has only what is kept.
            let_them_look_at_nothing()
        assert len(hook.requests) == 1
        broker.client.set(key, earlier)  # type: ignore[arg-type]  # It is no awaitable.


def test_channel_that_is_no_longer_in_the_settings_is_forgotten(site: Settings) -> None:
    state = State(version=1)
    outbox.queue(state, Message("m", "alert", "m", 0.0, 0.0), ["webhook"], now=0.0)
    state.deliveries[0].failures = 5
    AlertState.objects.create(content=state.dump())
    assert [each.channel for each in gather().undelivered] == ["webhook"]
    site.TASKS_ALERT_WEBHOOK_URL = ""
    assert gather().undelivered == ()
    Alerts().look()
    assert deliveries() == []


def test_without_a_channel_there_is_no_thread_and_no_row(site: Settings) -> None:
    for name in ("EMAILS", "WEBHOOK_URL", "CHECK_IN_URL"):
        setattr(site, f"TASKS_ALERT_{name}", "")
    with alerting():
        assert not AlertState.objects.exists()
    with pytest.raises(CommandError, match="no channel"):
        call_command("send_test_alert", stdout=StringIO())
