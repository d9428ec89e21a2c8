"""What can be done with todos: the only code that writes to them.

Every verb on one todo names its owner, and somebody else's todo is simply not found.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from django.utils import timezone

from accounts.models import User
from todos.models import Todo, TodoQuerySet
from todos.sweep import Checkpoint, Sweep, SweepProgress, SweepResult


class TodoError(Exception):
    """What a verb of `TodoService` raises when it cannot be done."""


class TodoNotFound(TodoError):  # noqa: N818  (named like Django's own ObjectDoesNotExist)
    """The person has no such todo: it never was, it is somebody else's, or it has been deleted."""


class TodoService:
    """The verbs of todos."""

    @staticmethod
    def create(
        *, user: User, title: str, description: str = "", due_on: date | None = None
    ) -> Todo:
        """Give a person a new, open todo.

        Raises:
            ValidationError: naming each field that is wrong, and why.
        """
        todo = Todo(user=user, **_cleaned(title=title, description=description, due_on=due_on))
        todo.save(force_insert=True)
        return todo

    @staticmethod
    def edit(
        *, user: User, todo_id: int, title: str, description: str, due_on: date | None
    ) -> Todo:
        """Replace a todo's title, description and due date.

        Raises:
            TodoNotFound: the person has no such todo.
            ValidationError: naming each field that is wrong, and why; nothing is changed.
        """
        values = _cleaned(title=title, description=description, due_on=due_on)
        if not Todo.objects.filter(pk=todo_id, user=user).update(**values):
            raise TodoNotFound
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def complete(*, user: User, todo_id: int) -> Todo:
        """Mark a todo as done now; one that is done already keeps its time.

        Raises:
            TodoNotFound: the person has no such todo.
        """
        TodoService.complete_selected(todos=Todo.objects.filter(pk=todo_id, user=user))
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def reopen(*, user: User, todo_id: int) -> Todo:
        """Mark a todo as still to be done.

        Raises:
            TodoNotFound: the person has no such todo.
        """
        TodoService.reopen_selected(todos=Todo.objects.filter(pk=todo_id, user=user))
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def complete_selected(*, todos: TodoQuerySet) -> int:
        """Mark every open todo among `todos` as done now, in one statement; return how many."""
        return todos.open().update(completed_at=timezone.now())

    @staticmethod
    def reopen_selected(*, todos: TodoQuerySet) -> int:
        """Mark every completed todo among `todos` as open, in one statement; return how many."""
        return todos.completed().update(completed_at=None)

    @staticmethod
    def delete(*, user: User, todo_id: int) -> None:
        """Delete a todo.

        Raises:
            TodoNotFound: the person has no such todo.
        """
        deleted, _ = Todo.objects.filter(pk=todo_id, user=user).delete()
        if not deleted:
            raise TodoNotFound

    @staticmethod
    def delete_completed_todos(*, user: User) -> int:
        """Clear a person's list of everything done, at their own wish; return how many went.

        Keep times are no matter here: they are for the cleanup that nobody asked for.
        """
        deleted, _ = Todo.objects.filter(user=user).completed().delete()
        return deleted

    @staticmethod
    def sweep(
        *,
        as_of: datetime,
        keep_days: int | None = None,
        batch_size: int | None = None,
        user: User | None = None,
        on_batch: Callable[[SweepProgress], None] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> SweepResult:
        """Sweep away the completed todos of everyone who takes part, once their keep time is over.

        Args:
            as_of: the moment that keep times are counted back from. The same moment means the same
                todos, however often and however late the sweep runs.
            keep_days: instead of TODO_KEEP_COMPLETED_DAYS; people's own keep times still hold.
            batch_size: completed todos to pass in one transaction, instead of
                TODO_SWEEP_BATCH_SIZE or what suits the database.
            user: sweep this person's todos alone.
            on_batch: called after each range with how far the sweep has come.
            checkpoint: keeps the sweep's account in the transactions that it accounts for, so that
                it can be carried on; by default nothing does.

        Returns:
            How many people took part, how many todos went, and whose could not be swept.
        """
        return Sweep(as_of=as_of, keep_days=keep_days, user=user).run(
            batch_size=batch_size, on_batch=on_batch, checkpoint=checkpoint
        )

    @staticmethod
    def preview_sweep(
        *, as_of: datetime, keep_days: int | None = None, user: User | None = None
    ) -> SweepResult:
        """Say what `sweep` with these arguments would do now; touch nothing."""
        return Sweep(as_of=as_of, keep_days=keep_days, user=user).preview()


def _cleaned(*, title: str, description: str, due_on: date | None) -> dict[str, Any]:
    """Return a todo's own fields as they are stored: the title on one line, without spare space.

    Raises:
        ValidationError: naming each field that is wrong, and why.
    """
    values = {"title": " ".join(title.split()), "description": description, "due_on": due_on}
    Todo(**values).clean_fields(exclude={"user"})
    return values


def _get(*, user: User, todo_id: int) -> Todo:
    try:
        return Todo.objects.get(pk=todo_id, user=user)
    except Todo.DoesNotExist as error:
        raise TodoNotFound from error
