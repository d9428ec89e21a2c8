"""Receipts: who is told of what, and once, whatever the mail server does."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage as Message
from email.policy import Policy
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from accounts.services import UserService
from tests.factories import new_trash, trash, wants_receipt
from todos.bulk.store import InMemoryStore
from todos.models import Receipt
from todos.receipts import sending, writing
from todos.receipts.mail import Letter, mail_of
from todos.receipts.post import ServerAway, hand_over
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


def states() -> dict[str, str]:
    """Return what has become of each person's receipt."""
    return dict(Receipt.objects.values_list("user__username", "state"))


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


def test_many_people_are_told_each_of_their_own(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(writing, "BATCH_PEOPLE", 3)
    monkeypatch.setattr(sending, "BATCH_RECEIPTS", 2)
    people = [User.objects.create_user(f"person{number}") for number in range(8)]
    for number, person in enumerate(people):
        wants_receipt(person)
        swept(person, *[f"{person.username}'s {todo}" for todo in range(number % 4)])

    assert counts(run()) == {"written": 6, "sent": 6}

    told = {one.to[0].split("@")[0]: one.body.count("\n- ") for one in outbox()}
    assert told == {f"person{number}": number % 4 for number in range(8) if number % 4}
    assert all(one.body.count("person") == one.body.count("\n- ") for one in outbox())


def test_run_that_is_interrupted_anywhere_goes_on(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BATCH_PEOPLE", 1)
    monkeypatch.setattr(sending, "BATCH_RECEIPTS", 1)
    for person in (alice, bob):
        wants_receipt(person)
        swept(person, "Done")
    store, attempts = InterruptedStore(), 0
    while True:
        attempts += 1
        store.has_progressed = False
        try:
            report = run(store=store)
        except Interrupted:
            continue
        break
    assert attempts > 4
    assert counts(report) == {"written": 2, "sent": 2}
    assert sorted(one.to[0] for one in outbox()) == ["alice@example.com", "bob@example.com"]


class Interrupted(Exception):  # noqa: N818  (as `Continued`)
    """Stands for the end of a slice."""


class InterruptedStore(InMemoryStore):
    """Refuses the step after the first one that changes something, as the end of a slice does."""

    has_progressed = False

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a step, or refuse it."""
        if self.has_progressed:
            raise Interrupted
        with super().step() as stored:
            before = deepcopy(stored)
            yield stored
        self.has_progressed = stored != before


def test_old_receipts_are_deleted_but_for_each_persons_last(alice: User, bob: User) -> None:
    for person in (alice, bob):
        wants_receipt(person)
        swept(person, "Old", at=NIGHT - 60 * DAY)
    run(MORNING - 60 * DAY)
    swept(alice, "New")
    run()
    assert set(Receipt.objects.values_list("user__username", "night__month")) == {
        ("alice", 3),
        ("bob", 1),
    }
    assert counts(run(MORNING + DAY)) == {}, "what Bob's tells of is not told again"


# What is looked at again when a mail is sent.


def test_what_is_back_by_then_is_not_told(alice: User, bob: User) -> None:
    for person in (alice, bob):
        wants_receipt(person)
    one, _ = swept(alice, "Comes back", "Stays away")
    (both,) = swept(bob, "Bob's")
    write_only()
    TodoService.restore(user=alice, todo_id=one)
    TodoService.restore(user=bob, todo_id=both)

    assert counts(run()) == {"sent": 1, "dropped": 1}

    assert the_mail().subject == "Tidy took 1 completed todo last night"
    assert "It stays in the trash until" in the_mail().body
    assert "Comes back" not in the_mail().body
    assert states() == {"alice": "sent", "bob": "dropped"}


def write_only(until: datetime = MORNING) -> None:
    """Write the receipts of the morning, and send none."""
    store = InMemoryStore()
    with store.step() as stored:
        stored.update(person=0, written=0)
    writing.write_receipts(night=MORNING.date(), until=until, store=store)


@pytest.mark.parametrize(
    "change", [{"wants_receipt": False}, {"is_active": False}, {"email": ""}], ids=str
)
def test_nothing_is_sent_to_whoever_wants_none_or_cannot_get_it(
    alice: User, change: dict[str, object]
) -> None:
    wants_receipt(alice)
    swept(alice, "Done")
    write_only()
    User.objects.update(**change)
    assert counts(run()) == {"dropped": 1}
    assert outbox() == []


@pytest.mark.parametrize(
    ("required", "verified", "sent"),
    [("mandatory", True, 1), ("mandatory", False, 0), ("mandatory", None, 0), ("none", None, 1)],
)
def test_address_has_to_be_confirmed_where_addresses_are(
    alice: User, settings: Settings, *, required: str, verified: bool | None, sent: int
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = required
    wants_receipt(alice)
    if verified is not None:
        EmailAddress.objects.create(user=alice, email="Alice@Example.com", verified=verified)
    swept(alice, "Done")
    run()
    assert len(outbox()) == sent


def test_after_a_week_without_a_mail_server_one_mail_tells_of_all_its_nights(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (alice, bob):
        wants_receipt(person)
    swept(bob, "Gone by then", at=NIGHT - 7 * DAY)
    monkeypatch.setattr(sending, "connection", away)
    for days in (7, 6, 3, 0):
        swept(alice, f"Of {days} days ago", at=NIGHT - days * DAY)
        with pytest.raises(MailDelayed):
            run(MORNING - days * DAY)
    assert states() == {"alice": "waiting", "bob": "waiting"}
    assert Receipt.objects.get(user=alice).todos == 4
    bob.trashed_todos.all().delete()

    monkeypatch.undo()
    Receipt.objects.update(held_until=None)
    assert counts(run(MORNING + timedelta(hours=5))) == {"sent": 1, "dropped": 1}

    assert "\n- ".join(f"Of {days} days ago" for days in (7, 6, 3, 0)) in the_mail().body
    assert "4 completed todos" in the_mail().subject
    assert states() == {"alice": "sent", "bob": "dropped"}
    swept(alice, "Of the next night", at=NIGHT + DAY)
    run(MORNING + DAY)
    assert outbox()[1].body.count("\n- ") == 1


@contextmanager
def away() -> Iterator[BaseEmailBackend]:
    """Be the connection to a mail server that is away."""
    raise ServerAway(ConnectionRefusedError(), in_doubt=False)
    yield


def test_night_that_is_added_while_its_mail_is_on_its_way_is_told_the_next_night(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants_receipt(alice)
    swept(alice, "Of the night")

    def late(backend: BaseEmailBackend, message: EmailMessage) -> None:
        swept(alice, "Of the noon", at=MORNING + timedelta(hours=6))
        write_only(until=MORNING + timedelta(hours=7))
        hand_over(backend, message)

    monkeypatch.setattr(sending, "hand_over", late)
    run()
    monkeypatch.setattr(sending, "hand_over", hand_over)
    run(MORNING + DAY)
    run(MORNING + 2 * DAY)

    first, second = outbox()
    assert ("- Of the night" in first.body, "- Of the noon" in first.body) == (True, False)
    assert ("- Of the night" in second.body, "- Of the noon" in second.body) == (False, True)


def test_receipt_that_waits_tells_nothing_from_before_they_asked_anew(alice: User) -> None:
    wants_receipt(alice)
    swept(alice, "Before")
    write_only()
    wants_receipt(alice, since=NIGHT + timedelta(hours=1))
    assert counts(run()) == {"dropped": 1}


@pytest.mark.parametrize("broken", ["mail_of", "message"])
def test_mail_that_cannot_be_made_is_put_off_and_the_others_are_sent(
    alice: User,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    for person in (alice, bob):
        wants_receipt(person)
        swept(person, "Secret")
    message = Letter.message

    def broken_mail(receipt: Receipt, *, now: datetime) -> EmailMessage | None:
        if receipt.user_id == alice.pk:
            raise KeyError("Secret")
        return mail_of(receipt, now=now)

    def broken_message(letter: Letter, *, policy: Policy | None = None) -> Message:
        if letter.to == ["alice@example.com"]:
            raise KeyError("Secret")
        return message(letter, policy=policy)

    with monkeypatch.context() as patch:
        if broken == "mail_of":
            patch.setattr(sending, "mail_of", broken_mail)
        else:
            patch.setattr(Letter, "message", broken_message)
        with pytest.raises(MailDelayed, match=r": 1$"):
            run()

    assert states() == {"alice": "waiting", "bob": "sent"}
    log = caplog.text
    assert f"'receipt': {Receipt.objects.get(user=alice).pk}" in log
    assert "KeyError in " in log
    assert "Secret" not in log
    Receipt.objects.update(held_until=None)
    assert counts(run()) == {"sent": 1}


def test_without_a_mail_server_nothing_is_done_and_the_result_says_so(
    alice: User, settings: Settings
) -> None:
    settings.SENDS_MAIL = False
    wants_receipt(alice)
    swept(alice, "Done")
    assert counts(run()) == {"skipped": "There is no mail server."}
    assert not Receipt.objects.exists()


# The mail.


def test_only_the_number_is_told_whoever_wants_no_titles(alice: User) -> None:
    wants_receipt(alice, receipt_titles=False)
    swept(alice, "Secret", "Private")
    run()
    assert the_mail().subject == "Tidy took 2 completed todos last night"
    assert "Secret" not in the_mail().message().as_string()
    assert "- " not in the_mail().body


def test_long_night_is_bounded(alice: User) -> None:
    wants_receipt(alice)
    new_trash(alice, each=60, title="Done", trashed_at=NIGHT, run_id=1)
    run()
    assert the_mail().body.count("- Done\n") == 50
    assert "... and 10 more\n" in the_mail().body


def test_nights_longer_ago_are_not_called_the_last(alice: User) -> None:
    wants_receipt(alice)
    swept(alice, "Older", at=NIGHT - 2 * DAY)
    swept(alice, "Newer")
    run()
    assert the_mail().subject == "Tidy took 2 completed todos since Sun 8 March"


@pytest.mark.parametrize(
    ("zone", "sent", "when"),
    [
        ("UTC", MORNING, "last night"),
        ("UTC", MORNING + timedelta(hours=17), "last night"),
        ("UTC", MORNING + DAY, "on Tue 10 March"),
        # There, the night's cleanup is in the afternoon.
        ("Pacific/Honolulu", MORNING, "on Mon 9 March"),
        ("Australia/Sydney", MORNING, "on Tue 10 March"),
    ],
)
def test_last_night_is_the_readers_when_the_mail_is_sent(
    alice: User, monkeypatch: pytest.MonkeyPatch, zone: str, sent: datetime, when: str
) -> None:
    wants_receipt(alice, time_zone=zone)
    swept(alice, "Done")
    write_only()
    monkeypatch.setattr(sending, "database_now", lambda: sent)
    run()
    assert the_mail().subject == f"Tidy took 1 completed todo {when}"


def test_dates_are_in_the_readers_time_zone_and_language(alice: User, bob: User) -> None:
    wants_receipt(alice, time_zone="Pacific/Auckland")
    wants_receipt(bob, language="de")
    for person in (alice, bob):
        swept(person, "Done", at=NIGHT.replace(hour=23) - DAY)
    run()
    english, german = outbox()
    assert "until Thu 9 April." in english.body, "the 8th in UTC"
    assert "Mi, 8. April" in german.body


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Buy\tmilk\x1b[31m", "- Buy milk [31m"),
        ("\u202egnp.exe", "- gnp.exe"),
        ("\u2066a\u2069 \u200fb\u2028c", "- a b c"),
        ("{{ user.password }} <b>&amp;", "- {{ user.password }} <b>&amp;"),
        ("👩\u200d👧 Grüße", "- 👩\u200d👧 Grüße"),
    ],
)
def test_title_is_one_line_that_nothing_obeys(alice: User, title: str, line: str) -> None:
    wants_receipt(alice)
    swept(alice, title)
    run()
    assert f"\n{line}\n" in the_mail().body


def test_mail_leads_to_the_trash_and_can_be_unsubscribed_from_by_mail_programs(
    alice: User, settings: Settings
) -> None:
    settings.SITE_URL = "https://a-rather-long-name-of-a-site.tidy.example.org"
    settings.DEFAULT_FROM_EMAIL = "Tidy <tidy@example.org>"
    wants_receipt(alice)
    swept(alice, "Done")
    run()
    text = the_mail().message().as_string()
    address = f"{settings.SITE_URL}/unsubscribe/{alice.pk}:"
    assert f"\nList-Unsubscribe: <{address}" in text, "in one line, and not encoded"
    assert "\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n" in text
    assert "\nAuto-Submitted: auto-generated\n" in text
    assert "\nFrom: Tidy <tidy@example.org>\n" in text
    assert f"{settings.SITE_URL}/trash/?run=1\n" in the_mail().body
    assert f"{address}" in the_mail().body
    assert the_mail().message().get_content_type() == "text/plain"
    assert alice.username not in the_mail().body


def test_mail_about_several_cleanups_leads_to_the_whole_trash(alice: User) -> None:
    wants_receipt(alice)
    for run_id in (1, 2):
        trash(alice, "Done", run_id=run_id, trashed_at=NIGHT)
    run()
    assert "/trash/\n" in the_mail().body


# What it costs.


def test_queries_do_not_grow_with_the_people_but_for_a_few_each(
    db: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    people = User.objects.bulk_create(
        User(
            username=f"person{number}",
            email=f"person{number}@example.com",
            wants_receipt=True,
            receipt_since=NIGHT - DAY,
        )
        for number in range(1_000)
    )
    for person in people[::2]:
        new_trash(person, each=1, trashed_at=NIGHT, run_id=1)
    # Five for each mail: whether it is still to be sent, to whom, numbers, titles, and its mark.
    with django_assert_max_num_queries(5 * 500 + 100):
        assert counts(run()) == {"written": 500, "sent": 500}
    with django_assert_max_num_queries(25):
        assert counts(run()) == {}


def test_receipts_are_deleted_with_their_person(alice: User, bob: User) -> None:
    for person in (alice, bob):
        wants_receipt(person)
        swept(person, "Done")
    run()
    UserService.delete(user=alice)
    assert states() == {"bob": "sent"}
