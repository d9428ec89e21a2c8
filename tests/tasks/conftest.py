"""The broker of the settings; and a copy of the project with a database and a broker of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dramatiq.broker import get_broker

from tasks.engine.broker.waking import WakingBroker
from tests.checkout import copy_project
from tests.processes import Tidy
from tests.servers import valkey_server


@pytest.fixture
def broker(valkey: str) -> Iterator[WakingBroker]:
    """The broker of the settings, empty."""
    broker = get_broker()
    assert isinstance(broker, WakingBroker)
    broker.client.flushall()
    yield broker
    broker.client.flushall()


@pytest.fixture
def tidy(tmp_path: Path, checkout: Path, database: str) -> Iterator[Tidy]:
    """A copy of the project, configured for production."""
    valkey = tmp_path / "valkey"
    valkey.mkdir()
    with valkey_server(valkey) as broker:
        tidy = Tidy(
            copy_project(tmp_path / "tidy", checkout),
            {
                "DJANGO_SECRET_KEY": "e2e",
                "DJANGO_ALLOWED_HOSTS": "tidy.example",
                "DATABASE_URL": database,
                "REDIS_URL": broker,
            },
        )
        migrated = tidy.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        yield tidy
