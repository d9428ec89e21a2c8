"""The admin's pages of runs: a list to search, and a page of each."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from dramatiq.broker import get_broker

from tasks.engine import words
from tasks.engine.admin.pages import ReadOnlyAdmin
from tasks.engine.console.run_page import actions_for
from tasks.engine.models import TaskRun, TaskRunQuerySet
from tasks.engine.operations.permissions import VIEW_DETAILS, WITHHELD, may


class TaskFilter(admin.SimpleListFilter):
    """Filters runs by task. Django's own filter would read the whole table for the names."""

    title = parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(task, task) for task in sorted(get_broker().actors)]

    def queryset(self, request: HttpRequest, queryset: Any) -> TaskRunQuerySet | None:
        runs: TaskRunQuerySet = queryset
        return runs.filter(task=self.value()) if self.value() else None


#: Fields that may quote what people wrote, and whether a run has anything there.
DETAILS: dict[str, Callable[[TaskRun], bool]] = {
    "traceback": lambda run: bool(run.error),
    "arguments": lambda run: any(run.arguments.values()),
    "result": lambda run: run.result is not None,
    "progress": lambda run: bool(run.progress),
}

#: Nobody may filter by these in the address: that would reveal letter by letter what they hold.
NO_LOOKUPS = {"error", "arguments", "result", "progress"}


def withheld(field: str) -> Callable[[TaskRun], str]:
    """Return a read-only field that says whether a run has something there, and not what."""

    @admin.display(description="error" if field == "traceback" else field)
    def shown(run: TaskRun) -> str:
        return WITHHELD if DETAILS[field](run) else ""

    shown.__name__ = field
    return shown


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

    fieldsets = (
        (None, {"fields": ("task", "state", "reason", "duration", "summary", "result")}),
        ("Error", {"fields": ("traceback",)}),
        (
            "Request",
            {
                "fields": (
                    "trigger",
                    "scheduled_for",
                    "requested_by",
                    "created_at",
                    "arguments",
                    "request_id",
                    "trace_parent",
                )
            },
        ),
        (
            "Message",
            {"fields": ("message_id", "queue", "due_at", "sent_at", "sends", "losses", "delivery")},
        ),
        (
            "Execution",
            {
                "fields": (
                    "started_at",
                    "progressed_at",
                    "stop_requested_at",
                    "finished_at",
                    "worker",
                    "attempts",
                    "failures",
                    "crashes",
                    "progress",
                )
            },
        ),
        ("Acknowledgment", {"fields": ("has_errors", "acknowledged_at", "acknowledged_by")}),
    )

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

    @admin.display(description="error")
    def traceback(self, run: TaskRun) -> str:
        return format_html('<pre class="copyable" tabindex="0">{}</pre>', run.error)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show a run's error, if it has one, and its details to those who may see them."""
        first, error, *others = super().get_fieldsets(request, obj)
        shown: list[Any] = [first, error, *others] if obj and obj.error else [first, *others]
        if may(request.user, VIEW_DETAILS):
            return shown
        return [
            (title, {"fields": [withheld(f) if f in DETAILS else f for f in options["fields"]]})
            for title, options in shown
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run: TaskRun | None = self.get_object(request, object_id)
        actions = actions_for(request.user, run) if run else {}
        context = {**(extra_context or {}), **actions}
        return super().change_view(request, object_id, form_url, context)
