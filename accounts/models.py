"""Users and their preferences."""

from functools import cache
from typing import ClassVar, Self, TypedDict
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth import models as auth
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from accounts.sessions import Session
from accounts.tokens.models import Access, Token

__all__ = [
    "MAX_KEEP_COMPLETED_DAYS",
    "Access",
    "Preferences",
    "Session",
    "Theme",
    "Token",
    "User",
    "UserQuerySet",
]

#: The longest keep time: ten years.
MAX_KEEP_COMPLETED_DAYS = 3650

#: Users to whom the site's rule alone does not apply. As they are few, the sweep looks them up in
#: an index of their own, instead of the owner of each todo.
CLEANUP_EXCEPTION = (
    Q(is_active=False) | Q(auto_cleanup=False) | Q(keep_completed_days__isnull=False)
)


class UserQuerySet(models.QuerySet["User"]):
    """Query vocabulary for users."""

    def active(self) -> Self:
        """Users who may log in."""
        return self.filter(is_active=True)

    def taking_part(self) -> Self:
        """Users whose completed todos the cleanup sweeps: active, and not opted out."""
        return self.active().filter(auto_cleanup=True)

    def cleanup_exceptions(self) -> Self:
        return self.filter(CLEANUP_EXCEPTION)

    def called(self, name: str) -> Self:
        """Users with this name, in any capitals, found by index."""
        return self.alias(upper=Upper("username")).filter(upper=Upper(Value(name)))

    def at_address(self, address: str) -> Self:
        """Users with this email address, in any capitals, found by index."""
        return self.alias(upper=Upper("email")).filter(upper=Upper(Value(address)))

    def wanting_receipts(self) -> Self:
        """Users who have asked for a mail after each night that took something."""
        return self.filter(wants_receipt=True, receipt_since__isnull=False)


class UserManager(auth.UserManager["User"]):
    """Django's user manager with our query vocabulary."""

    use_in_migrations = False

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Return an address as it is stored, whoever gives it: in small letters."""
        return super().normalize_email(email).lower()

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def active(self) -> UserQuerySet:
        return self.get_queryset().active()

    def taking_part(self) -> UserQuerySet:
        return self.get_queryset().taking_part()

    def cleanup_exceptions(self) -> UserQuerySet:
        return self.get_queryset().cleanup_exceptions()

    def wanting_receipts(self) -> UserQuerySet:
        return self.get_queryset().wanting_receipts()


class Theme(models.TextChoices):
    """The colors of the pages."""

    #: As the reader's device has them.
    AUTO = "auto", _("as on my device")
    LIGHT = "light", _("light")
    DARK = "dark", _("dark")


def known_time_zone(name: str) -> None:
    """Check that a name is that of a time zone, such as Europe/Berlin."""
    if name not in available_time_zones():
        raise ValidationError(_("Choose a time zone such as Europe/Berlin."))


#: What is no zone: that of whichever host is asked, and one for a host that has none yet.
NO_ZONES = {"localtime", "Factory"}


@cache
def available_time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - NO_ZONES)


class Preferences(TypedDict, total=False):
    """The types of what `UserService.set_preferences` accepts."""

    auto_cleanup: bool
    keep_completed_days: int | None
    wants_receipt: bool
    receipt_titles: bool
    time_zone: str
    language: str
    theme: str
    shortcuts: bool


class User(auth.AbstractUser):
    """Django's own user, with preferences.

    Attributes:
        receipt_since: when they last asked for receipts: earlier nights get none.
        sweeps_seen_until: the sweeps up to here have been shown to them on their list.
    """

    auto_cleanup = models.BooleanField(
        "automatic cleanup",
        default=True,
        help_text="Completed todos are swept away at night.",
    )
    keep_completed_days = models.PositiveSmallIntegerField(
        "keep completed todos (days)",
        null=True,
        blank=True,
        validators=[MaxValueValidator(MAX_KEEP_COMPLETED_DAYS)],
        help_text="How long a completed todo stays before it is swept. Empty: the site's default.",
    )
    wants_receipt = models.BooleanField(
        "receipt by mail",
        default=False,
        db_default=False,
        help_text="A mail after each night that took something.",
    )
    receipt_titles = models.BooleanField(
        "titles in the receipt",
        default=True,
        db_default=True,
        help_text="Otherwise the mail has the number of todos alone.",
    )
    receipt_since = models.DateTimeField(null=True, editable=False)
    sweeps_seen_until = models.DateTimeField(null=True, editable=False)
    time_zone = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[known_time_zone],
        help_text="Empty: the site's.",
    )
    language = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        choices=settings.LANGUAGES,
        help_text="Empty: the browser's.",
    )
    theme = models.CharField(
        max_length=10, choices=Theme, default=Theme.AUTO, db_default=Theme.AUTO
    )
    shortcuts = models.BooleanField("keyboard shortcuts", default=True, db_default=True)

    objects: ClassVar[UserManager] = UserManager()

    class Meta(auth.AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(
                name="accounts_user_keep_completed_days_range",
                condition=Q(keep_completed_days__isnull=True)
                | Q(keep_completed_days__range=(0, MAX_KEEP_COMPLETED_DAYS)),
                violation_error_message=f"Keep between 0 and {MAX_KEEP_COMPLETED_DAYS} days.",
            ),
        ]
        indexes = [
            # It has every column that the cleanup reads, so that the rows themselves are not read.
            models.Index(
                name="accounts_user_cleanup_rule",
                fields=["id", "is_active", "auto_cleanup", "keep_completed_days"],
                condition=CLEANUP_EXCEPTION,
            ),
            # By which people log in, in any capitals.
            models.Index(Upper("username"), name="accounts_user_name_upper"),
            models.Index(Upper("email"), name="accounts_user_email_upper"),
        ]

    @property
    def zone(self) -> ZoneInfo:
        """Their time zone; the site's, if they have none, or one that is no longer known."""
        known = self.time_zone in available_time_zones()
        return ZoneInfo(self.time_zone if known else settings.TIME_ZONE)
