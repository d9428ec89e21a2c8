"""`/metrics`: who may read it, what it says, and what it still says while something is away."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
import redis
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver
from dramatiq.broker import get_broker
from prometheus_client import values
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from pytest_django import Settings

from accounts.models import User
from project.metrics import reading
from project.metrics import requests as counts
from project.metrics.middleware import MetricsMiddleware
from project.metrics.reading import ANSWER_WITHIN_SECONDS
from project.metrics.slots import take_slot, try_lock
from project.version import VERSION
from tasks.engine.broker.waking import TIMEOUT_SECONDS
from tests.factories import new_runs, new_todo

TOKEN = "0123456789-abcdefghijklmnopqrstuvwxyz"
ALLOWED = {"authorization": f"Bearer {TOKEN}"}

type Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def production(settings: Settings) -> Settings:
    """What would send or turn an ordinary visitor away."""
    settings.ALLOWED_HOSTS = ["tidy.example"]
    settings.SECURE_SSL_REDIRECT = True
    settings.METRICS_TOKEN = TOKEN
    return settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of its own for what this process counts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    counts._counts.cache_clear()  # noqa: SLF001  (each test begins at zero)
    yield tmp_path
    counts._counts.cache_clear()  # noqa: SLF001


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a machine that is busy with other tests read all parts in time."""
    monkeypatch.setattr(reading, "ANSWER_WITHIN_SECONDS", 20)
    monkeypatch.setattr(reading, "STATEMENT_TIMEOUT_MS", 20_000)


@pytest.fixture
def prometheus() -> Client:
    """It comes by IP address, over plain HTTP."""
    return Client(headers={"host": "10.0.0.7:8000"})


def scrape(client: Client) -> Samples:
    response = client.get("/metrics", headers=ALLOWED)
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(response.content.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def parts(samples: Samples) -> dict[str, float]:
    """Return which part could be read."""
    return {
        dict(labels)["part"]: value
        for (name, labels), value in samples.items()
        if name == "tidy_scrape_part_success"
    }


# Who may read it


def test_there_is_no_such_page_without_a_token(prometheus: Client, production: Settings) -> None:
    production.METRICS_TOKEN = ""
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer"}, ALLOWED):
        assert prometheus.get("/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xff\xfe",
        f"Bearer {TOKEN.upper()}",
    ],
)
def test_whoever_lacks_the_token_is_told_to_show_it(
    prometheus: Client, production: Settings, given: str
) -> None:
    response = prometheus.get("/metrics", headers={"authorization": given})
    assert (response.status_code, response.content) == (401, b"unauthorized\n")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_token_in_the_address_does_not_count(prometheus: Client, production: Settings) -> None:
    assert prometheus.get(f"/metrics?token={TOKEN}").status_code == 401


def test_metrics_can_only_be_read(prometheus: Client, production: Settings) -> None:
    assert prometheus.post("/metrics", headers=ALLOWED).status_code == 405
    assert prometheus.post("/metrics").status_code == 401


def test_page_beside_it_is_not_open_to_unknown_hosts(
    prometheus: Client, production: Settings
) -> None:
    for path in ("/metrics/", "/metrics/x", "/metricsx"):
        assert prometheus.get(path, headers=ALLOWED).status_code == 400


# What it says


@pytest.mark.django_db(transaction=True)
def test_whoever_has_the_token_reads_all_parts(
    prometheus: Client, production: Settings, valkey: str
) -> None:
    new_runs(3)
    samples = scrape(prometheus)
    assert parts(samples) == {"broker": 1, "status": 1, "runs": 1, "requests": 1}
    assert value(samples, "tidy_build_info", version=VERSION) == 1
    assert value(samples, "tidy_runs_total", task="todo.cleanup", result="succeeded") == 3
    assert value(samples, "tidy_verdict") == 0  # Nobody works here.
    with redis.Redis.from_url(valkey) as broker:
        left = broker.llen("dramatiq:default")  # By other tests.
    assert value(samples, "tidy_queue_messages", queue="default", state="waiting") == left


