"""The admin's pages of runs: a list to search, and a page of each."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from dramatiq.broker import get_broker

from tasks.engine import words
from tasks.engine.admin.pages import ReadOnlyAdmin
from tasks.engine.console.run_page import read_run_page
from tasks.engine.models import TaskRun, TaskRunQuerySet


class TaskFilter(admin.SimpleListFilter):
    """Filters runs by task. Django's own filter would read the whole table for the names."""

    title = parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(task, task) for task in sorted(get_broker().actors)]

    def queryset(self, request: HttpRequest, queryset: Any) -> TaskRunQuerySet | None:
        runs: TaskRunQuerySet = queryset
        return runs.filter(task=self.value()) if self.value() else None


#: Nobody may filter by these in the address: that would reveal letter by letter what they hold.
NO_LOOKUPS = {"error", "arguments", "result", "progress"}


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "task",
        "state",
        "trigger",
        "scheduled_for",
        "created_at",
        "duration",
        "summary",
    )
    list_display_links = ("id", "task")
    list_filter = ("state", TaskFilter, "trigger", "created_at")
    search_fields = ("id__exact", "message_id__exact", "task__icontains", "worker__icontains")
    search_help_text = "Number, task, worker or message id"
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        field = lookup.partition("__")[0]
        return field not in NO_LOOKUPS and super().lookup_allowed(lookup, value, request)

    @admin.display
    def duration(self, run: TaskRun) -> str | None:
        if run.started_at is None or run.finished_at is None:
            return None
        return words.duration((run.finished_at - run.started_at).total_seconds(), tenths=True)

    @admin.display
    def summary(self, run: TaskRun) -> str:
        return run.summary

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the console's page of a run; whatever the admin refuses, it refuses as ever."""
        run: TaskRun | None = self.get_object(request, unquote(object_id))
        is_shown = run is not None and self.has_view_permission(request, run)
        if run is None or not is_shown or request.method not in {"GET", "HEAD"}:
            return super().change_view(request, object_id, form_url, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "title": str(run),
            **read_run_page(run.pk, request.user),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "tasks/console/run.html", context)
