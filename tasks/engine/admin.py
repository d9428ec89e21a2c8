"""The admin of background work: schedules to change, runs and processes to look at."""

import re
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django_dramatiq.models import Task

from accounts.models import User
from tasks.engine.models import Process, Schedule, State, TaskRun, TaskRunQuerySet
from tasks.engine.monitoring.status import WITHHELD
from tasks.engine.operations.runs import can_be_stopped, can_be_undone, may_start
from tasks.names import TaskName

if TYPE_CHECKING:
    ScheduleModelAdmin = admin.ModelAdmin[Schedule]
    ScheduleModelForm = forms.ModelForm[Schedule]
    ReadOnlyModelAdmin = admin.ModelAdmin[Model]
else:
    ScheduleModelAdmin = ReadOnlyModelAdmin = admin.ModelAdmin
    ScheduleModelForm = forms.ModelForm

MINUTE = timedelta(minutes=1)

#: Slots that a schedule's page shows in advance.
NEXT_SLOTS = 5

# We do not record messages there, and its page would show their contents unescaped.
admin.site.unregister(Task)


class ScheduleForm(ScheduleModelForm):
    """What staff may change about a schedule: those fields alone that they did change.

    Each is compared with what the form showed, not with the row: whoever saves a form that was
    opened before somebody paused the schedule does not resume it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @cached_property
    def changed_data(self) -> list[str]:
        """The fields that differ from what the form showed."""
        return [
            name
            for name, field in self.fields.items()
            if field.has_changed(self._shown(name), self[name].data)
        ]

    def clean(self) -> dict[str, Any]:
        """Keep the row's values of fields left alone; refuse a change that crosses another.

        Raises:
            ValidationError: of a field that somebody else has changed meanwhile.
        """
        cleaned = {**self.cleaned_data, **(super().clean() or {})}
        for name, wanted in list(cleaned.items()):
            now = self.initial[name]
            if name not in self.changed_data:
                cleaned[name] = now
            elif now not in (wanted, self._shown(name)):
                text = "Somebody else has changed this meanwhile: it is now %s. Open the page anew."
                self.add_error(name, text % ("empty" if now in ("", None) else now))
        return cleaned

    def _shown(self, name: str) -> Any:
        """Return the value that the form showed; the row's, if the form does not say."""
        field, hidden = self.fields[name], self[name].html_initial_name
        if hidden not in self.data:
            return self.initial[name]
        try:
            return field.to_python(self.data[hidden])
        except ValidationError:
            return self.initial[name]

    def validate_constraints(self) -> None:
        """Leave the database's constraint alone where the times were refused already."""
        if not self.errors:
            super().validate_constraints()


@admin.register(Schedule)
class ScheduleAdmin(ScheduleModelAdmin):
    """When tasks run. Which tasks there are is for `tasks/schedules.py` to say."""

    list_display = ("task", "in_words", "time_zone", "enabled", "last_slot", "next_slot")
    ordering = ("task",)
    show_full_result_count = False

    form = ScheduleForm
    fieldsets = (
        (None, {"fields": ("task", "crontab", "every", "timezone", "enabled", "catch_up_seconds")}),
        (
            "As it stands",
            {"fields": ("in_words", "next_times", "effective_since", "last_slot")},
        ),
    )
    readonly_fields = ("task", "in_words", "next_times", "effective_since", "last_slot")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Schedule | None:
        """Return a schedule; one that is about to be saved is held until it is."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return Schedule.objects.select_for_update().filter(pk=found.pk).first()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: what can be scheduled stands in the code."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Refuse: it would be back at the scheduler's next start."""
        return False

    @admin.display(description="times")
    def in_words(self, schedule: Schedule) -> str:
        """Show when it is due."""
        try:
            return schedule.recurrence.describe()
        except ValueError as error:
            return f"Cannot be used: {error}"

    @admin.display(description="time zone", ordering="timezone")
    def time_zone(self, schedule: Schedule) -> str:
        """Show where its hours are."""
        return schedule.timezone or "the site's"

    @admin.display
    def next_slot(self, schedule: Schedule) -> datetime | None:
        """Show when it is due next, unless it is switched off."""
        return next(iter(next_slots(schedule, 1)), None) if schedule.enabled else None

    @admin.display(description=f"next {NEXT_SLOTS} times")
    def next_times(self, schedule: Schedule) -> str:
        """Show when its times come next, by the clocks of its own zone."""
        shown = [(f"{slot:%a %Y-%m-%d %H:%M:%S %Z}",) for slot in next_slots(schedule, NEXT_SLOTS)]
        return format_html_join("", "<div>{}</div>", shown)


def next_slots(schedule: Schedule, count: int) -> list[datetime]:
    """Return so many slots to come, in the schedule's zone; none if its times make no sense."""
    try:
        times = schedule.recurrence
    except ValueError:
        return []
    zone = ZoneInfo(times.timezone)
    return [slot.astimezone(zone) for slot in islice(times.after(timezone.now()), count)]


class ReadOnlyAdmin(ReadOnlyModelAdmin):
    """Pages to look at what background work itself writes."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False


class TaskFilter(admin.SimpleListFilter):
    """By task; Django's own filter would look through the table for their names."""

    title = parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(name, name) for name in TaskName]

    def queryset(self, request: HttpRequest, queryset: Any) -> TaskRunQuerySet | None:
        """Return the runs that the choice leaves; None for all of them."""
        runs: TaskRunQuerySet = queryset
        return runs.filter(task=self.value()) if self.value() else None


