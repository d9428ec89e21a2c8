"""Dead letters: seen, retried once, discarded."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from dramatiq import Message
from pytest_django import Settings

from accounts.models import User
from tasks.engine.broker import dead_letters as deadletters
from tasks.engine.broker.waking import WakingBroker
from tasks.engine.broker.whereabouts import Whereabouts
from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.operations.dead_letters import can_be_retried, retried_as, retry
from tests.dead_letters import KEY, bury

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def boss(transactional_db: None) -> User:
    return User.objects.create_superuser("boss")


def test_dead_letter_as_dramatiq_itself_leaves_it_is_read(broker: WakingBroker) -> None:
    broker.declare_queue("default")
    message = broker.enqueue(
        Message(queue_name="default", actor_name="ping", args=(), kwargs={}, options={})
    )
    consumer = broker.consume("default", prefetch=1, timeout=100)
    fetched = next(consumer)
    assert fetched
    consumer.nack(fetched)
    consumer.close()

    (letter,) = deadletters.read(["default"], limit=10)

    assert (letter.actor, letter.arguments, letter.queue) == ("ping", "", "default")
    assert letter.message
    assert letter.message.message_id == message.message_id
    assert deadletters.count(["default"]) == 1
    assert deadletters.discard([letter]) == [letter]
    assert deadletters.count(["default"]) == 0


def test_latest_come_first(broker: WakingBroker) -> None:
    ids = [bury(broker) for _ in range(3)]
    assert [letter.id for letter in deadletters.read(["default"], limit=2)] == [ids[2], ids[1]]


def test_retried_letter_is_a_run_of_its_own_and_gone(broker: WakingBroker, boss: User) -> None:
    bury(broker)
    outcome = retry(deadletters.read(["default"], limit=1), by=boss)

    (run,) = outcome.retried
    stored = TaskRun.objects.get(pk=run.pk)
    assert (stored.task, stored.state, stored.trigger) == ("ping", State.QUEUED, Trigger.ADMIN)
    assert stored.requested_by == boss
    assert broker.where("default", [str(stored.delivery)]) == {
        str(stored.delivery): Whereabouts.WAITING
    }
    assert deadletters.read(["default"], limit=1) == []


def test_crash_between_retry_and_deletion_duplicates_nothing(
    broker: WakingBroker, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(broker)
    letters = deadletters.read(["default"], limit=1)

    def die(_: object) -> int:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr("tasks.engine.operations.dead_letters.discard", die)
        with pytest.raises(SystemExit):
            retry(letters, by=boss)

    (left,) = deadletters.read(["default"], limit=1)
    run = TaskRun.objects.get()
    assert retried_as([left]) == {left.id: run.pk}
    outcome = retry([left], by=boss)
    assert (outcome.retried, outcome.already, outcome.refused) == ((), 1, 0)
    assert deadletters.read(["default"], limit=1) == []
    assert TaskRun.objects.count() == 1


def test_letter_of_an_unknown_actor_stays(broker: WakingBroker, boss: User) -> None:
    bury(broker, "of.another.version")
    letters = deadletters.read(["default"], limit=1)
    assert not can_be_retried(letters[0])
    outcome = retry(letters, by=boss)
    assert (outcome.retried, outcome.already, outcome.refused) == ((), 0, 1)
    assert deadletters.read(["default"], limit=1) == letters


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe not text",
        b"{}",
        b"[]",
        json.dumps({**Message("q", "a", (), {}, {}).asdict(), "args": 7}).encode(),
        json.dumps({**Message("q", "a", (), {}, {}).asdict(), "actor_name": None}).encode(),
    ],
)
def test_what_is_no_message_can_be_seen_and_discarded(broker: WakingBroker, data: bytes) -> None:
    bury(broker, data=data)
    (letter,) = deadletters.read(["default"], limit=1)
    assert (letter.actor, letter.arguments, letter.error) == ("", "", "")
    assert not can_be_retried(letter)
    assert deadletters.discard([letter]) == [letter]


def test_letter_of_a_task_that_one_may_not_start_stays(broker: WakingBroker) -> None:
    bury(broker, "todo.purge", days=0)
    letters = deadletters.read(["default"], limit=1)
    outcome = retry(letters, by=User.objects.create_user("nobody"))
    assert (outcome.retried, outcome.forbidden) == ((), 1)
    assert deadletters.read(["default"], limit=1) == letters
    assert not TaskRun.objects.exists()


def test_all_of_one_actor_are_found_in_batches(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "IDS_PER_EXCHANGE", 2)
    mine = {bury(broker, "ping", number=number) for number in range(5)}
    bury(broker, "todo.cleanup")
    batches = list(deadletters.all_of(["default", "none"], actor="ping"))
    assert {letter.id for batch in batches for letter in batch} == mine
    assert len(batches) == 3


def test_letters_that_are_gone_meanwhile_are_not_found(broker: WakingBroker) -> None:
    letter = bury(broker)
    found = deadletters.find([("default", letter), ("default", "gone"), ("none", "gone")])
    assert [each.id for each in found] == [letter]


@pytest.mark.parametrize("key", [b"", b"\xff\x00", b"two words", b"hex:00", "ü".encode(), b"a\nb"])
def test_letter_whose_id_is_no_plain_text_can_be_seen_and_discarded(
    broker: WakingBroker, key: bytes
) -> None:
    broker.client.zadd(f"{broker.namespace}:default.XQ", {key: 1})
    broker.client.hset(f"{broker.namespace}:default.XQ.msgs", key, b"\xff")
    (letter,) = deadletters.read(["default"], limit=1)
    assert letter.id.isprintable()
    assert " " not in letter.id
    assert deadletters.find([("default", letter.id)]) == [letter]
    assert deadletters.discard([letter]) == [letter]
    assert deadletters.count(["default"]) == 0


def test_id_that_nobody_has_finds_nothing(broker: WakingBroker) -> None:
    ids = [("default", each) for each in ("hex:", "hex:zz", "\ud800", "\0", "")]
    assert deadletters.find(ids) == []


def test_text_that_neither_page_nor_database_takes_is_told_in_escapes(
    broker: WakingBroker, boss: User
) -> None:
    hostile = "a\0b\ud800\x1b[31m"
    message = Message[object](
        queue_name="default",
        actor_name=hostile,
        args=(hostile,),
        kwargs={hostile: 1},
        options={"traceback": f"first\n{hostile}"},
    )
    bury(broker, data=message.encode())
    (letter,) = deadletters.read(["default"], limit=1)
    escaped = r"a\x00b\ud800\x1b[31m"
    assert letter.actor == escaped
    assert letter.arguments == f"'{escaped}', {escaped}=1"
    assert letter.error == f"first\n{escaped}"


def test_page_shows_whatever_there_is_and_discards_it(
    broker: WakingBroker, boss: User, client: Client
) -> None:
    client.force_login(boss)
    bury(broker, "a\0\ud800", text="\ud800\0")
    for data in (b"\xff", b"null", b"[]", b"[" * 100_000, json.dumps("\ud800").encode()):
        bury(broker, data=data)
    bury(broker, text="x" * 1_000_000)
    page = client.get(reverse("background:dead-letters"))
    assert page.status_code == 200
    assert "7 shown of 7." in page.content.decode()
    assert len(page.content) < 100_000
    asked = client.post(reverse("background:discard"), {"all": "1", "actor": ""})
    yes = {**dict(asked.context["question"].fields), "confirmed": "1"}
    assert client.post(reverse("background:discard"), yes).status_code == 302
    assert deadletters.count(["default"]) == 0


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("where", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_letters_that_died_at_no_moment_are_seen_and_retried_or_discarded(
    broker: WakingBroker, boss: User, client: Client, settings: Settings, verb: str, where: str
) -> None:
    settings.TIME_ZONE = where
    client.force_login(boss)
    inf = float("inf")
    no_moments = [inf, -inf, -1e300, 1e300, 1e18, 253_402_300_799_999, -62_135_596_800_000, -1]
    dated = bury(broker)
    undated = [bury(broker) for _ in no_moments]
    for letter, score in zip(undated, no_moments, strict=True):
        broker.client.zadd(KEY, {letter: score})

    page = client.get(reverse("background:dead-letters"), {"actor": "ping"})
    assert page.status_code == 200
    assert page.content.decode().count(">unknown</td>") == len(undated)
    assert page.context["rows"][0]["letter"].id == dated

    ticked = {"letter": f"default {undated[0]}"}
    assert client.post(reverse(f"background:{verb}"), ticked).status_code == 302
    assert deadletters.count(["default"]) == len(undated)
    end_all(client, verb)
    assert deadletters.count(["default"]) == 0
    broker.client.zadd(KEY, {bury(broker): inf})
    end_all(client, verb)
    assert deadletters.count(["default"]) == 0


def end_all(client: Client, verb: str) -> None:
    """Retry or discard all dead letters of pings, as an operator does."""
    asked = client.post(reverse(f"background:{verb}"), {"all": "1", "actor": "ping"})
    yes = {**dict(asked.context["question"].fields), "confirmed": "1"}
    assert client.post(reverse(f"background:{verb}"), yes).status_code == 302


@pytest.mark.postgresql
def test_letter_whose_arguments_no_row_can_hold_stays(broker: WakingBroker, boss: User) -> None:
    bury(broker, text="a\0b")
    letters = deadletters.read(["default"], limit=1)
    outcome = retry(letters, by=boss)
    assert (outcome.retried, outcome.already, outcome.refused) == ((), 0, 1)
    assert deadletters.read(["default"], limit=1) == letters