@pytest.mark.django_db(transaction=True)
def test_scrape_is_in_the_format_that_is_asked_for(
    prometheus: Client, production: Settings, valkey: str
) -> None:
    prometheus.get("/", headers={"host": "tidy.example"})
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response = prometheus.get("/metrics", headers={**ALLOWED, "accept": accept})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(response.content.decode())}
    assert {"tidy_runs", "tidy_run_duration_seconds", "tidy_http_requests"} <= names
    plain = prometheus.get("/metrics", headers=ALLOWED)
    assert plain.headers["Content-Type"].startswith("text/plain")


@pytest.mark.django_db(transaction=True)
def test_nothing_of_people_is_in_it(
    prometheus: Client, production: Settings, valkey: str, alice: User
) -> None:
    production.SECURE_SSL_REDIRECT = False
    alice.email = "alice@secret.example"
    alice.save()
    new_todo(alice, title="Buy hemlock")
    new_runs(1, error="ValueError: hemlock", result={"todos_deleted": 1, "errors": ["hemlock"]})
    visitor = Client(headers={"host": "tidy.example"})
    visitor.force_login(alice)
    for path in ("/", "/?q=hemlock", "/unsubscribe/hemlock/", "/hemlock", "/admin/hemlock/"):
        visitor.get(path)
    text = prometheus.get("/metrics", headers=ALLOWED).content.decode()
    assert "tidy_http_requests_total" in text
    for secret in ("hemlock", "alice", "secret", TOKEN, visitor.cookies["sessionid"].value):
        assert secret not in text


# While something is away


@pytest.mark.django_db(transaction=True)
def test_scrape_without_database_says_what_it_can_and_what_is_missing(
    prometheus: Client,
    production: Settings,
    valkey: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: BaseDatabaseWrapper) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed: password=hunter2")

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", fail)
    samples = scrape(prometheus)
    assert parts(samples) == {"broker": 1, "status": 0, "runs": 0, "requests": 1}
    with redis.Redis.from_url(valkey) as broker:
        left = broker.zcard("dramatiq:default.XQ")  # By other tests.
    assert value(samples, "tidy_queue_dead_letters", queue="default") == left
    assert value(samples, "tidy_verdict") is None
    monkeypatch.undo()


