"""Receipts: who is told of what, and once, whatever the mail server does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail import EmailMessage
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from accounts.services import UserService
from tests.factories import new_trash, trash, wants_receipt
from todos.bulk.store import InMemoryStore
from todos.models import Receipt, TrashedTodo
from todos.receipts import sending
from todos.receipts.sending import MailDelayed
from todos.receipts.services import ReceiptService, ReceiptsReport
from todos.services import TodoService

DAY = timedelta(days=1)

#: The mornings' runs, and the cleanups of the nights before.
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)
NIGHT = datetime(2026, 3, 10, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _this_morning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "database_now", lambda: MORNING)


def run(
    as_of: datetime = MORNING,
    *,
    until: datetime | None = None,
    store: InMemoryStore | None = None,
) -> ReceiptsReport:
    """Write and send the receipts of a morning."""
    return ReceiptService.write_and_send(
        as_of=as_of, settled_until=lambda: until or as_of, store=store or InMemoryStore()
    )


def swept(user: User, *titles: str, at: datetime = NIGHT) -> list[int]:
    """Put todos into a person's trash as a cleanup does."""
    return trash(user, *titles, run_id=1, trashed_at=at)


def outbox() -> list[EmailMessage]:
    """Return the mails that were sent."""
    return list(mail.outbox)


def the_mail() -> EmailMessage:
    """Return the only mail that was sent."""
    (only,) = mail.outbox
    return only


def counts(report: ReceiptsReport) -> dict[str, object]:
    """Return the counts of a report that are not 0, by their short names."""
    return {name.removeprefix("receipts_"): n for name, n in report.items() if n}


# Who is told of what.


def test_whoever_asked_is_told_what_the_night_took_and_nobody_else(
    alice: User, bob: User, carol: User
) -> None:
    wants_receipt(alice)
    wants_receipt(carol)
    swept(alice, "Buy milk", "Call mum")
    swept(bob, "Bob's own")

    assert counts(run()) == {"written": 1, "sent": 1}

    told = the_mail()
    assert told.to == ["alice@example.com"]
    assert told.subject == "Tidy took 2 completed todos last night"
    assert "- Buy milk\n- Call mum\n" in told.body
    assert "Bob" not in told.body
    assert Receipt.objects.get().todos == 2


def test_run_again_the_same_night_sends_nothing(alice: User) -> None:
    wants_receipt(alice)
    swept(alice, "Buy milk")
    run()
    assert counts(run()) == {}
    assert counts(run(MORNING + timedelta(hours=3))) == {}
    assert len(outbox()) == 1


def test_what_a_second_cleanup_of_the_day_takes_is_told_the_next_morning(alice: User) -> None:
    wants_receipt(alice)
    swept(alice, "Of the night")
    run()
    swept(alice, "Of the noon", at=MORNING + timedelta(hours=6))
    run(MORNING + timedelta(hours=7))
    assert len(outbox()) == 1
    run(MORNING + DAY)
    first, second = outbox()
    assert ("- Of the night" in first.body, "- Of the noon" in first.body) == (True, False)
    assert ("- Of the night" in second.body, "- Of the noon" in second.body) == (False, True)


def test_nights_before_they_asked_are_not_told(alice: User) -> None:
    swept(alice, "Before")
    wants_receipt(alice, since=NIGHT + timedelta(hours=1))
    assert counts(run()) == {}


def test_what_they_deleted_themselves_is_not_told(alice: User) -> None:
    wants_receipt(alice)
    trash(alice, "Deleted by hand", by=alice, trashed_at=NIGHT)
    assert counts(run()) == {}


def test_what_a_cleanup_still_under_way_takes_is_told_the_next_morning(alice: User) -> None:
    wants_receipt(alice)
    swept(alice, "Early")
    swept(alice, "Late", at=MORNING - timedelta(minutes=1))
    run(until=MORNING - timedelta(minutes=2))
    run(MORNING + DAY)
    first, second = outbox()
    assert "- Late" not in first.body
    assert "- Early" not in second.body
    assert "- Late" in second.body
