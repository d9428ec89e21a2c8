"""The broker of the settings; and a system of its own, with a database and a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dramatiq.broker import get_broker

from tasks.engine.broker.waking import WakingBroker
from tests.keys import SECRET_KEY
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
def tidy(tmp_path: Path, checkout: Path, migrated_database: str) -> Iterator[Tidy]:
    """The project, configured for production; with a database that has been migrated."""
    valkey = tmp_path / "valkey"
    valkey.mkdir()
    with valkey_server(valkey) as broker:
        yield Tidy(
            checkout,
            {
                "DJANGO_SECRET_KEY": SECRET_KEY,
                "DJANGO_ALLOWED_HOSTS": "tidy.example",
                "DATABASE_URL": migrated_database,
                "REDIS_URL": broker,
            },
            logs=tmp_path,
            starts_forks=True,
        )
