"""Gives the tests an environment of their own.

Loaded with `-p`, before pytest-django reads the settings. `TIDY_TEST_DATABASE` chooses the
database: `postgresql` (the default) or `sqlite`. The servers live in one temporary folder for each
process that runs tests, start when a test asks for them (see `conftest.py`) and end with the run.
"""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.preforked import Preforked
from tests.sharing import SharingScheduling

ON_POSTGRESQL = os.environ.get("TIDY_TEST_DATABASE", "postgresql") == "postgresql"
RUNTIME = Path(tempfile.mkdtemp(prefix="tidy-"))
atexit.register(shutil.rmtree, RUNTIME, ignore_errors=True)

# Programs that tests start and stop inherit no deaf ears from nohup or a background job.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

OURS = ("ACCOUNTS_", "ALERT_", "DJANGO_", "EMAIL_", "METRICS_", "SITE_", "TODO_", "TRUSTED_")
# The tests' settings do not depend on the shell that started them.
for name in [name for name in os.environ if name.startswith(OURS)]:
    del os.environ[name]
os.environ.update(
    DJANGO_DEBUG="true",
    DJANGO_SECRET_KEY="tests",
    DATABASE_URL="postgresql://postgres@/postgres"
    if ON_POSTGRESQL
    else f"sqlite:///{RUNTIME}/tidy.sqlite3",
    REDIS_URL=f"unix://{RUNTIME}/valkey.sock",
    TIME_ZONE="UTC",
    # Where the embedded PostgreSQL keeps its lock.
    XDG_RUNTIME_DIR=str(RUNTIME),
)


@pytest.hookimpl(optionalhook=True)  # There is none without pytest-xdist.
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharingScheduling | None:
    """Keep tests together that share a server."""
    return SharingScheduling(config, log) if config.option.dist == "loadgroup" else None


def pytest_sessionfinish() -> None:
    """End what was loaded to run commands."""
    Preforked.end_all()


@pytest.hookimpl(tryfirst=True)  # Before `-m` chooses by the marks.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the settings' database, and what starts processes in a copy of the project.

    On SQLite, leave out what holds on PostgreSQL alone, or brings its own database. Left out, not
    skipped: the run on PostgreSQL has them all.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & {"db", "transactional_db"}:
            item.add_marker("sql")
        if "checkout" in fixtures:
            item.add_marker("processes")
    if ON_POSTGRESQL:
        return
    left_out = [
        item
        for item in items
        if item.get_closest_marker("postgresql") or item.get_closest_marker("e2e")
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)  # Before xdist tells the others of the order.
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin with the longest tests, so that none of them is left alone in the end."""
    session.items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
