"""The admin of todos. Whatever it changes, it changes through `TodoService`."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.options import ActionLocation
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import ngettext

from accounts.deletion import LargeDeletion
from accounts.models import User
from accounts.staff import LoggedById, StaffRequest, as_selection, by_id, held, log, may
from todos.models import Todo, TodoQuerySet, TrashedTodo, TrashedTodoQuerySet
from todos.services import TodoNotFound, TodoService

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Todo]
else:
    ModelForm = forms.ModelForm

#: Characters of a title that a row of the list has room for.
TITLE_LENGTH = 50


class OptionFilter[Q: QuerySet[Any]](admin.SimpleListFilter):
    """A filter with a few choices.

    Attributes:
        options: for each value in the address, what to call it and which rows it leaves.
    """

    options: dict[str, tuple[str, Callable[[Q], Q]]]

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(value, label) for value, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Q:
        """Return the rows that the choice leaves; all of them, if there is no such choice."""
        _, chosen = self.options.get(self.value() or "", ("", lambda rows: rows))
        rows: Q = chosen(queryset)
        return rows


class StateFilter(OptionFilter[TodoQuerySet]):
    """Open or completed.

    Django's own filter for `is_completed` would first look through the table for its values.
    """

    title = "state"
    parameter_name = "state"
    options = {
        "open": ("Open", TodoQuerySet.open),
        "completed": ("Completed", TodoQuerySet.completed),
    }


class DueFilter(OptionFilter[TodoQuerySet]):
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
class TodoAdmin(LargeDeletion):
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
        return short(todo)

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

    def delete_many(self, request: StaffRequest, queryset: TodoQuerySet) -> int:
        """Delete a selection through the service."""
        return TodoService.delete_selected(todos=as_selection(Todo, queryset), by=request.user)

    def fate(self) -> str:
        """Say whether they can be brought back."""
        days = settings.TODO_TRASH_DAYS
        return f"They can be restored from the trash for {days} days." if days else ""

    @admin.action(permissions=["change"], description="Complete selected todos")
    def complete(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        """Mark the open ones of a selection as done."""
        with held(as_selection(Todo, queryset).open()) as (found, selection):
            changed = TodoService.complete_selected(todos=selection)
            log(request.user, found, changed, CHANGE, "Completed.", name=by_id)
        text = ngettext("%s todo completed.", "%s todos completed.", changed)
        self.message_user(request, text % f"{changed:,}", level(changed))

    @admin.action(permissions=["change"], description="Reopen selected todos")
    def reopen(self, request: StaffRequest, queryset: TodoQuerySet) -> None:
        """Mark the completed ones of a selection as still to be done."""
        with held(as_selection(Todo, queryset).completed()) as (found, selection):
            changed = TodoService.reopen_selected(todos=selection)
            log(request.user, found, changed, CHANGE, "Reopened.", name=by_id)
        text = ngettext("%s todo reopened.", "%s todos reopened.", changed)
        self.message_user(request, text % f"{changed:,}", level(changed))


class TakenByFilter(OptionFilter[TrashedTodoQuerySet]):
    """Who took it off the list."""

    title = "taken by"
    parameter_name = "by"
    options = {
        "cleanup": ("The cleanup", TrashedTodoQuerySet.swept),
        "person": ("A person", lambda todos: todos.filter(trashed_by__isnull=False)),
    }


@admin.register(TrashedTodo)
class TrashedTodoAdmin(LoggedById):
    """The trash: to look into, and to bring back from."""

    list_display = (
        *("id", "short_title", "owner", "completed_at", "trashed_at", "taken_by", "days_left"),
    )
    list_display_links = ("id", "short_title")
    list_filter = (TakenByFilter, "trashed_at")
    search_fields = ("title", "user__username", "run_id__exact")
    search_help_text = "Title, username or the number of a run"
    ordering = ("-id",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    fields = (
        *("owner", "title", "description", "due_on", "completed_at", "created_at"),
        *("trashed_at", "taken_by", "days_left"),
    )
    actions = ("restore",)

    class Media:
        css = {"all": ["todos/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> TrashedTodoQuerySet:
        """Return the trash, those without an owner included: a join would leave them out."""
        return TrashedTodo.objects.prefetch_related("user", "trashed_by")

    @admin.display(description="title", ordering="title")
    def short_title(self, todo: TrashedTodo) -> str:
        """Show as much of the title as fits."""
        return short(todo)

    @admin.display(ordering="user")
    def owner(self, todo: TrashedTodo) -> str:
        """Show whose it is."""
        try:
            return todo.user.username
        except User.DoesNotExist:
            return f"user {todo.user_id}, deleted"

    @admin.display
    def taken_by(self, todo: TrashedTodo) -> str:
        """Show who took it off the list."""
        if todo.run_id is not None:
            return f"cleanup, run {todo.run_id}"
        return todo.trashed_by.username if todo.trashed_by else "a person, deleted"

    @admin.display(description="days left", ordering="trashed_at")
    def days_left(self, todo: TrashedTodo) -> str:
        """Show for how long it can still be brought back."""
        end = todo.trashed_at + timedelta(days=max(settings.TODO_TRASH_DAYS, todo.trash_days))
        left = end - timezone.now()
        return f"{left.days + 1}" if left > timedelta(0) else "until the next purge"

    def has_restore_permission(self, request: HttpRequest) -> bool:
        """Say whether who asks may bring todos back."""
        return may(request, "restore", TrashedTodo)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: todos come here from the list."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TrashedTodo | None = None) -> bool:
        """Refuse: what comes back is to be as it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TrashedTodo | None = None) -> bool:
        """Refuse: that is for the purge."""
        return False

    @admin.action(
        permissions=["restore"],
        description="Restore",
        description_plural="Restore selected todos",
        location=[ActionLocation.CHANGE_LIST, ActionLocation.CHANGE_FORM],
    )
    def restore(self, request: StaffRequest, queryset: TrashedTodoQuerySet) -> HttpResponse | None:
        """Bring a selection back."""
        with held(as_selection(TrashedTodo, queryset)) as (found, selection):
            report = TodoService.restore_selected(todos=selection)
            restored = report["todos_restored"]
            left = set(as_selection(TrashedTodo, found).values_list("pk", flat=True))
            back = list(as_selection(Todo, [row for row in found if row.pk not in left]))
            log(request.user, back, restored, CHANGE, "Restored.", name=by_id)
        text = ngettext("%s todo restored.", "%s todos restored.", restored)
        self.message_user(request, text % f"{restored:,}", level(restored))
        if report["todos_left"]:
            text = f"{report['todos_left']:,} not restored: {report['errors'][0]['reason']}."
            self.message_user(request, text, messages.WARNING)
        trash = reverse("admin:todos_trashedtodo_changelist")
        # Asked for on its own page, which there is no longer.
        return None if request.path == trash else redirect(trash)


def short(todo: Todo | TrashedTodo) -> str:
    """Return as much of a title as a row has room for."""
    return Truncator(todo.title).chars(TITLE_LENGTH)


def level(changed: int) -> int:
    """Return how a message about so many changes should look."""
    return messages.SUCCESS if changed else messages.WARNING
