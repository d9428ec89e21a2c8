"""Pauses and resumes schedules."""

from django.db import transaction

from tasks.engine.models import Schedule


def switch(schedule: Schedule, *, on: bool) -> bool:
    """Pause a schedule or resume it; return whether that changed anything.

    Slots that pass while it is paused are not caught up.
    """
    with transaction.atomic():
        current = Schedule.objects.select_for_update().get(pk=schedule.pk)
        if current.enabled == on:
            return False
        current.enabled = on
        current.save()
    return True
