"""The admin of todos. Whatever it changes, it changes through `TodoService`."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import ngettext

from accounts.models import User
from todos.models import Todo, TodoQuerySet
from todos.services import TodoNotFound, TodoService

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Todo]
    ModelForm = forms.ModelForm[Todo]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm

#: A selection larger than this is logged as a whole, and is not deleted: Django would load it.
MAX_ONE_BY_ONE = 1_000

#: Characters of a title that a row of the list has room for.
TITLE_LENGTH = 50


class StaffRequest(HttpRequest):
    """A request to the admin: somebody has logged in."""

    user: User


class TodoFilter(admin.SimpleListFilter):
    """A filter of todos.

    Attributes:
        options: for each value in the address, what to call it and which todos it leaves.
    """

    options: dict[str, tuple[str, Callable[[TodoQuerySet], TodoQuerySet]]]

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(value, label) for value, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> TodoQuerySet:
        """Return the todos that the choice leaves; all of them, if there is no such choice."""
        _, chosen = self.options.get(self.value() or "", ("", TodoQuerySet.all))
        return chosen(queryset)


class StateFilter(TodoFilter):
    """Open or completed.

    Django's own filter for `is_completed` would first look through the table for its values.
    """

    title = "state"
    parameter_name = "state"
    options = {
        "open": ("Open", TodoQuerySet.open),
        "completed": ("Completed", TodoQuerySet.completed),
    }


class DueFilter(TodoFilter):
    """When a todo is due: unlike Django's own filter for dates, it looks ahead."""

    title = "due"
    parameter_name = "due"
    options = {
        "overdue": ("Overdue", lambda todos: todos.open().filter(due_on__lt=today())),
        "today": ("Today", lambda todos: todos.filter(due_on=today())),
        "week": ("Within 7 days", lambda todos: todos.filter(due_on__range=(today(), today(7)))),
        "none": ("No due date", lambda todos: todos.filter(due_on__isnull=True)),
    }


def today(plus_days: int = 0) -> date:
    """Return the site's date, or that of some days later."""
    return timezone.localdate() + timedelta(days=plus_days)


