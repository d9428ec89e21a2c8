"""Nothing that people write, and no secret, is in anything that Tidy's processes say or send."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis

from tests.checkout import copy_compiled
from tests.counting import number
from tests.fuzz.raw import exchange
from tests.processes import Process, Tidy, events, wait_until
from tests.receivers import Receiver, receiver
from tests.sites import collect_static, serving
from tests.web import HOST, Browser

pytestmark = pytest.mark.e2e

#: Of gunicorn.
OPTIONS = ("--workers=1", "--threads=2", "--graceful-timeout=5")

#: In all that is planted, so that a part of it is found as well.
MARK = "zq7secret"

#: What the errors of `tests/actors/leaks.py` are made of.
KINDS = ("value", "key", "decode", "row", "data", "cause")

PASSWORD = f"{MARK}-password-1"
ADD_ANN = f"""
from accounts.models import User
User.objects.create_superuser("ann", "{MARK}@example.com", "{PASSWORD}")
"""

#: Paths that mails lead to, and others with something in them.
PATHS = (
    f"/accounts/password/reset/key/1a-{MARK}/",
    f"/accounts/confirm-email/{MARK}:1a:b-c/",
    f"/unsubscribe/{MARK}/",
    f"/search/?q={MARK}",
    f"/admin/accounts/user/?q={MARK}",
    f"/admin/todos/todo/?user__username__regex={MARK}",
    f"/admin/todos/todo/?id__exact={MARK}",
    f"/{'nothing' * 10}/{MARK}",
    f"/reset-3f-{MARK}",
    f"/todos/1/edit/?{MARK}={MARK}%00",
)

ENQUEUE = f"""
from tasks.engine.runs.enqueue import enqueue
from tests.actors.leaks import leak, leak_unrecorded
for kind in {KINDS}:
    text = f"{{kind}} {MARK} todo"
    enqueue(leak, text=text)
    enqueue(leak_unrecorded, text=text)
    leak.send(text=text)
