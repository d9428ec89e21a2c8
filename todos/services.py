"""The verbs of todos: the only code that adds, changes, moves or deletes them.

A verb on one existing todo takes its owner, too, and raises `TodoNotFound` if that person has no
such todo.

`restore_selected`, `purge` and `sweep` work through very many todos. They share these arguments:

    batch_size: the todos of one transaction; by default, as many as suit the database.
    on_batch: called with the checkpoint after each batch.
    store: keeps the checkpoint, from which the work continues if it is interrupted; by default the
        checkpoint is lost with the process.

They raise `OutOfBounds` for a number that is not accepted. `sweep` and `purge` raise
`ClocksDisagree` if this host's clock and the database's are too far apart.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple, Unpack

from django.db import IntegrityError, transaction
from django.db.models import Count, Subquery
from django.db.models.functions import Coalesce

from accounts.models import User
from todos.bounds import MAX_BATCH_SIZE, MAX_TODOS, check_number, check_purge, check_sweep
from todos.bulk.at_once import act_at_once
from todos.bulk.checkpoint import OnBatch
from todos.bulk.keys import ID, Position
from todos.bulk.runner import run
from todos.bulk.sql import Rows
from todos.bulk.store import CheckpointStore, InMemoryStore
from todos.bulk.sweep import Sweep, SweepReport
from todos.bulk.trash import (
    Deletion,
    Discard,
    Purge,
    PurgeReport,
    Restore,
    RestoreReport,
    move_to_trash,
    restore,
)
from todos.clock import database_now, trusted_now
from todos.functions import CurrentTime
from todos.models import (
    IdempotencyKey,
    Todo,
    TodoDetails,
    TodoQuerySet,
    TodoValues,
    TrashedTodo,
    TrashedTodoQuerySet,
)
from todos.rules import due_for_person

#: For how long a request that is sent twice is recognized, at least.
REPEATED_WITHIN = timedelta(days=1)


class TodoError(Exception):
    """A verb of `TodoService` cannot be done."""


class TodoNotFound(TodoError):  # noqa: N818  (named like Django's own ObjectDoesNotExist)
    """The person has no such todo: it never existed, is somebody else's, or has been deleted."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(todo_id)
        self.todo_id = todo_id


class TodoChanged(TodoError):  # noqa: N818  (as above)
    """The todo has been edited since the person saw it: `todo` is how it is now."""

    def __init__(self, todo: Todo) -> None:
        super().__init__(todo.pk)
        self.todo = todo


class TooManyTodos(TodoError):  # noqa: N818  (as above)
    """The person's list is full."""


class KeyReused(TodoError):  # noqa: N818  (as above)
    """The key of this request was that of another one, which asked for something else."""


class Created(NamedTuple):
    """The todo that a request asked for, and whether it was an earlier one that created it."""

    todo: Todo
    was_there: bool


class Cleared(NamedTuple):
    """What a person cleared from their list: how many todos, and when.

    The moment is that of these todos alone, so that it names them in the trash.
    """

    todos: int
    trashed_at: datetime


class TodoCounts(NamedTuple):
    """How many todos a person has."""

    on_list: int
    in_trash: int


