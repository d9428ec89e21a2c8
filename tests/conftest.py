"""The cast of the tests, and the servers they share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import Settings

from accounts.models import User
from tests.checkout import copy_project
from tests.plugin import ON_POSTGRESQL, RUNTIME
from tests.processes import Tidy
from tests.servers import postgresql_database, postgresql_server, valkey_server


@pytest.fixture(scope="session")
def checkout() -> Path:
    """A copy of the project, without `.env` and `var/`. All tests share it: write nothing there."""
    return copy_project(RUNTIME / "checkout")


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


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def carol(db: None) -> User:
    return User.objects.create_user("carol")
