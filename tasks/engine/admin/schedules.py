"""The admin's pages of schedules: staff change when tasks run."""

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Field
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html_join
from dramatiq.broker import get_broker

from tasks.engine.admin.pages import EngineAdmin
from tasks.engine.console.schedule_words import NEXT_STARTS, next_starts, pause_in_words
from tasks.engine.console.sparkline import sparklines
from tasks.engine.forms import ScheduleForm
from tasks.engine.models import Schedule
from tasks.engine.operations.permissions import VIEW_DETAILS, WITHHELD, may, may_start
from tasks.engine.scheduler.defaults import default_schedules
from tasks.engine.templatetags.background import moment


@admin.register(Schedule)
class ScheduleAdmin(EngineAdmin):
    """Staff add schedules of their own, and change when tasks run.

    Those that the code asks for are not deleted: a scheduler would add them again.
    """

    list_display = ("task", "name", "in_words", "state", "last_slot", "next_start")
    list_display_links = ("task",)
    ordering = ("task", "name")
    actions = None
    editable_moments = ("once_at",)

    form = ScheduleForm
    times = ("crontab", "every", "once_at", "timezone", "jitter_seconds", "overlap")
    state_fields = (
        *("state", "in_words", "next_times", "last_slots", "last_slot", "effective_since"),
    )
    fieldsets = (
        (None, {"fields": ("task", "name", "arguments", *times, "catch_up_seconds")}),
        ("Current state", {"fields": state_fields}),
    )
    readonly_fields = state_fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("paused_by")

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        """Return what to fill in of a new one; of others, their state, too."""
        shown = super().get_fieldsets(request, obj)
        if obj is None:
            return shown[:1]
        arguments = arguments_for(request, obj)
        return [
            (title, {"fields": [arguments if f == "arguments" else f for f in options["fields"]]})
            for title, options in shown
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return fields
        arguments = arguments_for(request, obj)
        return ("task", "name", *(() if isinstance(arguments, str) else (arguments,)), *fields)

    def formfield_for_dbfield(
        self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return a form's field; the task of a new schedule is one that its maker may start."""
        if db_field.name != "task":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        tasks = [name for name in sorted(get_broker().actors) if may_start(request.user, name)]
        return forms.ChoiceField(choices=[("", "---------"), *((task, task) for task in tasks)])

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address fills in of a new schedule; arguments are JSON there as well."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        if "arguments" in given:
            given["arguments"] = InvalidJSONInput(given["arguments"])  # To be shown as it is.
        return given

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        schedule = super().get_object(request, object_id)
        context = {
            **(extra_context or {}),
            "is_active": schedule is not None and schedule.is_active,
            "can_start": schedule is not None and may_start(request.user, schedule.task),
        }
        return super().change_view(request, object_id, form_url, context)

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

    @admin.display
    def state(self, schedule: Schedule) -> str:
        return pause_in_words(schedule) or "active"

    @admin.display(description="next run")
    def next_start(self, schedule: Schedule) -> str:
        starts = next_starts(schedule, timezone.now(), 1) if schedule.is_active else []
        return moment(starts[0]) if starts else "-"

    @admin.display(description=f"next {NEXT_STARTS} runs")
    def next_times(self, schedule: Schedule) -> str:
        if not schedule.is_active:
            return "none while it is paused"
        starts = next_starts(schedule, timezone.now())
        return format_html_join("", "<div>{}</div>", [(moment(start),) for start in starts])

    @admin.display(description="last slots")
    def last_slots(self, schedule: Schedule) -> str:
        line = sparklines([schedule]).get(schedule.pk)
        return render_to_string("tasks/console/sparkline.html", {"line": line}) if line else "-"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "tasks.add_schedule")

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Say whether it may be deleted: not if the code asks for it."""
        if not may(request.user, "tasks.delete_schedule"):
            return False
        return obj is None or (obj.task, obj.name) not in {one.key for one in default_schedules()}


def arguments_for(request: HttpRequest, schedule: Schedule) -> str | Callable[[Schedule], str]:
    """Return the field of a schedule's arguments: to fill in, or to be read, as far as one may.

    To change them is to start the task with others, so who does needs the permission for that.
    """
    if not may(request.user, VIEW_DETAILS):
        return arguments_withheld
    return "arguments" if may_start(request.user, schedule.task) else arguments_shown


@admin.display(description="arguments")
def arguments_shown(schedule: Schedule) -> str:
    return json.dumps(schedule.arguments) if schedule.arguments else ""


@admin.display(description="arguments")
def arguments_withheld(schedule: Schedule) -> str:
    return WITHHELD if schedule.arguments else ""
