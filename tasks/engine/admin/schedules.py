"""The admin's pages of schedules: staff change when tasks run."""

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join

from tasks.engine.admin.pages import EngineAdmin
from tasks.engine.forms import ScheduleForm
from tasks.engine.models import Schedule
from tasks.engine.templatetags.background import moment

#: Slots that a schedule's page shows in advance.
NEXT_SLOTS = 5


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
