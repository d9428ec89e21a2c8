"""Todos, and the trash that they leave for."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Exists, Field, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from accounts.models import User
from todos.functions import DaysBefore

#: How long (days) a restored todo stays at the least, once it is completed.
KEEP_RESTORED_DAYS = 7

#: How long (days) the trash keeps what a version put there that did not say.
DEFAULT_TRASH_DAYS = 30


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
        return self.filter(completed_at__lt=cutoff)

    def due_for_cleanup(self, *, as_of: datetime, keep_days: int) -> Self:
        """Those that the cleanup removes.

        A todo goes when it was completed before its owner's cutoff, and the owner is active and has
        not opted out. The cutoff is `as_of` less the owner's keep time, or `keep_days` where they
        have none of their own. One that was restored must have been so before that cutoff as
        well, and KEEP_RESTORED_DAYS ago.

        The few owners whom the site's rule alone does not describe are looked up, and what they
        wish instead; everyone else's todos are not joined to their owners at all. It is written
        such that PostgreSQL, whatever its statistics say, goes through the todos in the order of
        their ids and looks their owners up in hash tables of those few. A join would be as fast
        where the planner gets it right, and takes twice as long where it does not.

        Args:
            as_of: the moment that keep times are counted back from.
            keep_days: the site's keep time.
        """
        exceptions = User.objects.cleanup_exceptions().filter(pk=OuterRef("user_id"))
        with_own_rule = exceptions.taking_part().filter(keep_completed_days__isnull=False)
        over = with_own_rule.alias(cutoff=DaysBefore(as_of, "keep_completed_days")).filter(
            Q(cutoff__gt=OuterRef("completed_at")),
            # Of a todo that never was in the trash, the same again.
            Q(cutoff__gt=Coalesce(OuterRef("restored_at"), OuterRef("completed_at"))),
        )
        site_rule = Q(~Exists(exceptions))
        if keep_days:
            cutoff = as_of - timedelta(days=keep_days)
            site_rule &= Q(completed_at__lt=cutoff) & restored_before(cutoff)
        # The first `Exists` spares most of the others' todos the second, which looks up each.
        own_rule = Exists(with_own_rule) & Exists(over)
        restorable = restored_before(as_of - timedelta(days=KEEP_RESTORED_DAYS))
        return self.completed_before(as_of).filter(restorable, site_rule | own_rule)


def restored_before(cutoff: datetime) -> Q:
    """Select todos that were not restored, or earlier than `cutoff`."""
    return Q(restored_at__isnull=True) | Q(restored_at__lt=cutoff)


class TodoFields(models.Model):
    """What a todo holds, on the list and in the trash.

    A field that is added here is in both, and moves between them.
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


class Todo(TodoFields):
    """Something a person wants to get done.

    Nothing may point a foreign key here, and no delete signal may listen: either makes Django load
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
            # The sweep goes along this one, so its cost follows the completed todos, not the table.
            models.Index(
                name="todos_todo_completed_id",
                fields=["id"],
                condition=Q(completed_at__isnull=False),
            ),
        ]

    @classmethod
    def stored_fields(cls) -> "Collection[Field[Any, Any]]":
        """Return what has to be kept of a todo to restore it as it was."""
        return [field for field in cls._meta.concrete_fields if not field.generated]


class TrashedTodoQuerySet(models.QuerySet["TrashedTodo"]):
    """Query vocabulary for the trash."""

    def trashed_before(self, cutoff: datetime) -> Self:
        """Those that came here earlier than `cutoff`."""
        return self.filter(trashed_at__lt=cutoff)

    def past_promise(self, *, as_of: datetime, trash_days: int) -> Self:
        """Those that have been here for as long as the site keeps them.

        That is as many days as it promised when they came, or does now if that is more: whoever
        shortens the time, or switches the trash off, takes nothing away that is still here.

        Args:
            as_of: the moment that the days are counted back from.
            trash_days: how many it promises now.
        """
        # The first condition is for the index.
        old = self.trashed_before(as_of - timedelta(days=trash_days))
        return old.filter(trashed_at__lt=DaysBefore(as_of, "trash_days"))

    def swept(self) -> Self:
        """Those that a cleanup removed, not a person."""
        return self.filter(run_id__isnull=False)

    def swept_by(self, run_id: int) -> Self:
        """Those that one run of the cleanup removed."""
        return self.filter(run_id=run_id)

    def last_run(self) -> int | None:
        """Return the id of the cleanup that removed any of them last; None if none did."""
        return self.swept().order_by("-trashed_at").values_list("run_id", flat=True).first()

    def with_owner(self) -> Self:
        """Those whose owner there still is."""
        return self.filter(Exists(User.objects.filter(pk=OuterRef("user_id"))))

    def without_owner(self) -> Self:
        """Those whose owner is gone, past the code that deletes their trash with them."""
        return self.exclude(Exists(User.objects.filter(pk=OuterRef("user_id"))))

    def with_id_in_use(self) -> Self:
        """Those whose id another todo has by now, as an import may give it one."""
        return self.filter(Exists(Todo.objects.filter(pk=OuterRef("pk"))))


class TrashedTodo(TodoFields):
    """A todo that was swept or deleted, until it is restored or purged.

    It has the primary key that it had on the list.
    """

    id = models.BigIntegerField(primary_key=True, editable=False)
    # The database does not check it: that would make the move take half as long again. Whoever
    # deletes a user through Django takes their trash along, after their todos.
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
        # Nobody adds to the trash, edits it or deletes single rows from it by hand. To start a
        # purge is a permission of its own: nothing brings back what it takes.
        default_permissions = ("view", "restore", "purge")
        indexes = [
            models.Index(name="todos_trash_run", fields=["run_id", "id"]),
            # The purge goes along this one.
            models.Index(name="todos_trash_trashed_at", fields=["trashed_at"]),
            # For the deletion of whoever deleted them. Costs the cleanup nothing.
            models.Index(
                name="todos_trash_by",
                fields=["trashed_by"],
                condition=Q(trashed_by__isnull=False),
            ),
        ]

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Check that the trash holds all there is to a todo."""
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
