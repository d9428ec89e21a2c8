"""One trace leads from a request through the outbox to the statements of a worker; or none does."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.checkout import copy_compiled
from tests.counting import number
from tests.keys import SECRET_KEY
from tests.processes import Process, Tidy, events, wait_until
from tests.receivers import Receiver, receiver
from tests.servers import free_port, start_valkey
from tests.sites import collect_static, serving
from tests.web import Browser

pytestmark = pytest.mark.e2e

#: Of gunicorn.
OPTIONS = ("--workers=1", "--threads=2", "--graceful-timeout=5")

ADD_BOSS = """
from accounts.models import User
User.objects.create_superuser("boss", password="boss-password-1")
"""
SUCCEEDED = "SELECT count(*) FROM tasks_taskrun WHERE task = 'runs.prune' AND state = 'succeeded'"


class Broker:
    """A Valkey server that can be away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Popen[bytes] = start_valkey(folder)

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/valkey.sock"

    def stop(self) -> None:
        self.server.terminate()
        self.server.wait(10)

    close = stop

    def start(self) -> None:
        self.server = start_valkey(self.folder)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with closing(Broker(folder)) as broker:
        yield broker


@pytest.fixture
def site(broker: Broker, tmp_path: Path, checkout: Path, migrated_database: str) -> Tidy:
    """The project in a folder of its own, with an operator."""
    site = Tidy(
        copy_compiled(checkout, tmp_path / "site"),
        {
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DJANGO_ALLOWED_HOSTS": "tidy.example",
            "DJANGO_HTTPS": "false",
            "DATABASE_URL": migrated_database,
            "REDIS_URL": broker.url,
        },
        logs=tmp_path,
    )
    collect_static(site)
    site.inject(actors="leaks", every={"ping": 1})
    for arguments in (["shell", "-v0", "-c", ADD_BOSS], ["runscheduler", "--once"]):
        done = site.manage(*arguments)
        assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """A collector of traces."""
    with receiver() as server:
        yield server


def at_work(site: Tidy, stack: ExitStack) -> tuple[list[Process], int]:
    """Start a worker, a scheduler and the web server; return them, and the site's port."""
    processes = [
        stack.enter_context(site.start("rundramatiq", "--processes=1", "--threads=2")),
        stack.enter_context(site.start("runscheduler")),
    ]
    server = stack.enter_context(serving(site, site.folder / "web.log", *OPTIONS))
    return [*processes, server.process], server.port


def prune(database: psycopg.Connection, port: int, **headers: str) -> Browser:
    """Have an operator start a run of `runs.prune` in the console."""
    boss = Browser(port)
    assert boss.log_in("boss", "boss-password-1") == 302
    schedule = number(database, "SELECT id FROM tasks_schedule WHERE task = 'runs.prune'")
    assert boss.post(f"/admin/background/schedules/{schedule}/run/", {}, **headers) == 302
    return boss


def outputs(processes: list[Process]) -> str:
    return "\n".join(process.output() for process in processes)


def extras_loaded(processes: list[Process]) -> list[list[str]]:
    """Return what each process says about the extras that it has loaded."""
    said = [
        [event["loaded"] for event in events(process.output()) if event["event"] == "extras"]
        for process in processes
    ]
    assert all(said), "a process has not said so"
    return [loaded for one in said for loaded in one]


