"""The operations of the trash."""

from django.http import Http404, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Status

import todos.converters  # noqa: F401  (the addresses of rows)
from accounts.api.callers import CallerRequest
from todos.api.answers import answer
from todos.api.cursors import SORTED, page_of
from todos.api.schemas import (
    ClearedOrSelection,
    Cursor,
    Purged,
    Restored,
    RowId,
    Selection,
    TodoOut,
    TrashedTodoOut,
    TrashPage,
)
from todos.bulk.trash import RestoreReport
from todos.day_words import last_evening
from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.services import TodoService

router = Router(tags=["trash"])


def trash_of(request: CallerRequest) -> TrashedTodoQuerySet:
    return TrashedTodo.objects.filter(user=request.auth.user)


@router.get("/trash", response=TrashPage, operation_id="listTrash", summary="Your trash")
def list_trash(request: CallerRequest, given: Query[Cursor]) -> TrashPage:
    page, cursor = page_of(trash_of(request), given, order=SORTED)
    return TrashPage(items=[TrashedTodoOut.of(todo) for todo in page], next_cursor=cursor)


@router.post(
    "/trash/restore",
    response=Restored,
    operation_id="restoreSelection",
    summary="Restore several todos",
)
def restore_selection(request: CallerRequest, given: ClearedOrSelection) -> Restored:
    """By their ids, or all that clearing moved there at one moment. Others' are just not there."""
    if given.ids is not None:
        ids = set(given.ids)
        todos = trash_of(request).filter(pk__in=ids)
        return restored(TodoService.restore_at_once(todos=todos, number=len(ids)))
    cleared = TrashedTodo.objects.cleared(by=request.auth.user, at=given.cleared_at)
    return restored(TodoService.restore_at_once(todos=cleared))


@router.post(
    "/trash/restore-last-night",
    response=Restored,
    operation_id="restoreLastNight",
    summary="Restore what cleanups have taken since yesterday evening",
)
def restore_last_night(request: CallerRequest) -> Restored:
    """Since 18:00 of yesterday, by the clock of your time zone."""
    now = timezone.now()
    night = trash_of(request).swept_between(last_evening(now=now), now)
    return restored(TodoService.restore_at_once(todos=night))


@router.post(
    "/trash/delete",
    response=Purged,
    operation_id="purgeSelection",
    summary="Delete several todos in the trash for good",
)
def purge_selection(request: CallerRequest, given: Selection) -> Purged:
    """By their ids alone: a moment would not say what you have seen of what is on its way there."""
    ids = set(given.ids)
    todos = trash_of(request).filter(pk__in=ids)
    return Purged(todos_purged=TodoService.purge_selected(todos=todos, number=len(ids)))


@router.get(
    "/trash/{row:todo_id}",
    response=TrashedTodoOut,
    operation_id="getTrashedTodo",
    summary="A todo in your trash",
)
def get_trashed_todo(request: CallerRequest, todo_id: RowId) -> TrashedTodoOut:
    todo = trash_of(request).filter(pk=todo_id).first()
    if todo is None:
        raise Http404
    return TrashedTodoOut.of(todo)


@router.post(
    "/trash/{row:todo_id}/restore",
    response=TodoOut,
    operation_id="restoreTodo",
    summary="Restore a todo, as it was",
)
def restore_todo(request: CallerRequest, response: HttpResponse, todo_id: RowId) -> TodoOut:
    user = request.auth.user
    return answer(user, TodoService.restore(user=user, todo_id=todo_id), response)


@router.delete(
    "/trash/{row:todo_id}",
    response={204: None},
    operation_id="purgeTodo",
    summary="Delete a todo in the trash for good",
)
def purge_todo(request: CallerRequest, todo_id: RowId) -> Status[None]:
    if not TodoService.purge_selected(todos=trash_of(request).filter(pk=todo_id), number=1):
        raise Http404
    return Status(204, None)


def restored(report: RestoreReport) -> Restored:
    reasons = sorted({error["reason"] for error in report["errors"]})
    return Restored(
        todos_restored=report["todos_restored"], todos_left=report["todos_left"], reasons=reasons
    )
