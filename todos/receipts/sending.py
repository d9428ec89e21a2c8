"""Sends the receipts that wait, each of them once.

A run takes a batch of receipts in a step: they get its claim, and no other run sends them, for as
long as a batch can take at most. Outside of any transaction it then hands one mail after another to
the mail server, and marks each as sent as soon as the server has accepted it, before the next. If
it is killed, its next attempt has the same claim, and sends what is not marked.

So each mail is sent once, but for what SMTP leaves open: a process that dies, or finds the database
away until it ends, after the server has accepted a mail and before that is marked, has this one
mail sent again. So has a server that accepts a mail and hangs up before it says so. Both copies
have the same Message-ID.
"""

from collections.abc import Collection
from datetime import date, timedelta
from time import monotonic
from typing import Any, TypedDict, Unpack
from uuid import UUID

import structlog
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import InterfaceError, OperationalError
from django.db.models import Count

from accounts.services import UserService
from todos.bulk.store import CheckpointStore
from todos.clock import database_now
from todos.receipts.mail import mail_of
from todos.receipts.models import Receipt, ReceiptState
from todos.receipts.post import (
    RefusedForGood,
    RefusedForNow,
    ServerAway,
    Unmailable,
    Unsendable,
    connection,
    hand_over,
)

logger = structlog.get_logger(__name__)

#: Receipts in one claim, and so mails over one connection; and for how long to go on with them: a
#: run stops between two claims.
BATCH_RECEIPTS = 100
BATCH_SECONDS = 5.0

#: How long a claim holds against other runs: longer than any batch. Four answers to its last mail
#: may take `ANSWER_SECONDS` each.
CLAIM = timedelta(minutes=30)

#: How long a mail is put off that the server does not take now.
PUT_OFF = timedelta(minutes=10)

#: While the server takes no mail at all, the fault may be ours or its own. A mail is refused for
#: good once it takes others, or has refused this one on so many nights.
REFUSED_NIGHTS = 3

#: If it refuses so many mails in a row, before it has taken any, the fault is not theirs.
MOST_REFUSED = 20


class Refusals(TypedDict, total=False):
    """What is noted of a mail that was refused; see `Receipt`."""

    refusals: int
    refused_on: date


