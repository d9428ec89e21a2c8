"""The cast of the tests, and the servers they share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management.commands import flush
from django.db import connections
from pytest_django import Settings

from accounts.models import User
from tasks.engine.console.daily import forget_past
from tasks.next_cleanup import remembered_schedules
from tests.checkout import compile_project, copy_project
from tests.plugin import ON_POSTGRESQL, RUNTIME
from tests.processes import Tidy
from tests.servers import postgresql_database, postgresql_server, valkey_server


@pytest.fixture(scope="session")
def checkout() -> Path:
    """A copy of the project, without `.env` and `var/`. All tests share it: write nothing there."""
    copy = copy_project(RUNTIME / "checkout")
    compile_project(copy)
    return copy


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    """A PostgreSQL server: the folder of its socket, which is the host to connect to."""
    with postgresql_server(RUNTIME) as host:
        yield host


@pytest.fixture
def database(postgresql: Path) -> Iterator[str]:
    """An empty PostgreSQL database: its address."""
    with postgresql_database(postgresql) as address:
        yield address


@pytest.fixture(scope="session")
def migrated(checkout: Path, postgresql: Path) -> Iterator[str]:
    """A PostgreSQL database that has been migrated, to make others of: its name."""
    with postgresql_database(postgresql, name="migrated") as address:
        settings = {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "e2e", "DATABASE_URL": address}
        done = Tidy(checkout, settings).manage("migrate", "-v0")
        assert done.returncode == 0, done.stderr
        yield "migrated"


@pytest.fixture
def migrated_database(postgresql: Path, migrated: str) -> Iterator[str]:
    """A PostgreSQL database of its own that has been migrated: its address."""
    with postgresql_database(postgresql, template=migrated) as address:
        yield address


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The Valkey server that the settings name: its address."""
    with valkey_server(RUNTIME) as address:
        yield address


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Start the database server that the settings name; pytest-django asks for this first."""
    if ON_POSTGRESQL:
        host = request.getfixturevalue("postgresql")
        connections["default"].settings_dict["HOST"] = str(host)
    else:
        # In a file, as in life: one in memory has other locks.
        connections["default"].settings_dict["TEST"]["NAME"] = str(RUNTIME / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _keep_permissions() -> Iterator[None]:
    """Leave permissions, and the kinds of rows, where they are when a test's rows are removed.

    They are the same for all tests, and to write them anew takes longer than most tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_to_remove_rows)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_: None)
        yield


def sql_to_remove_rows(
    style: Any, connection: Any, *, reset_sequences: bool, allow_cascade: bool
) -> list[str]:
    """Return what Django would execute to empty all tables, but for some that are kept."""
    kept = {model._meta.db_table for model in (ContentType, Permission)}
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    statements: list[str] = connection.ops.sql_flush(
        style,
        [table for table in tables if table not in kept],
        reset_sequences=reset_sequences,
        allow_cascade=allow_cascade,
    )
    return statements


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _own_limits(settings: Settings) -> None:
    """Have rate limits begin with each test, in memory: most tests have no broker."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


@pytest.fixture(autouse=True)
def _remember_nothing() -> None:
    """Have processes' memories begin with each test."""
    remembered_schedules.cache_clear()
    forget_past()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def carol(db: None) -> User:
    return User.objects.create_user("carol")
