"""The transactions in which runs get on, on PostgreSQL: what they wait for, and for how long."""

from contextlib import AbstractContextManager

import pytest
from django.db import OperationalError, connection

from accounts.models import User
from tasks.engine import database as transactions
from tasks.engine.database import short_transaction
from tests.todos.locks import locked

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def shown(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        (value,) = cursor.fetchone()
    return str(value)


@pytest.mark.parametrize(
    ("opened", "expected"),
    [(short_transaction(), "off"), (short_transaction(wait_for_disk=True), "remote_apply")],
    ids=["step", "claim"],
)
def test_claim_waits_for_the_disk_as_the_server_says_and_a_step_does_not(
    opened: AbstractContextManager[None], expected: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = remote_apply")
    try:
        with opened:
            assert shown("synchronous_commit") == expected
        assert shown("synchronous_commit") == "remote_apply"
    finally:
        connection.close()


def test_time_outs_hold_within_the_transaction_alone() -> None:
    before = shown("lock_timeout"), shown("statement_timeout")
    with short_transaction():
        assert (shown("lock_timeout"), shown("statement_timeout")) == ("2s", "30s")
    assert (shown("lock_timeout"), shown("statement_timeout")) == before


def test_statement_that_meets_somebody_elses_lock_ends_with_an_error(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(transactions.SHORT_TRANSACTION_SETTINGS, "lock_timeout", "100")
    with (
        locked("accounts_user", alice.pk),
        pytest.raises(OperationalError, match="lock timeout"),
        short_transaction(),
    ):
        User.objects.update(first_name="Alice")
