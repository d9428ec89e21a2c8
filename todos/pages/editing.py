"""Editing a todo: on a page, or with a script in its row."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from todos.models import Todo, TodoFields, TrashedTodo
from todos.pages.answers import gone, logged_in, page
from todos.pages.forms import EditForm, form_of, in_plain_words
from todos.pages.given import next_of
from todos.pages.notices import report
from todos.pages.requests import PersonRequest
from todos.pages.rows import due_words
from todos.pages.trash_words import quoted
from todos.services import TodoChanged, TodoNotFound, TodoService


@require_http_methods(["GET", "HEAD", "POST"])
@logged_in
def edit(request: PersonRequest, todo_id: int) -> HttpResponse:
    """Show the form of a todo, or save it."""
    if request.method == "POST":
        return save(request, todo_id)
    todo = Todo.objects.filter(user=request.user, pk=todo_id).first()
    return show(request, todo, form_of(todo)) if todo else gone(request, todo_id)


def save(request: PersonRequest, todo_id: int) -> HttpResponse:
    """Save what was typed; if it cannot be, show it again and say why."""
    form = EditForm(request.POST, auto_id=f"id_{todo_id}_%s")
    try:
        if "restore" in request.POST:
            TodoService.restore(user=request.user, todo_id=todo_id)
        if form.is_valid():
            values = form.cleaned_data
            todo = TodoService.edit(
                user=request.user,
                todo_id=todo_id,
                expected=values["version"],
                title=values["title"],
                description=values["description"],
                due_on=values["due_on"],
            )
            report(request, _("Saved %(title)s.") % {"title": quoted(todo.title)})
            return redirect(next_of(request))
    except ValidationError as invalid:
        form.add_error(None, in_plain_words(invalid))
    except TodoChanged as changed:
        # To save it once more is to know of the other text.
        form.data = {**request.POST.dict(), "version": changed.todo.version}
        theirs = changed.todo
        due = due_words(theirs.due_on, timezone.localdate())
        return show(request, theirs, form, status=409, theirs=theirs, theirs_due=due)
    except TodoNotFound:
        return lost(request, todo_id, form)
    now = Todo.objects.filter(user=request.user, pk=todo_id).first()
    return show(request, now, form, status=422) if now else lost(request, todo_id, form)


def lost(request: PersonRequest, todo_id: int, form: EditForm) -> HttpResponse:
    """Show what was typed for a todo that went to the trash meanwhile; saving it restores that.

    Raises:
        Http404: it is not in the person's trash, either.
    """
    trashed = get_object_or_404(TrashedTodo, user=request.user, pk=todo_id)
    return show(request, trashed, form, status=409, in_trash=True)


def show(
    request: PersonRequest,
    todo: TodoFields,
    form: EditForm,
    *,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    """Show the form.

    Args:
        request: to answer.
        todo: as it is now.
        form: with what was typed.
        status: of the answer.
        context: `theirs`, what somebody saved meanwhile, and `theirs_due`, when that is due, in
            words; `in_trash`, if it went there.
    """
    context |= {"todo": todo, "form": form, "next": next_of(request)}
    row = f"#todo-{todo.pk}"
    return page(request, "todos/edit.html", context, part="row", into=row, status=status)