def test_request_its_run_and_the_runs_statements_are_one_trace_though_the_broker_was_away(
    site: Tidy, broker: Broker, collector: Receiver
) -> None:
    site = replace(
        site,
        settings={
            **site.settings,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20let-me-in",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "TRUSTED_PROXIES": "1",
        },
    )
    given = "0af7651916cd43dd8448eb211c80319c"
    with (
        psycopg.connect(site.settings["DATABASE_URL"], autocommit=True) as database,
        ExitStack() as stack,
    ):
        processes, port = at_work(site, stack)
        boss = Browser(port)
        assert boss.log_in("boss", "boss-password-1") == 302
        broker.stop()
        schedule = number(database, "SELECT id FROM tasks_schedule WHERE task = 'runs.prune'")
        run_now = f"/admin/background/schedules/{schedule}/run/"
        traceparent = f"00-{given}-b7ad6b7169203331-01"
        assert boss.post(run_now, {}, Traceparent=traceparent, X_Forwarded_For="192.0.2.7") == 302
        request_id = boss.headers["X-Request-ID"]
        broker.start()
        wait_until(
            lambda: number(database, SUCCEEDED) == 1,
            seconds=60,
            otherwise=lambda: outputs(processes),
        )
        assert [process.stop() for process in processes] == [0, 0, 0]
        row = database.execute(
            "SELECT id, trace_parent FROM tasks_taskrun WHERE request_id = %s", [request_id]
        ).fetchone()

    assert extras_loaded(processes)[0]  # Else the other test could not fail.
    spans = collector.spans()
    ours = [(of, span) for of, span in spans if span.trace_id.hex() == given]
    assert row is not None
    pk, trace_parent = row

    request = the(ours, f"POST {ROUTE}")
    enqueue = the(ours, "enqueue runs.prune")
    attempt = the(ours, "run runs.prune")
    published = [span for _, span in ours if span.name == "publish runs.prune"]
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert enqueue.parent_span_id == request.span_id
    assert trace_parent == f"00-{given}-{enqueue.span_id.hex()}-01"
    # At first by the request, in vain; then by the scheduler's relay.
    assert {span.parent_span_id for span in published} == {enqueue.span_id}
    assert any(error_of(span) == "ConnectionError" for span in published)
    assert attempt.parent_span_id == enqueue.span_id
    assert (attributes(attempt)["run"], attributes(attempt)["attempt"]) == (pk, 1)
    for parent in (request, enqueue, attempt):
        statements = [span for _, span in ours if is_statement(span, of=parent)]
        assert statements, f"no statement in {parent.name}"
    insert = next(span for _, span in ours if is_statement(span, of=enqueue))
    assert insert.name == "INSERT"
    assert attributes(insert)["db.query.text"].startswith('INSERT INTO "tasks_taskrun"')
    assert "runs.prune" not in attributes(insert)["db.query.text"]
    # Three processes have sent them, each after it was forked.
    assert len({of["service.instance.id"] for of, _ in ours}) == 3
    assert {of["service.name"] for of, _ in spans} == {"tidy"}
    assert {of["deployment.environment.name"] for of, _ in spans} == {"test"}
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer let-me-in"}
    # Rounds of the scheduler and heartbeats are no traces.
    roots = {span.name for _, span in spans if not span.parent_span_id}
    assert all(name.startswith(("GET ", "POST ", "enqueue ", "run ")) for name in roots), roots
    assert "enqueue ping" in roots
    # Lines of the log name the trace.
    told = [event for event in events(outputs(processes)) if event.get("trace_id") == given]
    assert {event["event"] for event in told} >= {"request", "run succeeded"}
    assert {event["request_id"] for event in told} == {request_id}


ROUTE = "/admin/background/schedules/<pk>/run/"


def the(spans: list[tuple[dict[str, str], Span]], name: str) -> Span:
    """Return the only span of this name."""
    (found,) = [span for _, span in spans if span.name == name]
    return found


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {
        one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes
    }


def error_of(span: Span) -> str | None:
    """Return the type of the error that ended a span."""
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return attributes(span).get("error.type") if failed else None


def is_statement(span: Span, *, of: Span) -> bool:
    """Say whether a span is a statement in another."""
    return span.parent_span_id == of.span_id and "db.query.text" in attributes(span)


def test_without_an_endpoint_and_a_dsn_no_process_loads_any_of_it(site: Tidy) -> None:
    with (
        psycopg.connect(site.settings["DATABASE_URL"], autocommit=True) as database,
        ExitStack() as stack,
    ):
        processes, port = at_work(site, stack)
        prune(database, port)
        wait_until(
            lambda: number(database, SUCCEEDED) == 1,
            seconds=60,
            otherwise=lambda: outputs(processes),
        )
        assert [process.stop() for process in processes] == [0, 0, 0]
        assert not number(database, "SELECT count(*) FROM tasks_taskrun WHERE trace_parent <> ''")
    assert not any(extras_loaded(processes))


def test_collector_that_is_away_costs_no_request_and_no_run_and_is_told_once(site: Tidy) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    site = replace(site, settings={**site.settings, **settings})
    with (
        psycopg.connect(site.settings["DATABASE_URL"], autocommit=True) as database,
        ExitStack() as stack,
    ):
        processes, port = at_work(site, stack)
        prune(database, port)
        wait_until(
            lambda: number(database, SUCCEEDED) == 1 and all(map(has_told, processes)),
            seconds=60,
            otherwise=lambda: outputs(processes),
        )
        started = monotonic()
        assert [process.stop(seconds=20) for process in processes] == [0, 0, 0]
        assert monotonic() - started < 20
        failed = "SELECT count(*) FROM tasks_taskrun WHERE failures > 0 OR crashes > 0"
        assert number(database, failed) == 0
    for process in processes:
        assert process.output().count("traces not delivered") == 1, process.output()


def has_told(process: Process) -> bool:
    return "traces not delivered" in process.output()
