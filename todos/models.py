"""Todos and the trash."""

import json
from collections.abc import Collection
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Self, TypedDict

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import models
from django.db.models import Exists, Field, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from todos import validators
from todos.idempotency import IdempotencyKey
from todos.receipts.models import Receipt, ReceiptState
from todos.rules import due_for_cleanup, due_for_person, past_promise

__all__ = [
    "DEFAULT_TRASH_DAYS",
    "IdempotencyKey",
    "Receipt",
    "ReceiptState",
    "Todo",
    "TodoDetails",
    "TodoFields",
    "TodoQuerySet",
    "TodoValues",
    "TrashedTodo",
    "TrashedTodoQuerySet",
]

#: The retention, in days, of todos from a version that did not yet store it.
DEFAULT_TRASH_DAYS = 30


class TodoQuerySet(models.QuerySet["Todo"]):
    """Query vocabulary for todos."""

    def open(self) -> Self:
        return self.filter(completed_at__isnull=True)

    def completed(self) -> Self:
        # Not by `is_completed`: SQLite uses the partial index only for this form.
        return self.filter(completed_at__isnull=False)

    def due(self, when: date | str, *, today: date) -> Self:
        """Todos that are due on a day, or `overdue`, `today`, `later` or `never`."""
        match when:
            case "overdue":
                return self.filter(due_on__lt=today)
            case "today":
                return self.filter(due_on=today)
            case "later":
                return self.filter(due_on__gt=today)
            case "never":
                return self.filter(due_on__isnull=True)
        return self.filter(due_on=when)

    def due_for_cleanup(self, *, as_of: datetime, keep_days: int) -> Self:
        """Todos that the cleanup sweeps, as `rules.py` says."""
        return self.filter(due_for_cleanup(as_of=as_of, keep_days=keep_days))

    def due_for_person(self, *, as_of: datetime, keep_days: int) -> Self:
        """One person's todos that the cleanup takes by this keep time, as `rules.py` says."""
        return self.filter(due_for_person(as_of=as_of, keep_days=keep_days))


def _digest(*values: object) -> str:
    return blake2b(json.dumps([*map(str, values)]).encode(), digest_size=8).hexdigest()


