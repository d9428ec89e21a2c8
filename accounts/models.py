"""Users and their cleanup preferences."""

from typing import ClassVar, Self

from django.contrib.auth import models as auth
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from accounts.sessions import Session

__all__ = ["MAX_KEEP_COMPLETED_DAYS", "Session", "User", "UserQuerySet"]

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


class UserManager(auth.UserManager["User"]):
    """Django's user manager with our query vocabulary."""

    use_in_migrations = False

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def active(self) -> UserQuerySet:
        return self.get_queryset().active()

    def taking_part(self) -> UserQuerySet:
        return self.get_queryset().taking_part()

    def cleanup_exceptions(self) -> UserQuerySet:
        return self.get_queryset().cleanup_exceptions()


class User(auth.AbstractUser):
    """Django's own user, with cleanup preferences."""

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
        ]
