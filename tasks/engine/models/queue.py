"""Queues that operators have paused: workers take nothing from them."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

MAX_NAME_CHARACTERS = 100
MAX_NOTE_CHARACTERS = 200


class QueueQuerySet(models.QuerySet["Queue"]):
    """Queues by whether they are paused, and the verbs that change that."""

    def paused(self) -> Self:
        return self.filter(resumed_at__isnull=True)

    def held_up_since(self, moment: datetime | Combinable) -> Self:
        """Return those that are paused, or were at some time since `moment`."""
        return self.filter(Q(resumed_at__isnull=True) | Q(resumed_at__gt=moment))

    def pause(self, name: str, *, by: "AbstractBaseUser | None", note: str) -> bool:
        """Pause a queue; say whether that changed anything: not if it was paused before."""
        values = {"paused_by_id": by.pk if by else None, "note": note[:MAX_NOTE_CHARACTERS]}
        _, is_new = self.get_or_create(name=name, defaults=values)
        resumed = self.filter(name=name, resumed_at__isnull=False)
        return is_new or bool(resumed.update(paused_at=Now(), resumed_at=None, **values))

    def resume(self, name: str) -> bool:
        """Resume a queue; say whether that changed anything."""
        return bool(self.paused().filter(name=name).update(resumed_at=Now()))


class Queue(models.Model):
    """When a queue was last paused, and resumed. Without a row it has never been paused."""

    name = models.CharField(max_length=MAX_NAME_CHARACTERS, unique=True)
    paused_at = models.DateTimeField(db_default=Now())
    resumed_at = models.DateTimeField(null=True, help_text="Empty while it is paused.")
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    note = models.CharField(
        max_length=MAX_NOTE_CHARACTERS, blank=True, default="", db_default="", help_text="Why."
    )

    objects = QueueQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [("pause_queue", "Can pause and resume queues")]

    def __str__(self) -> str:
        return self.name
