"""What the buttons of a list do, in one click: complete, reopen, delete, clear, set a date."""

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from todos.day_words import day_words
from todos.due_words import without
from todos.leaving import Leaving
from todos.models import Todo
from todos.pages.answers import gone, page, posted
from todos.pages.given import back, day, next_of, row_id
from todos.pages.notices import Offer, report
from todos.pages.requests import PersonRequest
from todos.pages.trash_words import completed_words, number, quoted
from todos.services import TodoChanged, TodoNotFound, TodoService


@posted
def complete(request: PersonRequest) -> HttpResponse:
    """Complete a todo."""
    todo_id = row_id(request.POST.get("id", ""))
    try:
        todo = TodoService.complete(user=request.user, todo_id=todo_id)
    except TodoNotFound:
        return gone(request, todo_id)
    text = completed_words(todo, Leaving(request.user, now=timezone.now()))
    report(request, text, undo_by("todos:reopen", todo_id))
    return back(request)


@posted
def reopen(request: PersonRequest) -> HttpResponse:
    """Reopen a todo."""
    todo_id = row_id(request.POST.get("id", ""))
    try:
        todo = TodoService.reopen(user=request.user, todo_id=todo_id)
    except TodoNotFound:
        return gone(request, todo_id)
    text = _("%(title)s is open again.") % {"title": quoted(todo.title)}
    report(request, text, undo_by("todos:complete", todo_id))
    return back(request)


@posted
def delete(request: PersonRequest) -> HttpResponse:
    """Move a todo to the trash; without a trash, ask first."""
    todo_id = row_id(request.POST.get("id", ""))
    todo = Todo.objects.filter(user=request.user, pk=todo_id).only("title").first()
    if todo is None:
        return gone(request, todo_id)
    if is_to_confirm(request):
        return confirm(
            request, _("Delete %(title)s for good?") % {"title": quoted(todo.title)}, id=todo_id
        )
    try:
        TodoService.delete(user=request.user, todo_id=todo_id)
    except TodoNotFound:
        return gone(request, todo_id)
    text = _("Deleted %(title)s.") % {"title": quoted(todo.title)}
    report(request, text, *undo_of("todos:restore", id=str(todo_id)))
    return back(request)


@posted
def clear(request: PersonRequest) -> HttpResponse:
    """Move all completed todos to the trash; without a trash, ask first."""
    if is_to_confirm(request):
        return confirm(request, _("Delete all completed todos for good?"))
    cleared = TodoService.clear_completed(user=request.user)
    text = ngettext(
        "Cleared %(count)s completed todo.", "Cleared %(count)s completed todos.", cleared.todos
    ) % {"count": number(cleared.todos)}
    moment = cleared.trashed_at.isoformat()
    undo = undo_of("todos:restore_cleared", trashed_at=moment) if cleared.todos else ()
    report(request, text, *undo)
    return back(request)


@posted
def set_due(request: PersonRequest) -> HttpResponse:
    """Give a todo the due date that its title said, and take those words out of the title."""
    todo_id = row_id(request.POST.get("id", ""))
    todo = Todo.objects.filter(user=request.user, pk=todo_id).first()
    if todo is None:
        return gone(request, todo_id)
    due_on = day(request.POST.get("due_on", ""))
    if todo.due_on not in {None, due_on}:
        return edited_meanwhile(request, todo)
    title = without(todo.title, request.POST.get("words", "")) or todo.title
    try:
        todo = TodoService.edit(
            user=request.user, todo_id=todo_id, expected=todo.version, title=title, due_on=due_on
        )
    except ValidationError as error:
        raise Http404 from error
    except TodoNotFound:
        return gone(request, todo_id)
    except TodoChanged as changed:
        return edited_meanwhile(request, changed.todo)
    text = _("%(title)s is due %(day)s.")
    report(request, text % {"title": quoted(todo.title), "day": day_words(due_on)})
    return back(request)


def edited_meanwhile(request: PersonRequest, todo: Todo) -> HttpResponse:
    """Say that an offer came too late: somebody has set another date."""
    text = _("%(title)s has been edited meanwhile: nothing was changed.")
    report(request, text % {"title": quoted(todo.title)}, level=messages.WARNING)
    return back(request)


def undo_by(view: str, todo_id: int) -> Offer:
    """Return the offer to undo what was done to a todo, by the button of another verb."""
    return Offer(label=_("Undo"), url=reverse(view), fields={"id": str(todo_id)})


def undo_of(view: str, **fields: str) -> tuple[Offer, ...]:
    """Return the offer to restore what has gone to the trash; none if there is no trash."""
    offer = Offer(label=_("Undo"), url=reverse(view), fields=fields)
    return (offer,) if settings.TODO_TRASH_DAYS else ()


def is_to_confirm(request: PersonRequest) -> bool:
    """Say whether nothing could bring it back, and nobody has said that they know."""
    return not settings.TODO_TRASH_DAYS and "sure" not in request.POST


def confirm(request: PersonRequest, question: str, **fields: int) -> HttpResponse:
    """Ask before something is deleted for good."""
    return page(
        request,
        "todos/confirm.html",
        {"question": question, "fields": fields, "next": next_of(request)},
    )
