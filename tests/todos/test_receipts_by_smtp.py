"""Receipts and a real mail server: one that refuses, hangs up, is away or slow."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tests.factories import new_trash, wants_receipt
from tests.mail_server import HANG_UP, MailServer, free_port, mail_server
from todos.bulk.store import InMemoryStore
from todos.models import Receipt
from todos.receipts import post, sending
from todos.receipts.sending import MailDelayed
from todos.receipts.services import ReceiptService, ReceiptsReport

NO_SUCH_USER = "550 5.1.1 No such user: dave@example.com"


@pytest.fixture
def server(settings: Settings) -> Iterator[MailServer]:
    """A mail server, which the settings name."""
    with mail_server() as server:
        settings.MAILERS = server.mailers
        yield server


def run(store: InMemoryStore | None = None, *, as_of: datetime | None = None) -> ReceiptsReport:
    """Write and send receipts now, or as the run of another night."""
    now = timezone.now()
    return ReceiptService.write_and_send(
        as_of=as_of or now, settled_until=lambda: now, store=store or InMemoryStore()
    )


def people(number: int) -> list[User]:
    """Make people who want receipts, and have a todo that was swept an hour ago."""
    made = User.objects.bulk_create(
        User(username=f"person{n}", email=f"person{n}@example.com") for n in range(number)
    )
    for person in made:
        wants_receipt(person)
        new_trash(person, each=1, run_id=1, trashed_at=timezone.now() - timedelta(hours=1))
    return made


def later() -> None:
    """Let the time pass for which mails are put off."""
    Receipt.objects.filter(claim__isnull=True).update(held_until=None)


def states() -> Counter[str]:
    """Return how many receipts are in each state."""
    return Counter(Receipt.objects.values_list("state", flat=True))


def test_thousand_people_get_one_mail_each_over_few_connections(
    server: MailServer, db: None
) -> None:
    people(1_000)
    assert run()["receipts_sent"] == 1_000
    assert set(server.per_person().values()) == {1}
    assert len(server.per_person()) == 1_000
    assert len({mail["Message-ID"] for mail in server.mails}) == 1_000
    assert server.connections <= 60


def test_whom_the_server_refuses_for_good_stops_nobody(
    server: MailServer, db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    people(4)
    server.refused = {"person0@example.com": NO_SUCH_USER}
    server.answers = {"person2@example.com": "554 5.7.1 It looks like spam"}
    report = run()
    assert (report["receipts_sent"], report["receipts_refused"]) == (2, 2)
    server.refused = server.answers = {}
    assert run()["receipts_sent"] == 0, "they are not tried again"
    assert "@example.com" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "address", ["nobody", "a b@example.com", "x@example.com\nBcc: y@example.com", "ü@example.com"]
)
def test_address_that_is_none_stops_nobody(server: MailServer, db: None, address: str) -> None:
    people(2)
    User.objects.filter(username="person0").update(email=address)
    server.refused = {"nobody": NO_SUCH_USER}
    report = run()
    assert (report["receipts_sent"], report["receipts_refused"]) == (1, 1)
    assert list(server.per_person()) == ["person1@example.com"]


@pytest.mark.parametrize(
    ("refused", "answers"),
    [("450 4.2.0 Greylisted", {}), ("250 OK", {"person0@example.com": "452 4.3.1 Full"})],
)
def test_whom_the_server_refuses_for_now_gets_it_later(
    server: MailServer, db: None, refused: str, answers: dict[str, str]
) -> None:
    people(2)
    server.refused, server.answers = {"person0@example.com": refused}, answers
    store = InMemoryStore()
    with pytest.raises(MailDelayed, match=r"wait.*: 1$"):
        run(store)
    assert list(server.per_person()) == ["person1@example.com"]
    server.refused = server.answers = {}
    with pytest.raises(MailDelayed):
        run(store)
    later()
    assert run(store)["receipts_sent"] == 2
    assert set(server.per_person().values()) == {1}


def test_server_that_is_away_delays(settings: Settings, db: None) -> None:
    port = free_port()
    settings.MAILERS = MailServer(port).mailers
    people(2)
    store = InMemoryStore()
    with pytest.raises(MailDelayed, match="The mail server is away \\(ConnectionRefusedError\\)"):
        run(store)
    with mail_server(port) as server:
        assert run(store)["receipts_sent"] == 2
        assert set(server.per_person().values()) == {1}


@pytest.mark.parametrize("answer", ["451 4.3.0 Try later", "530 5.7.0 Log in first"])
def test_server_that_takes_no_mail_at_all_delays(server: MailServer, db: None, answer: str) -> None:
    people(2)
    server.greeting = answer
    store = InMemoryStore()
    with pytest.raises(MailDelayed):
        run(store)
    server.greeting = "250 OK"
    assert run(store)["receipts_sent"] == 2


def test_server_that_refuses_everyone_is_at_fault_and_loses_nothing(
    server: MailServer, db: None
) -> None:
    people(50)
    server.refused = {"*": "550 5.7.1 Relaying denied"}
    store = InMemoryStore()
    with pytest.raises(MailDelayed, match="refuses everyone"):
        run(store)
    assert states() == {"waiting": 50}
    server.refused = {}
    with pytest.raises(MailDelayed):
        run(store)
    later()
    assert run(store)["receipts_sent"] == 50
    assert set(server.per_person().values()) == {1}


@pytest.mark.parametrize("number", [1, 19])
def test_server_that_refuses_the_few_of_a_small_site_loses_nothing(
    server: MailServer, db: None, number: int
) -> None:
    people(number)
    server.refused = {"*": "554 5.7.1 Your address is on a list"}
    store = InMemoryStore()
    for _ in range(4):
        with pytest.raises(MailDelayed):
            run(store)
        later()
    assert states() == {"waiting": number}, "one night counts once"
    server.refused = {}
    assert run(store)["receipts_sent"] == number


def test_only_address_is_believed_to_be_dead_after_three_nights(
    server: MailServer, db: None
) -> None:
    people(1)
    server.refused = {"*": NO_SUCH_USER}
    for nights in (3, 2):
        with pytest.raises(MailDelayed):
            run(as_of=timezone.now() - timedelta(days=nights))
        later()
    assert states() == {"waiting": 1}
    assert run(as_of=timezone.now() - timedelta(days=1))["receipts_refused"] == 1


def test_twenty_dead_addresses_do_not_stop_those_after_them(server: MailServer, db: None) -> None:
    people(25)
    server.refused = {f"person{number}@example.com": NO_SUCH_USER for number in range(20)}
    store = InMemoryStore()
    with pytest.raises(MailDelayed, match="refuses everyone"):
        run(store)
    with pytest.raises(MailDelayed):
        run(store)
    assert states() == {"sent": 5, "waiting": 20}
    later()
    report = run(store)
    assert (report["receipts_sent"], report["receipts_refused"]) == (5, 20)


def test_server_that_hangs_up_after_some_mails_gets_another_connection(
    server: MailServer, db: None
) -> None:
    people(10)
    server.hangs_up_after = 3
    assert run()["receipts_sent"] == 10
    assert set(server.per_person().values()) == {1}
    assert server.connections == 4


def test_mail_at_which_the_server_hangs_up_lets_others_pass(server: MailServer, db: None) -> None:
    people(3)
    server.answers = {"person0@example.com": HANG_UP}
    store = InMemoryStore()
    with pytest.raises(MailDelayed):
        run(store)
    with pytest.raises(MailDelayed, match=r"wait.*: 1$"):
        run(store)
    assert sorted(server.per_person()) == ["person1@example.com", "person2@example.com"]


def test_slow_answer_is_waited_for(server: MailServer, settings: Settings, db: None) -> None:
    """Whoever gives up before the server says that it has the mail sends it twice."""
    settings.MAILERS["default"]["OPTIONS"]["timeout"] = 0.3
    people(1)
    server.go_on.clear()

    def answer_late() -> None:
        assert server.stalled.wait(10)
        Event().wait(0.6)
        server.go_on.set()

    late = Thread(target=answer_late)
    late.start()
    assert run()["receipts_sent"] == 1
    late.join()
    assert set(server.per_person().values()) == {1}


def test_silent_server_is_given_up_and_has_one_mail_twice_at_most(
    server: MailServer, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "ANSWER_SECONDS", 0.3)
    people(2)
    server.go_on.clear()
    store = InMemoryStore()
    with pytest.raises(MailDelayed, match="away"):
        run(store)
    server.go_on.set()
    with pytest.raises(MailDelayed):
        run(store)
    later()
    assert run(store)["receipts_sent"] == 2
    assert sorted(server.per_person().values()) == [1, 2]
    ids = {mail["To"]: mail["Message-ID"] for mail in server.mails}
    assert all(mail["Message-ID"] == ids[mail["To"]] for mail in server.mails)


# Several at once.


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_send_each_receipt_once(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "BATCH_RECEIPTS", 7)
    people(60)
    reports: list[ReceiptsReport] = []

    def one_of_two() -> None:
        store = InMemoryStore()
        try:
            while True:
                try:
                    reports.append(run(store))
                except MailDelayed:  # The other one holds the rest.
                    Event().wait(0.1)
                else:
                    break
        finally:
            connection.close()

    both = [Thread(target=one_of_two) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert sum(report["receipts_written"] for report in reports) == 60
    assert sum(report["receipts_sent"] for report in reports) == 60
    assert set(server.per_person().values()) == {1}
    assert len(server.per_person()) == 60


def test_what_another_run_holds_is_left_to_it_until_that_is_long_ago(
    server: MailServer, db: None
) -> None:
    people(1)
    dead = InMemoryStore()
    server.greeting = "451 Try later"
    with pytest.raises(MailDelayed):
        run(dead)
    server.greeting = "250 OK"
    with pytest.raises(MailDelayed, match="another run"):
        run()
    Receipt.objects.update(held_until=timezone.now())
    assert run()["receipts_sent"] == 1


def test_frozen_process_does_not_send_what_another_has_sent_meanwhile(
    server: MailServer, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(3)
    hand_over = post.hand_over

    def meanwhile_another_run_sends_all(*mail: object) -> None:
        monkeypatch.setattr(sending, "hand_over", hand_over)
        Receipt.objects.update(held_until=timezone.now())
        run()
        hand_over(*mail)  # type: ignore[arg-type]

    monkeypatch.setattr(sending, "hand_over", meanwhile_another_run_sends_all)
    run()
    assert sorted(server.per_person().values()) == [1, 1, 2], "the one in hand"
