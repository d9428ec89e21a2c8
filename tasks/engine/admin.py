"""The admin of background work: schedules to change, runs and processes to look at."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.db.models import DateTimeField, Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django_dramatiq.models import Task
from dramatiq.broker import get_broker

from tasks.engine import words
from tasks.engine.console.run_page import actions_for
from tasks.engine.forms import ScheduleForm
from tasks.engine.models import Process, Schedule, TaskRun, TaskRunQuerySet
from tasks.engine.operations.permissions import VIEW_DETAILS, WITHHELD, may
from tasks.engine.templatetags.background import moment

if TYPE_CHECKING:
    BaseModelAdmin = admin.ModelAdmin[Any]
else:
    BaseModelAdmin = admin.ModelAdmin

#: Slots that a schedule's page shows in advance.
NEXT_SLOTS = 5

# Messages are not recorded there, and its page would show their contents unescaped.
admin.site.unregister(Task)


@cache
def moment_of(field: "DateTimeField[Any, Any]") -> Callable[[Model], str | None]:
    """Return a column, or a read-only field, that shows a moment as the console does."""

    @admin.display(description=field.verbose_name, ordering=field.name)
    def column(row: Model) -> str | None:
        return moment(getattr(row, field.name)) or None

    column.__name__ = field.name
    return column


class EngineAdmin(BaseModelAdmin):
    """Pages of rows that the engine writes: nobody adds or deletes any."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["tasks/console.css"]}
        js = [forms.widgets.Script("tasks/console.js", defer=True)]

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._shown(super().get_list_display(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._shown(super().get_readonly_fields(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": self._shown(options["fields"])})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _shown(self, fields: Iterable[Any]) -> tuple[Any, ...]:
        """Return these fields, with a `moment_of` for each that holds a date and time."""
        moments = {
            field.name: moment_of(field)
            for field in self.opts.get_fields()
            if isinstance(field, DateTimeField)
        }
        return tuple(moments.get(name, name) for name in fields)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(EngineAdmin):
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Schedule)
class ScheduleAdmin(EngineAdmin):
    """Staff change when tasks run; which tasks have a schedule, only the code does."""

    list_display = ("task", "in_words", "time_zone", "enabled", "last_slot", "next_slot")
    ordering = ("task",)

    form = ScheduleForm
    state = ("in_words", "next_times", "effective_since", "last_slot")
    fieldsets = (
        (None, {"fields": ("task", "crontab", "every", "timezone", "enabled", "catch_up_seconds")}),
        ("Current state", {"fields": state}),
    )
    readonly_fields = ("task", *state)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Schedule | None:
        """Return a schedule; lock it if it is about to be saved."""
        found: Schedule | None = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return Schedule.objects.select_for_update().filter(pk=found.pk).first()

    @admin.display(description="times")
    def in_words(self, schedule: Schedule) -> str:
        try:
            return schedule.recurrence.describe()
        except ValueError as error:
            return f"Cannot be used: {error}"

    @admin.display(description="time zone", ordering="timezone")
    def time_zone(self, schedule: Schedule) -> str:
        return schedule.timezone or "the site's"

    @admin.display
    def next_slot(self, schedule: Schedule) -> str:
        slots = next_slots(schedule, 1) if schedule.enabled else []
        return moment(slots[0]) if slots else "-"

    @admin.display(description=f"next {NEXT_SLOTS} times")
    def next_times(self, schedule: Schedule) -> str:
        shown = [(f"{slot:%a %Y-%m-%d %H:%M:%S %Z}",) for slot in next_slots(schedule, NEXT_SLOTS)]
        return format_html_join("", "<div>{}</div>", shown)


def next_slots(schedule: Schedule, count: int) -> list[datetime]:
    """Return the next slots, in the schedule's zone; none if its times make no sense."""
    try:
        times = schedule.recurrence
    except ValueError:
        return []
    zone = ZoneInfo(times.timezone)
    return [slot.astimezone(zone) for slot in islice(times.after(timezone.now()), count)]


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


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    list_display = ("kind", "host", "pid", "queues", "started_at", "seen_at")
    ordering = ("kind", "host", "pid")
