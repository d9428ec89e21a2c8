"""The health probes."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import Settings


@pytest.fixture
def probe() -> Client:
    """A client such as an orchestrator's: by IP address, over plain HTTP."""
    return Client(headers={"host": "10.0.0.7:8000"})


@pytest.fixture
def production(settings: Settings) -> Settings:
    """What would send or turn an ordinary visitor away."""
    settings.ALLOWED_HOSTS = ["tidy.example"]
    settings.SECURE_SSL_REDIRECT = True
    return settings


@pytest.fixture
def database_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No connection to the database can be had."""

    def fail() -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed: password=hunter2")

    connection.close()
    monkeypatch.setattr(connection, "ensure_connection", fail)
    yield
    monkeypatch.undo()


def test_live_process_says_so_without_asking_database_or_broker(
    probe: Client, production: Settings
) -> None:
    response = probe.get("/livez")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_process_that_reaches_database_and_broker_is_ready(
    probe: Client, production: Settings, valkey: str
) -> None:
    response = probe.get("/readyz")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_process_without_broker_is_not_ready_and_says_which_part_is_missing(
    probe: Client, settings: Settings
) -> None:
    settings.REDIS_URL = "unix:///nonexistent/valkey.sock"
    response = probe.get("/readyz")
    assert (response.status_code, response.content) == (503, b"broker: cannot be reached\n")


@pytest.mark.django_db(transaction=True)
def test_process_without_database_is_not_ready_and_keeps_the_reason_to_itself(
    probe: Client, valkey: str, database_down: None
) -> None:
    response = probe.get("/readyz")
    assert (response.status_code, response.content) == (503, b"database: cannot be reached\n")


def test_other_addresses_are_not_open_to_unknown_hosts(probe: Client, production: Settings) -> None:
    assert probe.get("/livez/").status_code == 400
    assert probe.get("/admin/").status_code == 400


@pytest.mark.django_db
def test_process_whose_database_is_not_migrated_is_not_ready_until_it_is(
    probe: Client, valkey: str
) -> None:
    recorder = MigrationRecorder(connection)
    (latest,) = MigrationLoader(connection).graph.leaf_nodes("accounts")
    recorder.record_unapplied(*latest)
    response = probe.get("/readyz")
    assert (response.status_code, response.content) == (503, b"database: lacks migrations\n")

    recorder.record_applied(*latest)
    assert probe.get("/readyz").status_code == 200