@pytest.mark.django_db(transaction=True)
def test_scrape_without_broker_says_what_the_database_knows(
    prometheus: Client, production: Settings, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = redis.Redis(unix_socket_path="/nonexistent/valkey.sock")
    monkeypatch.setattr(get_broker(), "short_timeout_client", away)
    samples = scrape(prometheus)
    assert parts(samples) == {"broker": 0, "status": 1, "runs": 1, "requests": 1}
    assert value(samples, "tidy_problems", kind="broker") == 1
    assert value(samples, "tidy_queue_dead_letters", queue="default") is None


@pytest.mark.django_db(transaction=True)
def test_database_that_never_answers_is_not_waited_for(
    prometheus: Client,
    production: Settings,
    valkey: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One thread waits; what it reads in the end, long after the scrape, is not told as news."""
    monkeypatch.setattr(reading, "ANSWER_WITHIN_SECONDS", 0.5)
    frozen, asked = Event(), []

    def never() -> tuple[()]:
        asked.append(1)
        frozen.wait(30)
        return ()

    monkeypatch.setattr(reading, "OF_DATABASE", {"status": never, "runs": reading.read_runs})
    try:
        for _ in range(2):
            began = monotonic()
            samples = scrape(prometheus)
            assert monotonic() - began < 15
            assert parts(samples) == {"broker": 1, "status": 0, "runs": 0, "requests": 1}
        assert len(asked) == 1
    finally:
        frozen.set()
        reading.reader.begin().join(10)


@pytest.mark.django_db(transaction=True)
def test_part_with_a_defect_does_not_take_the_others_with_it(
    prometheus: Client,
    production: Settings,
    valkey: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> tuple[()]:
        raise ZeroDivisionError

    monkeypatch.setattr(reading, "OF_DATABASE", {**reading.OF_DATABASE, "runs": fail})
    assert parts(scrape(prometheus)) == {"broker": 1, "status": 1, "runs": 0, "requests": 1}
    assert "metrics failed" in caplog.text


def test_time_for_database_and_broker_leaves_time_to_answer_within_two_seconds() -> None:
    assert max(ANSWER_WITHIN_SECONDS, 2 * TIMEOUT_SECONDS) <= 1.5


# What web processes count


def counted(*requests: tuple[str, str, int]) -> dict[tuple[str, str, str], float]:
    """Have a middleware count requests: method, path and status; return the counts by labels."""
    status = 0

    def respond(request: HttpRequest) -> HttpResponse:
        request.user = AnonymousUser()
        if status < 600:
            request.resolver_match = get_resolver().resolve(request.path) if status != 404 else None
        return HttpResponse(status=status)

    middleware = MetricsMiddleware(respond)
    for method, path, status in requests:  # noqa: B007  (`respond` reads it)
        middleware(RequestFactory().generic(method, path))
    return {
        (labels["method"], labels["route"], labels["status"]): sample.value
        for family in counts.request_counts().collect()
        for sample in family.samples
        if sample.name == "tidy_http_requests_total"
        for labels in [sample.labels]
    }


def test_requests_are_counted_by_method_route_and_class_of_status(production: Settings) -> None:
    found = counted(("GET", "/", 200), ("GET", "/", 204), ("POST", "/", 302), ("GET", "/", 500))
    assert found == {
        ("GET", "/", "2xx"): 2,
        ("POST", "/", "3xx"): 1,
        ("GET", "/", "5xx"): 1,
    }


def test_route_has_no_value_of_an_address_and_is_one_for_all_unknown_pages(
    production: Settings,
) -> None:
    found = counted(
        ("GET", "/admin/todos/todo/17/change/", 200),
        ("GET", "/admin/todos/todo/18/change/", 200),
        *(("GET", f"/guess/{number}.php", 404) for number in range(50)),
        ("GET", "/static/site/site.css", 404),
        ("BREW", "/", 405),
    )
    assert found == {
        ("GET", "/admin/todos/todo/<object_id>/change/", "2xx"): 2,
        ("GET", "unknown", "4xx"): 50,
        ("GET", "static", "4xx"): 1,
        ("_OTHER", "/", "4xx"): 1,
    }


def test_duration_is_observed_where_the_request_is_counted(production: Settings) -> None:
    counted(("GET", "/", 200))
    samples = {
        sample.name: sample.value
        for family in counts.request_counts().collect()
        for sample in family.samples
        if sample.labels.get("le") in {None, "+Inf"}
    }
    assert samples["tidy_http_request_duration_seconds_count"] == 1
    assert samples["tidy_http_request_duration_seconds_bucket"] == 1
    assert 0 < samples["tidy_http_request_duration_seconds_sum"] < 1


def test_nothing_is_counted_or_written_without_a_token(production: Settings, folder: Path) -> None:
    production.METRICS_TOKEN = ""
    MetricsMiddleware(lambda _: HttpResponse())(RequestFactory().get("/"))
    assert not list(folder.iterdir())


def test_people_get_their_answer_where_nothing_can_be_counted(
    production: Settings, folder: Path
) -> None:
    for path in folder.glob("tidy-metrics-*"):
        path.unlink()
    tempfile.tempdir = str(folder / "missing")
    response = MetricsMiddleware(lambda _: HttpResponse("Hello"))(RequestFactory().get("/"))
    assert response.content == b"Hello"


def test_folder_that_somebody_else_has_prepared_is_not_used(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = tmp_path_factory.mktemp("theirs")
    (folder / f"tidy-metrics-{os.getuid()}").symlink_to(theirs)
    with pytest.raises(PermissionError):
        take_slot()
    assert not list(theirs.iterdir())


def test_what_servers_that_are_gone_have_left_is_removed_and_no_more(folder: Path) -> None:
    ours = take_slot()
    gone, alive = ours.folder.with_name("1000001"), ours.folder.with_name("1000002")
    for other in (gone, alive):
        other.mkdir()
        (other / "counter_0.db").touch()
    held = try_lock(alive / "0.lock")
    (gone / "0.lock").touch()
    second = take_slot()
    assert (ours.number, second.number, second.folder) == (0, 1, ours.folder)
    assert (gone.exists(), alive.exists()) == (False, True)
    for lock in (ours.lock, second.lock, held):
        assert lock is not None
        os.close(lock)
    third = take_slot()
    os.close(third.lock)
    assert third.number == 0
    assert not alive.exists()


def test_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
