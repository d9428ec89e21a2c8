"""Whatever happens in any order, each sweep of a todo is told its owner once."""

import re
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from tests.examples import examples
from tests.factories import trash, wants_receipt
from todos.bulk.store import InMemoryStore
from todos.models import Receipt
from todos.receipts import sending, services
from todos.receipts.sending import MailDelayed
from todos.receipts.services import ReceiptService

START = datetime(2026, 3, 1, tzinfo=UTC)

#: What happens: todos of one of two people are swept; or receipts are written and sent, while a
#: cleanup is under way that began so many hours ago, and perhaps the mail server is away.
sweeps = st.tuples(st.just("sweep"), st.integers(0, 1), st.integers(1, 3))
tellings = st.tuples(st.just("tell"), st.sampled_from([0, 0, 1, 40]), st.booleans())

#: Each comes some hours after the one before.
events = st.lists(st.tuples(st.integers(0, 30), sweeps | tellings), max_size=25)


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=events)
def test_each_sweep_is_told_once(
    events: list[tuple[int, tuple[str, int, int]]],
    alice: User,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [wants_receipt(person, since=START - timedelta(hours=1)) for person in (alice, bob)]
    Receipt.objects.all().delete()
    mail.outbox.clear()
    for person in people:
        person.trashed_todos.all().delete()
    now, swept = START, Counter[str]()

    def tell(*, under_way: int, fails: bool = False) -> None:
        settled = now - timedelta(hours=under_way)
        with monkeypatch.context() as patch:
            patch.setattr(sending, "database_now", lambda: now)
            if fails:
                patch.setattr(services, "send_receipts", fail)
            sent = len(mail.outbox)
            with suppress(MailDelayed):
                ReceiptService.write_and_send(
                    as_of=now, settled_until=lambda: settled, store=InMemoryStore()
                )

        told_now = Counter(one.to[0] for one in mail.outbox[sent:])
        assert max(told_now.values(), default=0) <= 1, "nobody gets several mails at once"

    for number, (passed, (what, who_or_since, many_or_fails)) in enumerate(events):
        now += timedelta(hours=passed, seconds=1)
        if what == "tell":
            tell(under_way=who_or_since, fails=bool(many_or_fails))
            continue
        titles = [f"<{who_or_since} {number} {one}>" for one in range(many_or_fails)]
        trash(people[who_or_since], *titles, run_id=1, trashed_at=now)
        swept.update(titles)
    # In the end, a night with time enough has all the rest.
    now += timedelta(days=2)
    tell(under_way=0)

    told = Counter(re.findall("- (<.+>)", "".join(str(one.body) for one in mail.outbox)))
    assert told == swept
    assert sum(Receipt.objects.values_list("todos", flat=True)) == swept.total()


def fail(**_: object) -> None:
    """Be a mail server that is away."""
    raise MailDelayed("away")
