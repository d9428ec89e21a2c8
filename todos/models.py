"""Todos and the trash."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any, Self, TypedDict

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Exists, Field, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from accounts.models import User
from todos.functions import DaysBefore

#: The least number of days that a restored todo stays on the list, even if it is completed.
KEEP_RESTORED_DAYS = 7

#: The retention, in days, of todos from a version that did not yet store it.
DEFAULT_TRASH_DAYS = 30


class TodoQuerySet(models.QuerySet["Todo"]):
    """Query vocabulary for todos."""

    def open(self) -> Self:
        return self.filter(completed_at__isnull=True)

    def completed(self) -> Self:
        # Not by `is_completed`: SQLite uses the partial index only for this form.
        return self.filter(completed_at__isnull=False)

    def completed_before(self, cutoff: datetime) -> Self:
        """Todos completed earlier than `cutoff`, not at that moment."""
        return self.filter(completed_at__lt=cutoff)

    def due_for_cleanup(self, *, as_of: datetime, keep_days: int) -> Self:
        """Todos that the cleanup sweeps.

        A todo is swept when it was completed before its owner's cutoff, and the owner is active and
        has not opted out. The cutoff is `as_of` less the owner's keep time, or less `keep_days` if
        they have none. A restored todo must also have been restored before that cutoff, and at
        least KEEP_RESTORED_DAYS ago.

        The query looks up only the few owners to whom the site's rule alone does not apply; it does
        not join other people's todos to their owners. Whatever its statistics say, PostgreSQL reads
        the todos in the order of their ids and looks up owners in hash tables of those few. A join
        would be as fast if the planner got it right, and twice as slow if not.

        Args:
            as_of: the moment that keep times are counted back from.
            keep_days: the site's keep time.
        """
        exceptions = User.objects.cleanup_exceptions().filter(pk=OuterRef("user_id"))
        with_own_rule = exceptions.taking_part().filter(keep_completed_days__isnull=False)
        over = with_own_rule.alias(cutoff=DaysBefore(as_of, "keep_completed_days")).filter(
            Q(cutoff__gt=OuterRef("completed_at")),
            # For a todo that never was in the trash, this repeats the line above.
            Q(cutoff__gt=Coalesce(OuterRef("restored_at"), OuterRef("completed_at"))),
        )
        site_rule = Q(~Exists(exceptions))
        if keep_days:
            cutoff = as_of - timedelta(days=keep_days)
            site_rule &= Q(completed_at__lt=cutoff) & restored_before(cutoff)
        # The first `Exists` spares most todos of other people the second, which looks up each.
        own_rule = Exists(with_own_rule) & Exists(over)
        restorable = restored_before(as_of - timedelta(days=KEEP_RESTORED_DAYS))
        return self.completed_before(as_of).filter(restorable, site_rule | own_rule)


def restored_before(cutoff: datetime) -> Q:
    """Return the condition that a todo was restored before `cutoff`, or never."""
    return Q(restored_at__isnull=True) | Q(restored_at__lt=cutoff)


class TodoFields(models.Model):
    """The fields of a todo, on the list and in the trash.

    A new field needs a default here and a migration. It then moves to the trash and back with its
    todo, and `TodoService.create` and `edit` accept it.
    """

    title = models.CharField(max_length=200, validators=[ProhibitNullCharactersValidator()])
    description = models.TextField(
        blank=True, default="", validators=[ProhibitNullCharactersValidator()]
    )
    due_on = models.DateField("due", null=True, blank=True)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    restored_at = models.DateTimeField("restored", null=True, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


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
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="todos"
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
        """Todos that have been here for as long as the site promised.

        What counts is the number of days at the time of the move, or the present one if it is
        higher: shortening the time, or switching the trash off, deletes nothing early.

        Args:
            as_of: the moment that the days are counted back from.
            trash_days: the present number of days.
        """
        # The index serves the first condition.
        old = self.trashed_before(as_of - timedelta(days=trash_days))
        return old.filter(trashed_at__lt=DaysBefore(as_of, "trash_days"))

    def swept(self) -> Self:
        """Todos removed by a cleanup, not by a person."""
        return self.filter(run_id__isnull=False)

    def swept_by(self, run_id: int) -> Self:
        """Todos removed by one run of the cleanup."""
        return self.filter(run_id=run_id)

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
