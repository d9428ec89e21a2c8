"""The tokens that people have made."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Access(models.TextChoices):
    """What a token is for."""

    #: Reads through the API.
    READ = "read", _("read")
    #: Reads and changes through the API.
    WRITE = "write", _("read and change")
    #: Reads the calendar of due dates, and nothing else: it is part of an address.
    CALENDAR = "calendar", _("calendar of due dates")


class TokenQuerySet(models.QuerySet["Token"]):
    """Query vocabulary for tokens."""

    def live(self) -> Self:
        """Tokens that have not expired, of people who may log in."""
        not_over = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
        return self.filter(not_over, user__is_active=True)


class Token(models.Model):
    """A secret of a person's, of which only a digest is kept.

    Attributes:
        name: what the person calls it.
        prefix: the part of the secret that may be shown, by which it is found.
        digest: SHA-256 of the whole secret, in hexadecimal digits.
        last_used_at: not later than a few minutes ago, if it is in use.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        # By the database: the version before, which deletes people too, knows no tokens.
        on_delete=models.DB_CASCADE,
        related_name="+",
    )
    name = models.CharField(max_length=100)
    access = models.CharField(max_length=10, choices=Access)
    prefix = models.CharField(max_length=8, unique=True)
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        # There is no page of staff for tokens.
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

    @property
    def is_expired(self) -> bool:
        """Whether it works no more, although it was not revoked."""
        return self.expires_at is not None and self.expires_at <= timezone.now()
