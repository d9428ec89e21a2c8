"""Rows that tests begin with: each written by one function, with values that a test may change."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db.models.functions import Now

from accounts.models import Access, User
from accounts.tokens.services import TokenService
from tasks.engine.models import UNFINISHED, Process, ProcessKind, State, TaskRun, Trigger
from tasks.names import TaskName
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

#: The moment that a sweep refers to, and one at which what was completed is due in it.
AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)
LONG_AGO = AS_OF - timedelta(days=100)


def new_todos(*users: User, each: int = 1, **fields: Any) -> list[Todo]:
    """Give people todos in turn: completed long ago, unless told otherwise."""
    values = {"completed_at": LONG_AGO, **fields}
    return Todo.objects.bulk_create(
        Todo(**{"user": user, "title": f"Todo {number}", **values})
        for number in range(each)
        for user in users
    )


def new_todo(user: User, **fields: Any) -> Todo:
    """Give a person a todo that was completed long ago."""
    (todo,) = new_todos(user, **fields)
    return todo


def give(user: User, *, completed: int, open_: int = 0) -> None:
    """Give a person completed and open todos, in turn as long as both last."""
    both = min(completed, open_)
    give_each(user, [False, True] * both + [True] * (completed - both) + [False] * (open_ - both))


def give_each(user: User, done: Iterable[bool]) -> None:
    """Give a person one todo for each value: completed if it is true, open if not."""
    Todo.objects.bulk_create(
        Todo(user=user, title=f"Todo {number}", completed_at=LONG_AGO if is_done else None)
        for number, is_done in enumerate(done)
    )


def new_token(user: User, access: Access = Access.WRITE) -> str:
    """Give a person a token of whatever name; return its secret."""
    return TokenService.create(user=user, name=f"Token {uuid4()}", access=access).secret


def trash(
    user: User, *titles: str, by: User | None = None, run_id: int | None = None, **values: Any
) -> list[int]:
    """Put todos into a person's trash.

    Args:
        user: whose.
        titles: one todo for each.
        by: who deleted them.
        run_id: the run that swept them, in place of a person.
        values: further fields, such as `trashed_at`.

    Returns:
        Their ids.
    """
    pks = [todo.pk for title in titles for todo in new_todos(user, title=title, completed_at=None)]
    for pk in pks:
        TodoService.delete(user=user, todo_id=pk, by=by)
    if run_id is not None:
        values |= {"run_id": run_id, "trashed_by": None}
    if values:
        TrashedTodo.objects.filter(pk__in=pks).update(**values)
    return pks


def new_trash(user: User, *, each: int, **fields: Any) -> None:
    """Write `each` trashed todos of a person at once, straight into the trash."""
    last = TrashedTodo.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    values = {"title": "Gone", "trash_days": 30, **fields}
    TrashedTodo.objects.bulk_create(
        TrashedTodo(pk=last + number, user=user, **values) for number in range(1, each + 1)
    )


def new_runs(count: int, state: State = State.SUCCEEDED, **values: Any) -> list[TaskRun]:
    """Write runs of the cleanup, as a schedule starts them, in this state."""
    return new_run_each([values] * count, state)


def new_run_each(
    values: Iterable[Mapping[str, Any]], state: State = State.SUCCEEDED
) -> list[TaskRun]:
    """Write a run for each, with values of its own; see `new_runs`."""
    defaults = {
        "task": TaskName.TODO_CLEANUP,
        "trigger": Trigger.SCHEDULE,
        "queue": "default",
        "finished_at": None if state in UNFINISHED else Now(),
    }
    return TaskRun.objects.bulk_create(
        TaskRun(state=state, **{**defaults, "message_id": uuid4(), **own}) for own in values
    )


def new_run(state: State = State.SUCCEEDED, **values: Any) -> TaskRun:
    """Write one run as `new_runs` does, and read back what the database has filled in."""
    (run,) = new_runs(1, state, **values)
    return TaskRun.objects.get(pk=run.pk)


def new_process(
    kind: ProcessKind = ProcessKind.WORKER, *, silent_for: int = 0, **values: Any
) -> Process:
    """Write a process whose last heartbeat was `silent_for` seconds ago."""
    defaults = {"host": "here", "pid": 1, "seen_at": Now() - timedelta(seconds=silent_for)}
    return Process.objects.create(kind=kind, **{**defaults, **values})


def swept_by(run: TaskRun, user: User) -> int:
    """Put a todo into a person's trash as if this run had swept it; return its id."""
    (pk,) = trash(user, "Done", run_id=run.pk, trashed_at=run.created_at)
    return pk


def wants_receipt(user: User, *, since: datetime = LONG_AGO, **fields: Any) -> User:
    """Have a person with an address want receipts since some time; set further fields, too."""
    values = {"wants_receipt": True, "receipt_since": since, **fields}
    user.email = user.email or f"{user.username}@example.com"
    for name, value in values.items():
        setattr(user, name, value)
    user.save()
    return user
