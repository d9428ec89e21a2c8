"""A site with people, staff and marks, as requests find it."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.core.cache import cache
from django.db import connection
from pytest_django import Settings

from tests.fuzz.answers import Site
from tests.fuzz.cast import plant
from tests.fuzz.state import State
from tests.plugin import ON_POSTGRESQL, RUNTIME
from tests.tasks.faults import end_connections

SECRET_KEY = "the-secret-key-of-the-fuzzed-site-0123456789-abcdefghij"


@pytest.fixture
def site(transactional_db: None, valkey: str, settings: Settings) -> Iterator[Site]:
    settings.SECRET_KEY = SECRET_KEY
    # The run takes longer than the five minutes for which a password is remembered.
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 10**6
    settings.ACCOUNTS_STAFF_IDLE_MINUTES = 10**6
    # Each request is one line, and each refusal a traceback.
    logging.disable(logging.CRITICAL)
    cast = plant(valkey)
    cache.clear()
    state = State()
    secrets: list[Any] = [SECRET_KEY, site_settings.REDIS_URL, str(RUNTIME)]
    try:
        yield Site(cast, state, [str(secret).encode() for secret in secrets])
    finally:
        logging.disable(logging.NOTSET)
        state.wrote.add("")
        state.put_back()
        state.forget()
        if ON_POSTGRESQL:
            # Readiness asks in a thread that lives on, and keeps its connection.
            connection.ensure_connection()
            end_connections(connection.connection, but=connection.connection)
