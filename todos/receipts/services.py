"""The verbs of receipts: the only code that writes them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from accounts.services import UserService
from todos.bulk.store import CheckpointStore
from todos.receipts.links import user_id_in
from todos.receipts.models import ReceiptState
from todos.receipts.sending import send_receipts
from todos.receipts.writing import delete_old_receipts, write_receipts


class ReceiptsReport(TypedDict):
    """The result of a run as plain data.

    Attributes:
        receipts_written: of this night, those to which it was added among them.
        receipts_sent: of this night and earlier ones, as the following.
        receipts_refused: by the mail server, for good.
        receipts_dropped: with nothing left to tell, or nobody to tell it to.
        skipped: why nothing was done at all.
    """

    receipts_written: int
    receipts_sent: int
    receipts_refused: int
    receipts_dropped: int
    skipped: NotRequired[str]


class ReceiptService:
    """The verbs of receipts."""

    @staticmethod
    def write_and_send(
        *, as_of: datetime, settled_until: Callable[[], datetime], store: CheckpointStore
    ) -> ReceiptsReport:
        """Write the receipts of a night, and send what waits, of earlier nights too.

        Without a mail server, nothing is done.

        Args:
            as_of: its date, in the site's time zone, names the night.
            settled_until: returns a moment up to which all sweeps are committed. What comes later
                is told the next night.
            store: keeps the checkpoint.

        Raises:
            MailDelayed: receipts still wait for the mail server; try again later.
        """
        if not settings.SENDS_MAIL:
            return {**report({}), "skipped": "There is no mail server."}
        until = begin(store, settled_until)
        night = timezone.localdate(as_of, timezone.get_default_timezone())
        write_receipts(night=night, until=until, store=store)
        delete_old_receipts(night=night, store=store)
        send_receipts(night=night, store=store)
        with store.step() as stored:
            return report(stored)

    @staticmethod
    def unsubscribe(*, token: str) -> None:
        """End the receipts of the person whom a token names; do nothing if they have ended.

        Raises:
            BadSignature: the token was not made here.
            User.DoesNotExist: their account is gone.
        """
        user = UserService.get(user_id=user_id_in(token))
        UserService.set_preferences(user=user, wants_receipt=False)

    @staticmethod
    def are_wanted(*, token: str) -> bool:
        """Say whether the person whom a token names gets receipts; raises as `unsubscribe`."""
        return UserService.get(user_id=user_id_in(token)).wants_receipt


def begin(store: CheckpointStore, settled_until: Callable[[], datetime]) -> datetime:
    """Store the first checkpoint, unless there is one; return until when receipts tell."""
    settled = store.read(settled_until)
    with store.step() as stored:
        if not stored:
            counts = dict.fromkeys(ReceiptState.values, 0)
            stored.update(
                until=settled.isoformat(), claim=uuid4().hex, person=0, written=0, batch=[]
            )
            stored.update(counts)
        return datetime.fromisoformat(stored["until"])


def report(stored: Mapping[str, Any]) -> ReceiptsReport:
    """Return what a checkpoint says."""
    return {
        "receipts_written": stored.get("written", 0),
        "receipts_sent": stored.get(ReceiptState.SENT, 0),
        "receipts_refused": stored.get(ReceiptState.REFUSED, 0),
        "receipts_dropped": stored.get(ReceiptState.DROPPED, 0),
    }