class TodoService:
    """The verbs of todos."""

    @staticmethod
    def create(*, user: User, title: str, **details: Unpack[TodoDetails]) -> Todo:
        """Create an open todo; fields that are not given get their default.

        Raises:
            ValidationError: names each field that is wrong, and why.
            TooManyTodos: the person has MAX_TODOS, or more; of requests at the same time, each
                may add one.
        """
        todo = _todo_with({"title": title, **details})
        todo.user = user
        todo.clean_fields(exclude={"user"})
        if not TodoService.has_room(user=user):
            raise TooManyTodos
        todo.save(force_insert=True)
        return todo

    @staticmethod
    def create_once(*, user: User, key: str, title: str, **details: Unpack[TodoDetails]) -> Todo:
        """Create a todo as `create` does, unless a form with this key and title has done so.

        Whoever goes back to a form and changes the title means another todo.

        Args:
            user: whose.
            key: of the form.
            title: of the todo.
            details: further fields.

        Returns:
            The todo that has been created, now or then.

        Raises:
            TodoNotFound: the todo of then is gone.
        """
        digest = sha256(json.dumps([key, title]).encode()).hexdigest()
        return _create_once(user, digest, "", {"title": title, **details}).todo

    @staticmethod
    def create_for_request(
        *, user: User, key: str, title: str, **details: Unpack[TodoDetails]
    ) -> Created:
        """Create a todo as `create` does, unless a request with this key has done so.

        Of requests at the same time, one creates it, and the others wait for that.

        Args:
            user: whose.
            key: of the request, as the person's side made it up.
            title: of the todo.
            details: further fields.

        Raises:
            KeyReused: the request of then asked for something else.
            TodoNotFound: the todo of then is gone.
        """
        digest = sha256(f"request {key}".encode()).hexdigest()
        values: TodoValues = {"title": title, **details}
        asked = sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()
        return _create_once(user, digest, asked, values)

    @staticmethod
    def prune_requests(*, as_of: datetime) -> int:
        """Delete the keys of requests that nobody repeats any more; return how many."""
        before = as_of - REPEATED_WITHIN
        return IdempotencyKey.objects.filter(created_at__lt=before).delete()[0]

    @staticmethod
    def get(*, user: User, todo_id: int) -> Todo:
        """Return a todo of a person's list."""
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def has_room(*, user: User) -> bool:
        """Say whether a person may have one more todo."""
        return not Todo.objects.filter(user=user)[MAX_TODOS - 1 : MAX_TODOS].exists()

    @staticmethod
    def edit(
        *, user: User, todo_id: int, expected: str | None = None, **values: Unpack[TodoValues]
    ) -> Todo:
        """Replace fields of a todo; those that are not given stay as they are.

        What stays is not checked: it may be from a time with other limits.

        Args:
            user: whose.
            todo_id: which.
            expected: the version that the person saw; by default, whichever it is now.
            values: the new ones.

        Raises:
            ValidationError: names each field that is wrong, and why; nothing is changed.
            TodoChanged: it has another version than expected, and other values than these.
        """
        new = _todo_with(values)
        with transaction.atomic():
            todo = _get(user=user, todo_id=todo_id, lock=True)
            changed = {name for name in values if getattr(new, name) != getattr(todo, name)}
            if changed and expected not in {None, todo.version}:
                raise TodoChanged(todo)
            new.clean_fields(exclude={field.name for field in Todo._meta.fields} - changed)
            changes = {name: getattr(new, name) for name in changed}
            if changes:
                Todo.objects.filter(pk=todo_id).update(**changes)
        for name, value in changes.items():
            setattr(todo, name, value)
        return todo

    @staticmethod
    @contextmanager
    def if_unchanged(*, user: User, todo_id: int, states: Collection[str]) -> Iterator[None]:
        """Run the block in a transaction in which nobody else changes a todo, if nobody has.

        Args:
            user: whose.
            todo_id: which.
            states: one of these is how the person saw it.

        Raises:
            TodoChanged: it has another state.
        """
        with transaction.atomic():
            todo = _get(user=user, todo_id=todo_id, lock=True)
            if todo.state not in states:
                raise TodoChanged(todo)
            yield

    @staticmethod
    def complete(*, user: User, todo_id: int) -> Todo:
        """Mark a todo as done now; one that is done already keeps its time."""
        TodoService.complete_selected(todos=Todo.objects.filter(pk=todo_id, user=user))
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def reopen(*, user: User, todo_id: int) -> Todo:
        """Mark a todo as open."""
        TodoService.reopen_selected(todos=Todo.objects.filter(pk=todo_id, user=user))
        return _get(user=user, todo_id=todo_id)

    @staticmethod
    def complete_selected(*, todos: TodoQuerySet) -> int:
        """Mark every open todo among `todos` as done now, in one statement; return how many."""
        return todos.open().update(completed_at=CurrentTime())

    @staticmethod
    def reopen_selected(*, todos: TodoQuerySet) -> int:
        """Mark every completed todo among `todos` as open, in one statement; return how many."""
        return todos.completed().update(completed_at=None)

    @staticmethod
    def delete(*, user: User, todo_id: int, by: User | None = None) -> None:
        """Move a todo to the trash; `by` is the person who deletes it, if not the owner."""
        todo = Rows.of(Todo.objects.filter(pk=todo_id, user=user), key=ID)
        if not move_to_trash(todo, trashed_by=by or user):
            raise TodoNotFound(todo_id)

    @staticmethod
    def delete_completed_todos(*, user: User) -> int:
        """Move a person's completed todos to the trash, at their wish; return how many.

        Keep times do not matter here: they are for the cleanup that nobody asked for.
        """
        return TodoService.clear_completed(user=user).todos

    @staticmethod
    def clear_completed(*, user: User) -> Cleared:
        """Do what `delete_completed_todos` does; return what it takes to restore just these."""
        done = Rows.of(Todo.objects.filter(user=user).completed(), key=ID)
        trashed_at = database_now()
        return Cleared(move_to_trash(done, trashed_by=user, trashed_at=trashed_at), trashed_at)

    @staticmethod
    def delete_selected(*, todos: TodoQuerySet, by: User) -> int:
        """Move any number of todos, selected without joins, to the trash; return how many."""
        return run(Deletion(todos, by=by))

    @staticmethod
    def restore(*, user: User, todo_id: int) -> Todo:
        """Restore a todo from the trash, as it was; its keep time begins again."""
        trashed = Rows.of(TrashedTodo.objects.filter(pk=todo_id, user=user), key=ID)
        with transaction.atomic():
            if not restore(trashed):
                raise TodoNotFound(todo_id)
            return _get(user=user, todo_id=todo_id)

    @staticmethod
    def restore_last_sweep(*, user: User) -> RestoreReport:
        """Restore a person's todos from the last cleanup that removed any of them."""
        mine = TrashedTodo.objects.filter(user=user)
        last = mine.filter(run_id=mine.last_run()).swept()
        return TodoService.restore_at_once(todos=last)

    @staticmethod
    def restore_at_once(*, todos: TrashedTodoQuerySet, number: int | None = None) -> RestoreReport:
        """Restore a selection of one person's trash while they wait: in one statement, if it can.

        Otherwise, and in what it returns, it is `restore_selected`.

        Args:
            todos: selected without joins.
            number: how many there are at most, if that is known; otherwise they are counted.
        """
        restored = act_at_once(Restore(todos), number=number)
        if restored is None:
            return TodoService.restore_selected(todos=todos)
        return {"todos_restored": restored, "todos_left": 0, "errors": []}

    @staticmethod
    def purge_selected(*, todos: TrashedTodoQuerySet, number: int | None = None) -> int:
        """Delete a selection of one person's trash for good, at their wish; return how many.

        Of this and a restore or a purge of the same todos at the same time, one has each of them.

        Args:
            todos: selected without joins.
            number: as for `restore_at_once`.
        """
        purged = act_at_once(Discard(todos), number=number)
        return run(Discard(todos)) if purged is None else purged

    @staticmethod
    def restore_selected(
        *,
        todos: TrashedTodoQuerySet,
        batch_size: int | None = None,
        on_batch: OnBatch[int] | None = None,
        store: CheckpointStore | None = None,
    ) -> RestoreReport:
        """Restore todos, selected without joins, from the trash, such as all of a run's.

        Returns:
            How many were restored, how many of the selection were not, and why.
        """
        check_number("batch_size", batch_size, 1, MAX_BATCH_SIZE)
        return run(Restore(todos), store, batch_size=batch_size, on_batch=on_batch)

    @staticmethod
    def preview_restore(*, todos: TrashedTodoQuerySet) -> RestoreReport:
        """Return what `restore_selected` would report now; touch nothing."""
        return Restore(todos).preview()

    @staticmethod
    def purge(
        *,
        as_of: datetime,
        days: int | None = None,
        user: User | None = None,
        batch_size: int | None = None,
        on_batch: OnBatch[Position] | None = None,
        store: CheckpointStore | None = None,
    ) -> PurgeReport:
        """Delete for good what has been in the trash for long enough.

        Args:
            as_of: the moment that the days are counted back from; now, if it is in the future.
            days: the retention; by default what was promised when a todo came, or TODO_TRASH_DAYS
                if that is longer.
            user: purge this person's trash alone.
        """
        check_purge(days=days, batch_size=batch_size)
        store = store or InMemoryStore()
        purge = Purge(as_of=min(as_of, store.read(trusted_now)), days=days, user=user)
        return run(purge, store, batch_size=batch_size, on_batch=on_batch)

    @staticmethod
    def preview_purge(
        *, as_of: datetime, days: int | None = None, user: User | None = None
    ) -> PurgeReport:
        """Return what `purge` with these arguments would report now; touch nothing."""
        check_purge(days=days)
        return Purge(as_of=min(as_of, trusted_now()), days=days, user=user).preview()

    @staticmethod
    def sweep(
        *,
        as_of: datetime,
        keep_days: int | None = None,
        batch_size: int | None = None,
        user: User | None = None,
        on_batch: OnBatch[int] | None = None,
        store: CheckpointStore | None = None,
    ) -> SweepReport:
        """Sweep the completed todos of everyone who takes part, once their keep time is over.

        Args:
            as_of: the moment that keep times are counted back from; now, if it is in the future.
                The same moment means the same todos, however often and however late the sweep runs.
            keep_days: instead of TODO_KEEP_COMPLETED_DAYS; people's own keep times still hold.
            batch_size: completed todos to pass in one transaction, instead of
                TODO_SWEEP_BATCH_SIZE or what suits the database.
            user: sweep this person's todos alone.

        Returns:
            How many people took part, how many todos were swept, and whose could not be.
        """
        check_sweep(keep_days=keep_days, batch_size=batch_size)
        store = store or InMemoryStore()
        sweep = Sweep(as_of=min(as_of, store.read(trusted_now)), keep_days=keep_days, user=user)
        return run(sweep, store, batch_size=batch_size, on_batch=on_batch)

    @staticmethod
    def preview_sweep(
        *, as_of: datetime, keep_days: int | None = None, user: User | None = None
    ) -> SweepReport:
        """Return what `sweep` with these arguments would report now; touch nothing."""
        check_sweep(keep_days=keep_days)
        return Sweep(as_of=min(as_of, trusted_now()), keep_days=keep_days, user=user).preview()

    @staticmethod
    def count(*, user: User) -> TodoCounts:
        """Return how many todos a person has, in one query."""
        on_list, in_trash = (
            rows.filter(user=user).order_by().values("user").annotate(number=Count("*"))
            for rows in (Todo.objects.all(), TrashedTodo.objects.all())
        )
        numbers = [Coalesce(Subquery(rows.values("number")), 0) for rows in (on_list, in_trash)]
        found = User.objects.get_queryset().filter(pk=user.pk).values_list(*numbers).first()
        return TodoCounts(*(found or (0, 0)))

    @staticmethod
    def preview_keep_times(
        *, user: User, keep_days: Collection[int], as_of: datetime
    ) -> dict[int, int]:
        """Return how many of a person's todos a cleanup takes, for each of some keep times.

        It is one query, whatever the number of keep times.

        Args:
            user: whose list it is; they are taken to take part.
            keep_days: the keep times.
            as_of: when the cleanup is due, such as tonight.
        """
        due = {
            str(days): Count("pk", filter=due_for_person(as_of=as_of, keep_days=days))
            for days in keep_days
        }
        counts = Todo.objects.filter(user=user).completed().aggregate(**due)
        return {days: counts[str(days)] for days in keep_days}


