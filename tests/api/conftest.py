"""The cast of the API's tests: programs of alice and of bob."""

import pytest
from django.test import Client

from accounts.models import Access, User
from tests.api.clients import Program, program_of


@pytest.fixture
def api(alice: User) -> Program:
    """A program of alice's that may change things."""
    return program_of(alice)


@pytest.fixture
def reader(alice: User) -> Program:
    """A program of alice's that may read."""
    return program_of(alice, Access.READ)


@pytest.fixture
def bobs(bob: User) -> Program:
    """A program of bob's that may change things."""
    return program_of(bob)


@pytest.fixture
def page(alice: User) -> Program:
    """A script in alice's browser, which has her session."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return Program(client=client)