enqueue(leak, text="{MARK} result")
enqueue(leak, text="{MARK} " * 2000)
"""

#: What a command that fails says.
FAIL = f"from tests.actors.leaks import quote; quote('row {MARK}')"
#: The same, in the words of an error that nothing catches.
FAIL_UNCAUGHT = f"from tests.actors.leaks import quote; quote('cause {MARK}')"


@pytest.fixture
def receiving() -> Iterator[Receiver]:
    """A Sentry, and a collector of traces."""
    with receiver() as server:
        yield server


@pytest.fixture
def site(tidy: Tidy, tmp_path: Path, checkout: Path, receiving: Receiver) -> Tidy:
    """The project in a folder of its own, which sends its errors and traces."""
    site = replace(tidy, folder=copy_compiled(checkout, tmp_path / "site"), starts_forks=False)
    site.settings = {
        **tidy.settings,
        "DJANGO_HTTPS": "false",
        "TRUSTED_PROXIES": "0",
        "SENTRY_DSN": receiving.dsn,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiving.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    collect_static(site)
    return site


def visit(port: int, socket: Path) -> None:
    """Do in a browser what goes wrong in every way, with something to hide in each."""
    ann = Browser(port)
    assert ann.log_in("ann", f"{MARK} wrong password") == 200
    assert ann.log_in(f"{MARK}@nowhere.example", PASSWORD) == 200
    assert ann.log_in("ann", PASSWORD) == 302
    assert ann.get("/") == 200
    answers = {
        kind: ann.post("/todos/add/", {"title": f"{kind} {MARK}", "description": MARK})
        for kind in KINDS
    }
    assert answers == {
        **dict.fromkeys(KINDS, 500),
        "row": 409,  # A constraint: somebody else was faster.
    }
    assert ann.post("/todos/add/", {"title": f"Buy {MARK}", "description": MARK}) in {200, 302}
    for path in PATHS:
        headers = {
            "Authorization": f"Bearer {MARK}",
            "X_Request_ID": MARK,
            "Traceparent": MARK,
            "Referer": f"https://elsewhere.example/{MARK}",
            "User_Agent": MARK,
            "X_Api_Key": MARK,
        }
        ann.get(path, **headers)
        ann.post(path, {MARK: MARK}, **headers)
    # The wrong token, and an address that is not ours in front of the path.
    ann.cookies["csrftoken"] = MARK * 4
    https = f"https://elsewhere.example/{MARK}?{MARK}"
    assert ann.post("/todos/add/", {"title": MARK}, Referer=https, Origin="null") == 403
    assert ann.get("/", Host="elsewhere.example") == 400
    assert ann.post("/todos/add/", {"title": MARK * 400_000}) == 413
    ann.cookies["sessionid"] = f"{MARK}\x01"
    ann.get("/")
    for raw in (
        f"{MARK} /{MARK}\r\n\r\n",
        f"{MARK.upper()} / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
        f"GET /{MARK}/\xff HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        f"GET /{MARK} HTTP/9.{MARK}\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\r\nHost: x\r\nCookie{MARK} sessionid={MARK}\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {MARK}\r\n\r\n",
        f"POST /{quote(MARK)} HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n",
    ):
        for address in (port, socket):
            assert b" 200 " not in exchange(address, raw.encode("latin-1"))


def put_into_queue(broker: str) -> None:
    """Put what is hostile, and what nobody can read, into the queue."""
    with redis.Redis.from_url(broker) as client:
        for place, data in enumerate(
            (
                f'{{"said": "{MARK}"',
                json.dumps(message(actor_name="test.gone")),
                json.dumps(message(options={"eta": MARK})),
                json.dumps(message(options={"request_id": f"{MARK} {MARK}"})),
            )
        ):
            key = f"00000000-0000-4000-8000-00000000000{place}"
            client.hset("dramatiq:default.msgs", key, data.replace('"own"', f'"{key}"'))
            client.rpush("dramatiq:default", key)


def message(**values: object) -> dict[str, object]:
    """Return a message as Dramatiq writes it."""
    options = {"redis_message_id": "own", **dict(values.pop("options", None) or {})}  # type: ignore[call-overload]
    return {
        "queue_name": "default",
        "actor_name": "test.leak_unrecorded",
        "args": [],
        "kwargs": {"text": f"value {MARK}"},
        "message_id": "00000000-0000-4000-8000-000000000009",
        "message_timestamp": 1_700_000_000_000,
        "options": options,
        **values,
    }


def all_ended(database: psycopg.Connection) -> bool:
    """Say whether all runs of the leaking actors are there, and have ended."""
    runs = "SELECT count(*) FROM tasks_taskrun WHERE task LIKE 'test.leak%'"
    there = number(database, runs)
    return there >= 3 * len(KINDS) + 2 and there == number(
        database, f"{runs} AND finished_at IS NOT NULL"
    )


def test_nothing_that_is_written_or_secret_is_logged_or_sent(
    site: Tidy, receiving: Receiver, tmp_path: Path
) -> None:
    socket = tmp_path / "socket"
    assert site.manage("shell", "-v0", "-c", ADD_ANN).returncode == 0
    site.inject(actors="leaks", every={"ping": 1})
    commands = []
    with (
        psycopg.connect(site.settings["DATABASE_URL"], autocommit=True) as database,
        site.start("rundramatiq", "--processes=1", "--threads=2") as worker,
        site.start("runscheduler") as scheduler,
        serving(site, site.folder / "web.log", *OPTIONS, f"--bind=unix:{socket}") as server,
    ):
        visit(server.port, socket)
        put_into_queue(site.settings["REDIS_URL"])
        commands += [
            site.manage("shell", "-v0", "-c", code) for code in (ENQUEUE, FAIL, FAIL_UNCAUGHT)
        ]
        wait_until(
            lambda: all_ended(database),
            seconds=60,
            otherwise=worker.output,
        )
        stored = number(database, f"SELECT count(*) FROM tasks_taskrun WHERE error LIKE '%{MARK}%'")
        processes: list[Process] = [worker, scheduler, server.process]
        assert [one.stop() for one in processes] == [0, 0, 0]

    assert stored, "the runs hold no text: there was nothing to keep out of the log"
    outputs = [one.output() for one in processes]
    outputs += [command.stderr for command in commands]
    for output in outputs:
        found = [line for line in output.splitlines() if MARK in line.lower()]
        assert not found
        # And every line is an event, whoever has written it.
        assert len(events(output)) == len(output.splitlines()), output
    assert MARK.encode() not in receiving.everything()

    # The errors themselves are there, each with its request or its run.
    told = events("".join(outputs))
    failed = [event for event in told if event["event"].startswith("Internal Server Error")]
    assert len(failed) >= len(KINDS) - 1
    assert all(event["request_id"] and "exception" in event for event in failed)
    attempts = [event for event in told if event["event"].startswith("Failed to process message")]
    assert {event["task"] for event in attempts} == {"test.leak", "test.leak_unrecorded"}
    assert {event["run"] for event in attempts if event["task"] == "test.leak"}
    whys = {event["why"] for event in told if event["event"] == "run failed"}
    assert {"ValueError", "KeyError", "UnicodeDecodeError", "UniqueViolation (23505)"} <= whys
    assert [event for event in told if event["event"] == "uncaught error"]

    # So are they in Sentry.
    sent = receiving.events()
    errors = [error for event in sent for error in event.get("exception", {}).get("values", ())]
    types = {error["type"] for error in errors}
    assert {"ValueError", "KeyError", "UnicodeDecodeError", "RuntimeError"} <= types
    tags = [event.get("tags", {}) for event in sent]
    assert [one for one in tags if "request_id" in one and "run" not in one]
    assert [one for one in tags if one.get("task") == "test.leak" and "run" in one]
    frames = [frame for error in errors for frame in error["stacktrace"]["frames"]]
    assert frames
    assert not [frame for frame in frames if "vars" in frame]
    assert not [event for event in sent if event.keys() & {"request", "user", "breadcrumbs"}]
    assert receiving.spans()
