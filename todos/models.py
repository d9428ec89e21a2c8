"""Todos."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import User
from todos.functions import DaysBefore


class TodoQuerySet(models.QuerySet["Todo"]):
    """Query vocabulary for todos."""

    def open(self) -> Self:
        """Those still to be done."""
        return self.filter(completed_at__isnull=True)

    def completed(self) -> Self:
        """Those that are done.

        By `completed_at`, not `is_completed`: SQLite uses the partial index only for this form.
        """
        return self.filter(completed_at__isnull=False)

    def completed_before(self, cutoff: datetime) -> Self:
        """Those completed earlier than `cutoff`; one completed at that very moment is not."""
        return self.completed().filter(completed_at__lt=cutoff)

    def due_for_cleanup(self, *, as_of: datetime, keep_days: int) -> Self:
        """Those that the cleanup takes.

        A todo goes when it was completed before its owner's cutoff, and the owner is active and has
        not opted out. The cutoff is `as_of` less the owner's keep time, or `keep_days` where they
        have none of their own.

        The few owners whom the site's rule alone does not describe are looked up, and their todos
        left out; everyone else's are not joined to their owners at all.

        Args:
            as_of: the moment that keep times are counted back from.
            keep_days: the site's keep time.
        """
        exceptions = User.objects.cleanup_exceptions().filter(pk=OuterRef("user_id"))
        own_cutoff = DaysBefore(as_of, "keep_completed_days")
        unwilling = exceptions.alias(own_cutoff=own_cutoff).filter(
            Q(is_active=False) | Q(auto_cleanup=False) | Q(own_cutoff__lte=OuterRef("completed_at"))
        )
        due = self.completed_before(as_of).exclude(Exists(unwilling))
        if keep_days == 0:
            return due  # Nobody's own cutoff is later than `as_of`.
        own_rule = exceptions.filter(keep_completed_days__isnull=False)
        return due.filter(Q(completed_at__lt=as_of - timedelta(days=keep_days)) | Exists(own_rule))


class Todo(models.Model):
    """Something a person wants to get done.

    Nothing may point a foreign key here, and no delete signal may listen: either makes Django load
    every row that the sweep deletes, which takes many times as long.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="todos"
    )
    title = models.CharField(max_length=200, validators=[ProhibitNullCharactersValidator()])
    description = models.TextField(
        blank=True, default="", validators=[ProhibitNullCharactersValidator()]
    )
    due_on = models.DateField("due", null=True, blank=True)
    created_at = models.DateTimeField("created", default=timezone.now, editable=False)
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    is_completed = models.GeneratedField(
        verbose_name="completed",
        expression=models.ExpressionWrapper(
            Q(completed_at__isnull=False), output_field=models.BooleanField()
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = TodoQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="todos_todo_title_not_blank",
                condition=Q(title__regex=r"\S"),
                violation_error_message="A todo needs a title.",
            ),
        ]
        indexes = [
            # The sweep walks this one, so its cost follows the completed todos, not the table.
            models.Index(
                name="todos_todo_completed_id",
                fields=["id"],
                condition=Q(completed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.title
