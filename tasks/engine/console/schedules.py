"""Pausing and resuming schedules: a POST each, and logged."""

from dataclasses import replace

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from tasks.engine.console.requests import (
    WHY,
    Question,
    ask,
    for_posts,
    for_staff,
    is_confirmed,
    log,
    operator,
    page_before,
)
from tasks.engine.models import Schedule
from tasks.engine.operations import schedules as operations
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.notes import checked_note

WHAT_A_PAUSE_DOES = (
    "Its slots start no runs until it is resumed, and are not caught up. A run that is there"
    " already goes on, or still starts: cancel that on its page."
)


@for_posts("admin:tasks_schedule_change", "pk")
@for_staff("tasks.change_schedule")
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause a schedule, which starts no runs until it is resumed; ask why first."""
    schedule = get_object_or_404(Schedule, pk=pk)
    note = request.POST.get("note", "")
    if schedule.is_active:
        back = page_before(request)
        question = Question(
            title=f"Pause {schedule}",
            lines=(WHAT_A_PAUSE_DOES,),
            note=WHY,
            yes="Pause",
            action=request.path,
            fields=(("back", back),),
            no=back,
        )
        if not is_confirmed(request):
            return ask(request, question)
        try:
            note = checked_note(note)
        except Refused as error:
            return ask(request, replace(question, given=note, fault=str(error)))
    with transaction.atomic():
        if has_changed := operations.pause(schedule, by=operator(request), note=note):
            log(request, [schedule], CHANGE, f"Paused: {note}")
    return _tell(request, schedule, "paused", has_changed=has_changed)


@for_posts("admin:tasks_schedule_change", "pk")
@for_staff("tasks.change_schedule")
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a schedule start runs again."""
    schedule = get_object_or_404(Schedule, pk=pk)
    with transaction.atomic():
        if has_changed := operations.resume(schedule):
            log(request, [schedule], CHANGE, "Resumed.")
    return _tell(request, schedule, "resumed", has_changed=has_changed)


def _tell(
    request: HttpRequest, schedule: Schedule, state: str, *, has_changed: bool
) -> HttpResponse:
    if has_changed:
        messages.success(request, f"The schedule of {schedule} is {state}.")
    else:
        messages.info(request, f"The schedule of {schedule} was {state} already.")
    return HttpResponseRedirect(page_before(request))
