"""The admin of todos. It writes through `TodoService` only."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE
from django.http import Http404, HttpRequest
from django.utils import timezone

from accounts.models import User
from accounts.staff.deletion import LargeDeletion
from accounts.staff.log import by_id, log_selection
from accounts.staff.rights import StaffRequest
from accounts.staff.selection import as_selection, held
from todos.admin.base import BaseTodoAdmin, OptionFilter
from todos.bounds import MAX_TODOS
from todos.models import Todo, TodoQuerySet
from todos.services import TodoNotFound, TodoService


class StateFilter(OptionFilter[TodoQuerySet]):
    """Open or completed. Django's filter for `is_completed` would search the table for values."""

    title = "state"
    parameter_name = "state"
    options = {
        "open": ("Open", TodoQuerySet.open),
        "completed": ("Completed", TodoQuerySet.completed),
    }


class DueFilter(OptionFilter[TodoQuerySet]):
    """When a todo is due. Unlike Django's own filter for dates, it looks ahead."""

    title = "due"
    parameter_name = "due"
    options = {
        "overdue": ("Overdue", lambda todos: todos.open().filter(due_on__lt=today())),
        "today": ("Today", lambda todos: todos.filter(due_on=today())),
        "week": ("Within 7 days", lambda todos: todos.filter(due_on__range=(today(), today(7)))),
        "none": ("No due date", lambda todos: todos.filter(due_on__isnull=True)),
    }


def today(plus_days: int = 0) -> date:
    return timezone.localdate() + timedelta(days=plus_days)


class TodoForm(forms.ModelForm):  # type: ignore[type-arg]  # Not generic at run time.
    """A todo's form: the fields that `TodoAdmin.fieldsets` names, and whether it is done.

    The actions are not offered here, as Django 6.1 could do: their button would be the form's
    first, so that the Enter key would press it and lose the input.
    """

    # Compared with what the form showed, not with the row: if the owner completes the todo while
    # the form is open, saving it must not reopen the todo.
    done = forms.BooleanField(label="Done", required=False, show_hidden_initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("done", self.instance.completed_at is not None)

    def clean_user(self) -> User:
        """Refuse an owner whose list is full."""
        user: User = self.cleaned_data["user"]
        if self.instance.pk is None and not TodoService.has_room(user=user):
            raise forms.ValidationError(f"Their list is full: it has {MAX_TODOS:,} todos.")
        return user


@admin.register(Todo)
class TodoAdmin(BaseTodoAdmin, LargeDeletion):
    """The list of all todos."""

    list_display = ("id", "short_title", "user", "done", "due_on", "completed_at", "created_at")
    list_filter = (StateFilter, DueFilter, "completed_at", "created_at")
    list_select_related = ("user",)
    search_fields = ("title", "user__username")
    search_help_text = "Title or username"

    form = TodoForm
    fieldsets = (
        (None, {"fields": ("user", "title", "description", "due_on")}),
        ("State", {"fields": ("done", "completed_at", "created_at")}),
    )
    readonly_fields = ("completed_at", "created_at")
    autocomplete_fields = ("user",)
    actions = ("complete", "reopen", "delete_selected")

    @admin.display(ordering="completed_at", boolean=True)
    def done(self, todo: Todo) -> bool:
        return todo.completed_at is not None

    def get_readonly_fields(self, request: HttpRequest, obj: Todo | None = None) -> tuple[str, ...]:
        """Allow a choice of owner for a new todo only."""
        return self.readonly_fields if obj is None else ("user", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Todo, form: TodoForm, change: bool) -> None:
        """Create or edit, complete or reopen through the service.

        Raises:
            Http404: the todo was swept or deleted while the form was open.
        """
        values: Any = {
            name: value for name, value in form.cleaned_data.items() if name not in {"user", "done"}
        }
        try:
            if change:
                saved = TodoService.edit(user=obj.user, todo_id=obj.pk, **values)
            else:
                saved = TodoService.create(user=obj.user, **values)
            if "done" in form.changed_data:
                verb = TodoService.complete if form.cleaned_data["done"] else TodoService.reopen
                verb(user=obj.user, todo_id=saved.pk)
        except TodoNotFound as error:
            raise Http404(f"Todo {obj.pk} no longer exists.") from error
        # Django's message and log name this object.
        obj.pk, obj.title = saved.pk, saved.title

    def delete_many(self, request: StaffRequest, queryset: TodoQuerySet) -> int:
        return TodoService.delete_selected(todos=queryset, by=request.user)

    def deletion_notice(self) -> str:
        days = settings.TODO_TRASH_DAYS
        return f"They can be restored from the trash for {days} days." if days else ""

    @admin.action(permissions=["change"], description="Complete selected todos")
    def complete(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        todos = as_selection(Todo.objects.all(), queryset).open()
        self._change_many(request, todos, TodoService.complete_selected, "completed")

    @admin.action(permissions=["change"], description="Reopen selected todos")
    def reopen(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        todos = as_selection(Todo.objects.all(), queryset).completed()
        self._change_many(request, todos, TodoService.reopen_selected, "reopened")

    def _change_many(
        self, request: StaffRequest, todos: TodoQuerySet, change: Callable[..., int], verb: str
    ) -> None:
        with held(todos) as (found, selection):
            changed = change(todos=selection)
            message = f"{verb.capitalize()}."
            log_selection(request.user, found, changed, CHANGE, message, name=by_id)
        self.say_changed(request, changed, verb)
