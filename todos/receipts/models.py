"""Receipts: an outbox of mails, one for each person and night that took something."""

from datetime import datetime
from typing import Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from todos.functions import CurrentTime


class ReceiptState(models.TextChoices):
    """What has become of a receipt."""

    #: To be sent.
    WAITING = "waiting"
    #: The mail server has accepted it.
    SENT = "sent"
    #: The mail server refuses the address, or the mail, for good; or the address is none.
    REFUSED = "refused"
    #: When it was to be sent, there was nothing left to tell, or nobody to tell it to.
    DROPPED = "dropped"


class ReceiptQuerySet(models.QuerySet["Receipt"]):
    """Query vocabulary for receipts."""

    def waiting(self) -> Self:
        return self.filter(state=ReceiptState.WAITING)

    def free(self, *, now: datetime, claim: UUID) -> Self:
        """Those that wait and that nobody else holds: whoever has this claim may send them."""
        held_by_nobody = Q(held_until__isnull=True) | Q(held_until__lte=now)
        return self.waiting().filter(held_by_nobody | Q(claim=claim))

    def end(self, state: ReceiptState, *, until: datetime) -> int:
        """Say what has become of those that still wait; return how many there were.

        Args:
            state: what has become of them.
            until: up to when they have told. A night that was added meanwhile is left to the next.
        """
        sent_at = CurrentTime() if state == ReceiptState.SENT else None
        return self.waiting().update(state=state, sent_at=sent_at, until=until)


class Receipt(models.Model):
    """What the cleanups of a night took from a person, who wants to be told by mail.

    It tells of the todos that were swept later than `since`, and not later than `until`. A person's
    next receipt begins where this one ends, so that each sweep of a todo is told in one of them.
    While it waits, later nights are added to it: a person has one that waits at most. No text of a
    todo is kept here.

    Attributes:
        night: the date, in the site's time zone, of the morning after; of the last one, if there
            are several.
        todos: how many were in the trash when this was written.
        claim: of the run that is sending it, or has sent it.
        held_until: nobody else takes it before; None if nobody has taken it yet.
        refusals: on how many nights the server refused it for good, but took no other mail either.
        refused_on: the last of these nights.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        # By the database: the version before deletes people too, and knows of no receipts.
        on_delete=models.DB_CASCADE,
        # The constraints bring indexes.
        db_index=False,
        related_name="receipts",
    )
    night = models.DateField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    todos = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    state = models.CharField(
        max_length=10,
        choices=ReceiptState,
        default=ReceiptState.WAITING,
        db_default=ReceiptState.WAITING,
    )
    sent_at = models.DateTimeField(null=True)
    claim = models.UUIDField(null=True)
    held_until = models.DateTimeField(null=True)
    refusals = models.PositiveSmallIntegerField(default=0, db_default=0)
    refused_on = models.DateField(null=True)

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        # There is no page for receipts.
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "night"], name="todos_receipt_night"),
            # Two runs at once cannot tell the same twice: both would begin at the same moment.
            models.UniqueConstraint(fields=["user", "since"], name="todos_receipt_since"),
        ]
        indexes = [
            # For the sender: its cost follows the receipts that wait, not all of them.
            models.Index(
                name="todos_receipt_waiting",
                fields=["id"],
                condition=Q(state=ReceiptState.WAITING),
            ),
        ]

    def __str__(self) -> str:
        return f"receipt {self.pk}"