class MailDelayed(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """Receipts still wait, as the mail server does not take them; the text says why."""


def send_receipts(*, night: date, store: CheckpointStore) -> None:
    """Send what waits, of this night and of earlier ones.

    Args:
        night: the present one, by its date.

    Raises:
        MailDelayed: some still wait. Another attempt, or a later run, sends them.
    """
    while batch := claim(night=night, store=store):
        batch.send()
    if left := store.read(Receipt.objects.waiting().count):
        raise MailDelayed(f"Receipts that wait for the mail server, or for another run: {left}")


def claim(*, night: date, store: CheckpointStore) -> "Batch | None":
    """Take the receipts that have waited for longest, and that nobody else holds; None if none.

    In the same step, what has become of the batch before is counted.
    """
    with store.step() as stored:
        token = UUID(stored["claim"])
        count_ended(stored, token)
        now = database_now()
        free = Receipt.objects.free(now=now, claim=token).order_by("pk")
        free = free.select_for_update(skip_locked=True)[:BATCH_RECEIPTS]
        ids = list(free.values_list("pk", flat=True))
        Receipt.objects.filter(pk__in=ids).update(claim=token, held_until=now + CLAIM)
        stored["batch"] = ids
        takes_mail = stored[ReceiptState.SENT] > 0
    if not ids:
        return None
    return Batch(ids, token, night=night, takes_mail=takes_mail, store=store)


def count_ended(stored: dict[str, Any], token: UUID) -> None:
    """Add to the checkpoint what has become of a batch."""
    batch = Receipt.objects.filter(pk__in=stored["batch"], claim=token)
    ended = batch.exclude(state=ReceiptState.WAITING).order_by().values_list("state")
    for state, number in ended.annotate(number=Count("pk")):
        stored[state] += number
    stored["rows"] = stored[ReceiptState.SENT]


class Batch:
    """The receipts of one claim, handed over one by one."""

    def __init__(
        self,
        ids: Collection[int],
        claim: UUID,
        *,
        night: date,
        takes_mail: bool,
        store: CheckpointStore,
    ) -> None:
        """Prepare to send what was claimed just now.

        Args:
            ids: of the receipts.
            claim: theirs.
            night: the present one.
            takes_mail: whether the server has accepted a mail of this run.
            store: waits while the database is away.
        """
        self._ids = ids
        self._claim = claim
        self._night = night
        self._takes_mail = takes_mail
        self._store = store
        self._accepted = 0
        self._refused: list[Receipt] = []

    def send(self) -> None:
        """Send until all are sent, the time is over, or the server hangs up.

        Raises:
            MailDelayed: the server accepted none.
        """
        ends = monotonic() + BATCH_SECONDS
        try:
            with connection() as backend:
                for pk in self._ids:
                    self._send(backend, pk)
                    if monotonic() >= ends:
                        break
        except ServerAway as away:
            # Some hang up after a number of mails: the next batch connects anew.
            if not self._accepted:
                raise MailDelayed(f"The mail server is away ({away}).") from None
        for receipt in self._refused:
            self._refuse(receipt)

    def _send(self, backend: BaseEmailBackend, pk: int) -> None:
        # What is ours no longer is another run's, as this process was frozen.
        receipt = self._store.read(lambda: self._still_ours(pk))
        if receipt is None:
            return
        try:
            message = self._store.read(lambda: message_of(receipt))
            if message is None:
                self._end(receipt, ReceiptState.DROPPED)
                return
            hand_over(backend, message)
        except Unmailable:
            self._end(receipt, ReceiptState.REFUSED)
        except RefusedForGood:
            self._note_refused(receipt)
        except RefusedForNow:
            self._put_off(receipt)
        except ServerAway as away:
            if away.in_doubt:  # If it is this mail that ends connections, others come first.
                self._put_off(receipt)
            raise
        except Unsendable as error:  # Whatever is wrong with one, the others get theirs.
            logger.error("receipt failed", receipt=receipt.pk, error=str(error))  # noqa: TRY400  (a traceback may hold a title)
            self._put_off(receipt)
        else:
            self._end(receipt, ReceiptState.SENT)
            self._accepted += 1

    def _note_refused(self, receipt: Receipt) -> None:
        """Note a mail that the server refuses for good; believe it later, when it takes others."""
        self._refused.append(receipt)
        if len(self._refused) >= MOST_REFUSED and not (self._accepted or self._takes_mail):
            for refused in self._refused:
                self._put_off(refused, **self._refusals(refused))
            raise MailDelayed(f"The mail server refuses everyone: {MOST_REFUSED} mails in a row.")

    def _refuse(self, receipt: Receipt) -> None:
        """Believe that the server refuses a mail for good, or put it off until that is sure."""
        refusals = self._refusals(receipt)
        takes_others = self._accepted > 0 or self._takes_mail
        if takes_others or refusals["refusals"] >= REFUSED_NIGHTS:
            self._end(receipt, ReceiptState.REFUSED)
        else:
            self._put_off(receipt, **refusals)

    def _refusals(self, receipt: Receipt) -> Refusals:
        """Return what to note of a mail that was refused: a night counts once."""
        nights = receipt.refusals + (receipt.refused_on != self._night)
        return {"refusals": nights, "refused_on": self._night}

    def _still_ours(self, pk: int) -> Receipt | None:
        ours = Receipt.objects.waiting().filter(pk=pk, claim=self._claim)
        return ours.select_related("user").first()

    # Neither is part of a step, which may be refused: what was sent is marked in any case. On
    # PostgreSQL they wait for the disk, other than steps: something outside has followed.

    def _end(self, receipt: Receipt, state: ReceiptState) -> None:
        it = Receipt.objects.filter(pk=receipt.pk)
        self._store.read(lambda: it.end(state, until=receipt.until))
        if state == ReceiptState.REFUSED:
            logger.warning("receipt refused", receipt=receipt.pk)

    def _put_off(self, receipt: Receipt, **refusals: Unpack[Refusals]) -> None:
        later = self._store.read(database_now) + PUT_OFF
        it = Receipt.objects.waiting().filter(pk=receipt.pk)
        self._store.read(lambda: it.update(claim=None, held_until=later, **refusals))


def message_of(receipt: Receipt) -> EmailMessage | None:
    """Return the mail of a receipt; None if it is not to be sent any more.

    Raises:
        Unsendable: something is wrong with this one.
    """
    reachable = UserService.reachable().wanting_receipts().filter(pk=receipt.user_id)
    if not reachable.exists():
        return None
    now = database_now()
    try:
        return mail_of(receipt, now=now)
    except (OperationalError, InterfaceError):  # The database is away, which is waited for.
        raise
    except Exception as error:  # noqa: BLE001  (see Unsendable)
        raise Unsendable(error) from None
