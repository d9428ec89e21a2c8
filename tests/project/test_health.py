"""The health probes, whoever asks; `test_away.py` has what they say while something is away."""

import pytest
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


def test_live_process_says_so_without_asking_database_or_broker(
    probe: Client, production: Settings
) -> None:
    response = probe.get("/livez")
    assert (response.status_code, response.content) == (200, b"ok\n")


def test_other_addresses_are_not_open_to_unknown_hosts(probe: Client, production: Settings) -> None:
    assert probe.get("/livez/").status_code == 400
    assert probe.get("/admin/").status_code == 400
