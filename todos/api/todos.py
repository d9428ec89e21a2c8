"""The operations of todos on the list."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

from django.http import HttpResponse
from django.utils import timezone
from ninja import Header, Query, Router, Status
from pydantic import Field

import todos.converters  # noqa: F401  (the addresses of rows)
from accounts.api.callers import CallerRequest
from accounts.api.errors import Refusal, Refused, TooManyRequests
from accounts.api.preconditions import IF_MATCH, expected
from accounts.models import User
from todos.api.answers import answer, leaving_of, todos_out
from todos.api.cursors import page_of
from todos.api.schemas import (
    Cleared,
    RowId,
    TodoChanges,
    TodoFilter,
    TodoIn,
    TodoOut,
    TodoPage,
)
from todos.limits import seconds_until_add
from todos.matching import matching
from todos.models import Todo, TodoQuerySet
from todos.services import TodoNotFound, TodoService

router = Router(tags=["todos"])

Key = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


@router.get("/todos", response=TodoPage, operation_id="listTodos", summary="Your todos")
def list_todos(request: CallerRequest, given: Query[TodoFilter]) -> TodoPage:
    user = request.auth.user
    page, cursor = page_of(chosen(user, given), given)
    return TodoPage(items=todos_out(page, leaving_of(user)), next_cursor=cursor)


def chosen(user: User, given: TodoFilter) -> TodoQuerySet:
    """Return the todos that a request asks for."""
    todos = Todo.objects.filter(user=user)
    if given.completed is not None:
        # Not by `completed()`: PostgreSQL would look for them in the index of everybody's.
        todos = todos.filter(is_completed=given.completed)
    if given.due is not None:
        todos = todos.due(given.due, today=timezone.localdate())
    return todos.filter(matching(given.q)) if given.q else todos


@router.post("/todos", response={201: TodoOut}, operation_id="createTodo", summary="Add a todo")
def create_todo(
    request: CallerRequest,
    response: HttpResponse,
    given: TodoIn,
    idempotency_key: Annotated[
        Key,
        Header(
            None,
            alias="Idempotency-Key",
            description="A text of yours for this todo. For a day, the same request with the same"
            " key creates no other.",
        ),
    ],
) -> TodoOut:
    """With an `Idempotency-Key`, a request can be repeated when its answer was lost."""
    user = request.auth.user
    if wait := seconds_until_add(user):
        raise TooManyRequests(wait)
    if idempotency_key is None:
        todo = TodoService.create(user=user, **given.model_dump())
    else:
        todo, was_there = created_once(user, idempotency_key, given)
        response.headers["Idempotency-Replayed"] = str(was_there).lower()
    response.headers["Location"] = f"{request.path}/{todo.pk}"
    return answer(user, todo, response)


def created_once(user: User, key: str, given: TodoIn) -> tuple[Todo, bool]:
    try:
        return TodoService.create_for_request(user=user, key=key, **given.model_dump())
    except TodoNotFound as error:
        raise Refused(Refusal.GONE) from error


@router.post(
    "/todos/clear-completed",
    response=Cleared,
    operation_id="clearCompleted",
    summary="Move all completed todos to the trash",
)
def clear_completed(request: CallerRequest) -> Cleared:
    """Without a trash, they are deleted for good. `cleared_at` restores just these."""
    cleared = TodoService.clear_completed(user=request.auth.user)
    return Cleared(todos_cleared=cleared.todos, cleared_at=cleared.trashed_at)


@router.get(
    "/todos/{row:todo_id}", response=TodoOut, operation_id="getTodo", summary="A todo of your list"
)
def get_todo(request: CallerRequest, response: HttpResponse, todo_id: RowId) -> TodoOut:
    user = request.auth.user
    return answer(user, TodoService.get(user=user, todo_id=todo_id), response)


@router.patch(
    "/todos/{row:todo_id}",
    response=TodoOut,
    operation_id="changeTodo",
    summary="Change a todo",
    openapi_extra=IF_MATCH,
)
def change_todo(
    request: CallerRequest, response: HttpResponse, todo_id: RowId, given: TodoChanges
) -> TodoOut:
    """What is not given stays as it is. With `If-Match`, only if nobody has changed it since."""
    user = request.auth.user
    with unchanged(request, todo_id):
        todo = TodoService.edit(user=user, todo_id=todo_id, **given.changes())
    return answer(user, todo, response)


@router.delete(
    "/todos/{row:todo_id}",
    response={204: None},
    operation_id="deleteTodo",
    summary="Move a todo to the trash",
    openapi_extra=IF_MATCH,
)
def delete_todo(request: CallerRequest, todo_id: RowId) -> Status[None]:
    """Without a trash, it is deleted for good. With `If-Match`, only if it is as you saw it."""
    with unchanged(request, todo_id):
        TodoService.delete(user=request.auth.user, todo_id=todo_id)
    return Status(204, None)


@router.post(
    "/todos/{row:todo_id}/complete",
    response=TodoOut,
    operation_id="completeTodo",
    summary="Check a todo off",
    openapi_extra=IF_MATCH,
)
def complete_todo(request: CallerRequest, response: HttpResponse, todo_id: RowId) -> TodoOut:
    """One that is completed already keeps its time."""
    user = request.auth.user
    with unchanged(request, todo_id):
        todo = TodoService.complete(user=user, todo_id=todo_id)
    return answer(user, todo, response)


@router.post(
    "/todos/{row:todo_id}/reopen",
    response=TodoOut,
    operation_id="reopenTodo",
    summary="Make a completed todo open again",
    openapi_extra=IF_MATCH,
)
def reopen_todo(request: CallerRequest, response: HttpResponse, todo_id: RowId) -> TodoOut:
    user = request.auth.user
    with unchanged(request, todo_id):
        todo = TodoService.reopen(user=user, todo_id=todo_id)
    return answer(user, todo, response)


def unchanged(request: CallerRequest, todo_id: int) -> AbstractContextManager[None]:
    """Return what holds a todo while it is changed, if the request says how it has to be."""
    states = expected(request)
    if states is None:
        return nullcontext()
    return TodoService.if_unchanged(user=request.auth.user, todo_id=todo_id, states=states)