class TodoFields(models.Model):
    """The fields of a todo, on the list and in the trash.

    A new field needs a default here and a migration. It then moves to the trash and back with its
    todo, and `TodoService.create` and `edit` accept it.
    """

    title = models.CharField(
        max_length=validators.MAX_TITLE,
        validators=validators.TEXT,
        error_messages={"blank": _("A todo needs a title.")},
    )
    description = models.TextField(blank=True, default="", validators=validators.DESCRIPTION)
    due_on = models.DateField("due", null=True, blank=True, validators=validators.DUE)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    restored_at = models.DateTimeField("restored", null=True, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title

    @property
    def version(self) -> str:
        """What differs when somebody has edited it: a digest of what people edit."""
        return _digest(self.title, self.description, self.due_on)

    @property
    def state(self) -> str:
        """What differs when anything about it has changed, such as that it is completed."""
        edited = (self.title, self.description, self.due_on)
        return _digest(*edited, self.completed_at, self.restored_at)


class TodoDetails(TypedDict, total=False):
    """The types of what `TodoService` accepts besides a title.

    A new field works without being named here; naming it lets mypy check calls that pass it.
    """

    description: str
    due_on: date | None


class TodoValues(TodoDetails, total=False):
    """The types of all that `TodoService.edit` accepts."""

    title: str


class Todo(TodoFields):
    """A todo on its owner's list.

    No foreign key may point here and no signal may listen to deletions: either makes Django load
    every row that it deletes, which takes many times as long.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,  # The index of their list begins with it.
        related_name="todos",
    )
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
            # For the sweep: its cost follows the number of completed todos, not of all.
            models.Index(
                name="todos_todo_completed_id",
                fields=["id"],
                condition=Q(completed_at__isnull=False),
            ),
            # For all of a person's todos, the newest first. Without the id, PostgreSQL would look
            # for the newest in the primary key: past all that others have added since.
            models.Index(name="todos_todo_user_id", fields=["user", "id"]),
            # For people's lists, in their order. The sweep does not touch it.
            models.Index(
                name="todos_todo_open",
                fields=["user", "due_on", "-id"],
                condition=Q(completed_at__isnull=True),
            ),
        ]

    @classmethod
    def stored_fields(cls) -> "Collection[Field[Any, Any]]":
        """Return the fields that the trash must keep to restore a todo as it was."""
        return [field for field in cls._meta.concrete_fields if not field.generated]

    @classmethod
    def editable_fields(cls) -> set[str]:
        """Return the names of the fields that people edit, without those that have own verbs."""
        editable = {field.name for field in cls._meta.concrete_fields if field.editable}
        return editable - {"id", "user", "completed_at"}


class TrashedTodoQuerySet(models.QuerySet["TrashedTodo"]):
    """Query vocabulary for the trash."""

    def trashed_before(self, cutoff: datetime) -> Self:
        """Todos moved here earlier than `cutoff`."""
        return self.filter(trashed_at__lt=cutoff)

    def past_promise(self, *, as_of: datetime, trash_days: int) -> Self:
        """Todos that have been here for as long as the site promised, as `rules.py` says."""
        return self.filter(past_promise(as_of=as_of, trash_days=trash_days))

    def swept(self) -> Self:
        """Todos removed by a cleanup, not by a person."""
        return self.filter(run_id__isnull=False)

    def swept_by(self, *run_ids: int) -> Self:
        """Todos removed by these runs of the cleanup."""
        return self.filter(run_id__in=run_ids)

    def cleared(self, *, by: User, at: datetime) -> Self:
        """Todos that a person removed from their own list at one moment."""
        return self.filter(user=by, trashed_by=by, run_id__isnull=True, trashed_at=at)

    def swept_between(self, since: "datetime | OuterRef", until: datetime) -> Self:
        """Todos that cleanups removed later than one moment, and not later than another."""
        return self.swept().filter(trashed_at__gt=since, trashed_at__lte=until)

    def last_run(self) -> int | None:
        """Return the id of the last run that removed any of them; None if none did."""
        return self.swept().order_by("-trashed_at").values_list("run_id", flat=True).first()

    def with_owner(self) -> Self:
        """Todos whose owner still exists."""
        return self.filter(Exists(User.objects.filter(pk=OuterRef("user_id"))))

    def without_owner(self) -> Self:
        """Todos whose owner was deleted without Django, which would have deleted the todos too."""
        return self.exclude(Exists(User.objects.filter(pk=OuterRef("user_id"))))

    def with_id_in_use(self) -> Self:
        """Todos whose id another todo has been given meanwhile, by an import for example."""
        return self.filter(Exists(Todo.objects.filter(pk=OuterRef("pk"))))


class TrashedTodo(TodoFields):
    """A todo that was swept or deleted, until it is restored or purged.

    It keeps its primary key.
    """

    id = models.BigIntegerField(primary_key=True, editable=False)
    # Without a constraint in the database, which would slow the move down by half. When a user is
    # deleted through Django, their todos and then their trash are deleted with them.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="trashed_todos",
    )
    trashed_at = models.DateTimeField("trashed")
    trashed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Who deleted it; empty if the cleanup took it.",
    )
    trash_days = models.SmallIntegerField(
        "promised",
        db_default=DEFAULT_TRASH_DAYS,
        editable=False,
        help_text="How many days it was to stay here, when it came.",
    )
    # No foreign key: the run's row may be pruned before the trash is emptied.
    run_id = models.BigIntegerField("run", null=True, help_text="The cleanup that took it.")

    objects = TrashedTodoQuerySet.as_manager()

    class Meta:
        # Nobody adds to the trash, edits it or deletes single rows by hand. Starting a purge is a
        # permission of its own: purged todos cannot be restored.
        default_permissions = ("view", "restore", "purge")
        indexes = [
            models.Index(name="todos_trash_run", fields=["run_id", "id"]),
            # For the purge.
            models.Index(name="todos_trash_trashed_at", fields=["trashed_at"]),
            # For the deletion of the user who deleted them. It costs the cleanup nothing.
            models.Index(
                name="todos_trash_by",
                fields=["trashed_by"],
                condition=Q(trashed_by__isnull=False),
            ),
        ]

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Check that the trash has every field that a todo stores."""
        here = {field.attname for field in cls._meta.concrete_fields}
        return super().check(**kwargs) + [
            Error(
                f"The trash has no field {field.name!r}, which would be lost on the way there.",
                hint="Move it from Todo to TodoFields.",
                obj=cls,
                id="todos.E001",
            )
            for field in Todo.stored_fields()
            if field.attname not in here
        ]