class TodoForm(ModelForm):
    """A todo's form: what the model lets people edit, and whether it is done.

    Django 6.1 could offer the actions here as well. Their button would be the form's first, so that
    the Enter key would press it and lose what was typed.
    """

    # Compared with what the form showed, not with the row: a todo that its owner completes while
    # the form is open must not be reopened by saving it.
    done = forms.BooleanField(label="Done", required=False, show_hidden_initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("done", self.instance.completed_at is not None)


@admin.register(Todo)
class TodoAdmin(ModelAdmin):
    """Todos of all people."""

    list_display = ("id", "short_title", "user", "done", "due_on", "completed_at", "created_at")
    list_display_links = ("id", "short_title")
    list_filter = (StateFilter, DueFilter, "completed_at", "created_at")
    list_select_related = ("user",)
    search_fields = ("title", "user__username")
    search_help_text = "Title or username"
    # The newest first, by an index that is there anyway.
    ordering = ("-id",)
    # Measured with a million todos: this page takes 0.1 s. A second count makes it half as slow
    # again, a date hierarchy three times as slow (2.5 s on SQLite). Django's counts for each filter
    # ("facets") grow with the square of the table: PostgreSQL had not done them in 10 minutes.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    delete_confirmation_max_display = 20

    form = TodoForm
    fieldsets = (
        (None, {"fields": ("user", "title", "description", "due_on")}),
        ("State", {"fields": ("done", "completed_at", "created_at")}),
    )
    readonly_fields = ("completed_at", "created_at")
    autocomplete_fields = ("user",)
    actions = ("complete", "reopen", "delete_selected")

    class Media:
        css = {"all": ["todos/admin.css"]}

    @admin.display(description="title", ordering="title")
    def short_title(self, todo: Todo) -> str:
        """Show as much of the title as fits."""
        return Truncator(todo.title).chars(TITLE_LENGTH)

    @admin.display(ordering="completed_at", boolean=True)
    def done(self, todo: Todo) -> bool:
        """Show whether the todo is completed."""
        return todo.completed_at is not None

    def get_readonly_fields(self, request: HttpRequest, obj: Todo | None = None) -> tuple[str, ...]:
        """Keep the owner of a todo that there is: nobody is handed somebody else's."""
        return self.readonly_fields if obj is None else ("user", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Todo, form: TodoForm, change: bool) -> None:
        """Create or edit, complete or reopen through the service.

        Raises:
            Http404: the todo was swept or deleted while the form was open.
        """
        fields = ("title", "description", "due_on")
        new: dict[str, Any] = {name: getattr(obj, name) for name in fields}
        try:
            if change:
                saved = TodoService.edit(user=obj.user, todo_id=obj.pk, **new)
            else:
                saved = TodoService.create(user=obj.user, **new)
            if "done" in form.changed_data:
                verb = TodoService.complete if form.cleaned_data["done"] else TodoService.reopen
                verb(user=obj.user, todo_id=saved.pk)
        except TodoNotFound as error:
            raise Http404(f"Todo {obj.pk} is no longer there.") from error
        # Django goes on with this object: its message and its log name it.
        obj.pk, obj.title = saved.pk, saved.title

    def delete_model(self, request: HttpRequest, obj: Todo) -> None:
        """Delete through the service. A todo that has gone meanwhile is as good as deleted."""
        with suppress(TodoNotFound):
            TodoService.delete(user=obj.user, todo_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Todo]) -> None:
        """Delete a selection through the service."""
        for todo in queryset:
            self.delete_model(request, todo)

    @admin.action(permissions=["delete"], description="Delete selected todos")
    def delete_selected(self, request: HttpRequest, queryset: TodoQuerySet) -> HttpResponse | None:
        """Delete a selection as Django does, unless it is too large to load."""
        if queryset.count() <= MAX_ONE_BY_ONE:
            return delete_selected(self, request, queryset)
        text = f"Nothing was deleted: select at most {MAX_ONE_BY_ONE:,} todos at a time."
        self.message_user(request, text, messages.ERROR)
        return None

    @admin.action(permissions=["change"], description="Complete selected todos")
    def complete(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        """Mark the open ones of a selection as done."""
        with transaction.atomic():
            found = some(queryset.open())
            changed = TodoService.complete_selected(todos=by_id(queryset))
            log(request.user, found, changed, "Completed.")
        text = ngettext("%s todo completed.", "%s todos completed.", changed)
        self.message_user(request, text % f"{changed:,}", level(changed))

    @admin.action(permissions=["change"], description="Reopen selected todos")
    def reopen(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        """Mark the completed ones of a selection as still to be done."""
        with transaction.atomic():
            found = some(queryset.completed())
            changed = TodoService.reopen_selected(todos=by_id(queryset))
            log(request.user, found, changed, "Reopened.")
        text = ngettext("%s todo reopened.", "%s todos reopened.", changed)
        self.message_user(request, text % f"{changed:,}", level(changed))


def by_id(selection: TodoQuerySet) -> TodoQuerySet:
    """Return the same todos without the joins of a search, as an UPDATE needs it.

    Else its conditions would hold for the todos as they were found, not as they are once a
    concurrent change is through.
    """
    return Todo.objects.filter(pk__in=selection.order_by().values("pk"))


def some(todos: TodoQuerySet) -> list[Todo]:
    """Return the todos, or one more than are logged one by one."""
    return list(todos[: MAX_ONE_BY_ONE + 1])


def log(user: User, todos: list[Todo], changed: int, message: str) -> None:
    """Write to the admin's log what was done to a selection: a line each, or one for very many."""
    if len(todos) <= MAX_ONE_BY_ONE:
        LogEntry.objects.log_actions(user.pk, todos, CHANGE, message)
        return
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(Todo),
        object_repr=f"{changed:,} todos",
        action_flag=CHANGE,
        change_message=message,
    )


def level(changed: int) -> int:
    """Return how a message about so many changes should look."""
    return messages.SUCCESS if changed else messages.WARNING
