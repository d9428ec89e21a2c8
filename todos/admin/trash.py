"""The admin of the trash."""

from datetime import timedelta

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.options import ActionLocation
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.staff.log import by_id, log_selection
from accounts.staff.rights import StaffRequest, may
from accounts.staff.selection import as_selection, held
from todos.admin.base import BaseTodoAdmin, OptionFilter
from todos.models import Todo, TrashedTodo, TrashedTodoQuerySet
from todos.services import TodoService


class RemovedByFilter(OptionFilter[TrashedTodoQuerySet]):
    title = "removed by"
    parameter_name = "by"
    options = {
        "cleanup": ("The cleanup", TrashedTodoQuerySet.swept),
        "person": ("A person", lambda todos: todos.filter(trashed_by__isnull=False)),
    }


@admin.register(TrashedTodo)
class TrashedTodoAdmin(BaseTodoAdmin):
    """The trash. Staff view it and restore from it; they edit and delete nothing here."""

    list_display = (
        *("id", "short_title", "owner", "completed_at", "trashed_at", "removed_by", "days_left"),
    )
    list_filter = (RemovedByFilter, "trashed_at")
    search_fields = ("title", "user__username", "run_id__exact")
    search_help_text = "Title, username or the number of a run"

    fields = (
        *("owner", "title", "description", "due_on", "completed_at", "created_at"),
        *("trashed_at", "removed_by", "days_left"),
    )
    actions = ("restore",)

    def get_queryset(self, request: HttpRequest) -> TrashedTodoQuerySet:
        """Return the whole trash: a join would leave out todos without an owner."""
        return TrashedTodo.objects.prefetch_related("user", "trashed_by")

    @admin.display(ordering="user")
    def owner(self, todo: TrashedTodo) -> str:
        try:
            return todo.user.username
        except User.DoesNotExist:
            return f"user {todo.user_id}, deleted"

    @admin.display
    def removed_by(self, todo: TrashedTodo) -> str:
        if todo.run_id is not None:
            return f"cleanup, run {todo.run_id}"
        return todo.trashed_by.username if todo.trashed_by else "a person, deleted"

    @admin.display(description="days left", ordering="trashed_at")
    def days_left(self, todo: TrashedTodo) -> str:
        end = todo.trashed_at + timedelta(days=max(settings.TODO_TRASH_DAYS, todo.trash_days))
        left = end - timezone.now()
        return f"{left.days + 1}" if left > timedelta(0) else "until the next purge"

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return may(request, "restore", TrashedTodo)

    def has_add_permission(self, request: HttpRequest, obj: TrashedTodo | None = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    @admin.action(
        permissions=["restore"],
        description="Restore",
        description_plural="Restore selected todos",
        location=[ActionLocation.CHANGE_LIST, ActionLocation.CHANGE_FORM],
    )
    def restore(self, request: StaffRequest, queryset: TrashedTodoQuerySet) -> HttpResponse | None:
        trash = TrashedTodo.objects.all()
        with held(as_selection(trash, queryset)) as (found, selection):
            report = TodoService.restore_selected(todos=selection)
            count = report["todos_restored"]
            left = set(as_selection(trash, found).values_list("pk", flat=True))
            restored = as_selection(Todo.objects.all(), [t for t in found if t.pk not in left])
            log_selection(request.user, list(restored), count, CHANGE, "Restored.", name=by_id)
        self.say_changed(request, count, "restored")
        if report["todos_left"]:
            text = f"{report['todos_left']:,} not restored: {report['errors'][0]['reason']}."
            self.message_user(request, text, messages.WARNING)
        changelist = reverse("admin:todos_trashedtodo_changelist")
        # The todo's own page, where the action may have started, no longer exists.
        return None if request.path == changelist else redirect(changelist)