def _create_once(user: User, key: str, asked: str, values: TodoValues) -> Created:
    try:
        with transaction.atomic():
            todo = TodoService.create(user=user, **values)
            # A request at the same time with the same key waits here for the end of the other.
            IdempotencyKey.objects.create(user=user, key=key, asked=asked, todo_id=todo.pk)
    except (IntegrityError, TooManyTodos):  # It may have been the last that the list could hold.
        earlier = IdempotencyKey.objects.filter(user=user, key=key).first()
        if earlier is None:
            raise
        if earlier.asked != asked:
            raise KeyReused from None
        return Created(_get(user=user, todo_id=earlier.todo_id), was_there=True)
    return Created(todo, was_there=False)


def _todo_with(values: TodoValues) -> Todo:
    """Return a todo that is not saved, with its title on one line and without extra spaces.

    Raises:
        TypeError: a value is for a field that only other verbs change, or for none.
    """
    if unknown := values.keys() - Todo.editable_fields():
        raise TypeError(f"a todo's {', '.join(sorted(unknown))} cannot be edited")
    todo = Todo(**values)
    todo.title = " ".join(todo.title.split())
    return todo


def _get(*, user: User, todo_id: int, lock: bool = False) -> Todo:
    todos = Todo.objects.select_for_update(no_key=True) if lock else Todo.objects.all()
    try:
        return todos.get(pk=todo_id, user=user)
    except Todo.DoesNotExist as error:
        raise TodoNotFound(todo_id) from error
