"""A system with metrics, to be looked at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring.running import settings_of
from tests.processes import Tidy
from tests.servers import valkey_server


@pytest.fixture
def tidy(tmp_path: Path, checkout: Path, migrated_database: str) -> Iterator[Tidy]:
    """The project, configured for production, with metrics and a broker of its own."""
    for name in ("valkey", "tmp"):
        (tmp_path / name).mkdir()
    with valkey_server(tmp_path / "valkey") as broker:
        settings = {
            **settings_of(tmp_path / "tmp"),
            "DATABASE_URL": migrated_database,
            "REDIS_URL": broker,
        }
        yield Tidy(checkout, settings, logs=tmp_path, starts_forks=True)