#: Fields that may quote a todo, and what stands in their place for those who may not see any.
WITHHELD_FIELDS = {
    "traceback": "withheld",
    "arguments": "withheld_arguments",
    "result": "withheld_result",
    "progress": "withheld_progress",
}


#: What may quote a todo, so that nobody may look for it by the address: that tells it letter by
#: letter to those from whom it is withheld.
NO_LOOKUPS = {"error", "arguments", "result", "progress"}


@admin.register(TaskRun)
class TaskRunAdmin(ReadOnlyAdmin):
    """The run ledger."""

    list_display = (
        *("id", "task", "state", "trigger", "scheduled_for", "created_at", "duration", "summary"),
    )
    list_display_links = ("id", "task")
    list_filter = ("state", TaskFilter, "trigger", "created_at")
    search_fields = ("id__exact", "message_id__exact", "task__icontains", "worker__icontains")
    search_help_text = "Number, task, worker or message id"
    # The newest first, by an index that is there anyway.
    ordering = ("-id",)

    fieldsets = (
        (None, {"fields": ("task", "state", "reason", "duration", "summary", "result")}),
        ("Error", {"fields": ("traceback",)}),
        (
            "Asked for",
            {"fields": ("trigger", "scheduled_for", "requested_by", "created_at", "arguments")},
        ),
        (
            "Sent",
            {"fields": ("message_id", "queue", "due_at", "sent_at", "sends", "losses", "delivery")},
        ),
        (
            "At work",
            {
                "fields": (
                    *("started_at", "progressed_at", "stop_requested_at", "finished_at", "worker"),
                    *("attempts", "failures", "crashes", "progress"),
                )
            },
        ),
        ("Acknowledged", {"fields": ("has_errors", "acknowledged_at", "acknowledged_by")}),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse filters in the address by what is withheld."""
        field = lookup.partition("__")[0]
        return field not in NO_LOOKUPS and super().lookup_allowed(lookup, value, request)

    @admin.display
    def duration(self, run: TaskRun) -> timedelta | None:
        """Show how long it took, from its first start to its end."""
        if run.started_at is None or run.finished_at is None:
            return None
        took = run.finished_at - run.started_at
        # Nobody reads microseconds.
        return timedelta(seconds=round(took.total_seconds(), 1 if took < MINUTE else 0))

    @admin.display
    def summary(self, run: TaskRun) -> str:
        """Show what it counted."""
        return run.summary

    @admin.display(description="error")
    def traceback(self, run: TaskRun) -> str:
        """Show its error as it was written."""
        return format_html('<pre class="copyable" tabindex="0">{}</pre>', run.error)

    @admin.display(description="error")
    def withheld(self, run: TaskRun) -> str:
        """Show that there is one: its text may quote a todo."""
        return WITHHELD

    @admin.display(description="arguments")
    def withheld_arguments(self, run: TaskRun) -> str:
        """Show that there are some."""
        return WITHHELD if any(run.arguments.values()) else ""

    @admin.display(description="result")
    def withheld_result(self, run: TaskRun) -> str:
        """Show that there is one; what it counted is in the summary."""
        return WITHHELD if run.result is not None else ""

    @admin.display(description="progress")
    def withheld_progress(self, run: TaskRun) -> str:
        """Show that there is some; what it counted is in the summary."""
        return WITHHELD if run.progress else ""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show a run's error, if it has one, and what else might quote a todo, to those who may."""
        first, error, *others = super().get_fieldsets(request, obj)
        shown: list[Any] = [first, error, *others] if obj and obj.error else [first, *others]
        if request.user.has_perm("todos.view_todo"):
            return shown
        return [
            (title, {"fields": tuple(WITHHELD_FIELDS.get(name, name) for name in of["fields"])})
            for title, of in shown
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a run, and what can be done about it."""
        run: Any = self.get_object(request, object_id)
        more = self.context(request.user, run) if run else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def context(self, user: Any, run: TaskRun) -> dict[str, Any]:
        """Return what somebody can do about a run, and why it was ended."""
        can_stop = user.has_perm("tasks.stop_taskrun") and can_be_stopped(run)
        failed = run.state == State.FAILED or run.has_errors
        return {
            "reason": with_name(run.reason),
            "can_run_again": run.is_finished and may_start(user, run.task),
            "can_acknowledge": failed
            and run.acknowledged_at is None
            and user.has_perm("tasks.acknowledge_taskrun"),
            "can_stop": can_stop,
            # Of one that waits for its next turn, the two are the same.
            "can_cancel": run.can_be_cancelled
            and not can_stop
            and user.has_perm("tasks.cancel_taskrun"),
            "can_undo": may_start(user, TaskName.TODO_RESTORE) and can_be_undone(run),
        }


def with_name(reason: str) -> str:
    """Return a reason that names a user by number with their name, if there still is one."""
    found = re.search(r"\buser (\d{1,18})\.$", reason)
    user = User.objects.filter(pk=int(found[1])).first() if found else None
    return f"{reason[:-1]} ({user.get_username()})." if user else reason


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    """Who is there."""

    list_display = ("kind", "host", "pid", "queues", "started_at", "seen_at")
    ordering = ("kind", "host", "pid")
