"""What a schedule in a form would do, in words and with its next times, before it is saved."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.forms.models import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_POST
from dramatiq.broker import get_broker

from tasks.engine.console.requests import for_staff, is_live
from tasks.engine.console.schedule_words import in_words, next_starts
from tasks.engine.console.start_form import StartForm
from tasks.engine.forms import NAME_TAKEN, ScheduleForm
from tasks.engine.models import Schedule

FIELDS = (
    *("arguments", "crontab", "every", "once_at", "timezone", "jitter_seconds", "overlap"),
    "catch_up_seconds",
)


@require_POST
@for_staff("tasks.view_schedule")
def coming_times(request: HttpRequest) -> HttpResponse:
    """Show what a posted form says; nothing is saved."""
    given = {**request.POST.dict(), **request.GET.dict()}
    schedule = Schedule(task=given.get("task", ""), name=given.get("name", ""))
    form: Any = modelform_factory(Schedule, form=ScheduleForm, fields=FIELDS)(
        {**defaults(), **request.POST.dict()}, instance=schedule
    )
    stored = Schedule.objects.filter(task=schedule.task, name=schedule.name).first()
    context: dict[str, Any] = {
        **({} if is_live(request) else admin.site.each_context(request)),
        "title": "Next times",
        "base": "tasks/console/bare.html" if is_live(request) else "admin/base_site.html",
        "task": schedule.task,
        "parameters": parameters_of(schedule.task),
    }
    if form.is_valid():
        words = in_words(schedule, with_arguments=True)
        context |= {
            "words": words,
            "starts": next_starts(schedule, timezone.now()),
            "is_paused": stored is not None and not stored.is_active,
            "is_saved": is_saved(
                schedule, stored, [name for name in FIELDS if name in request.POST]
            ),
        }
    else:
        context["faults"] = list(faults(form))
    if "task" not in request.GET and stored:
        context["faults"] = [NAME_TAKEN, *context.get("faults", ())]
    return TemplateResponse(request, "tasks/console/coming_times.html", context)


def parameters_of(task: str) -> list[tuple[str, str]]:
    """Return a task's parameters and what is said of each; none if the task is not known."""
    actor = get_broker().actors.get(task)
    fields = StartForm(actor).fields if actor else {}
    return [(name, str(field.help_text)) for name, field in fields.items()]


def is_saved(schedule: Schedule, stored: Schedule | None, names: Sequence[str]) -> bool:
    """Say whether a schedule is stored with the values that these fields have in a form."""
    return stored is not None and all(
        getattr(stored, name) == getattr(schedule, name) for name in names
    )


def defaults() -> dict[str, str]:
    """Return what a form says that leaves a field out, as those of some staff do."""
    fresh = Schedule()
    return {
        "jitter_seconds": str(fresh.jitter_seconds),
        "overlap": fresh.overlap,
        "catch_up_seconds": str(fresh.catch_up_seconds),
    }


def faults(form: Any) -> Iterator[str]:
    """Yield what is wrong with a form, with the names of the fields."""
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else ""
        for error in errors:
            yield f"{label}: {error}" if label else str(error)
