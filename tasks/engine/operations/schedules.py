"""Pauses and resumes schedules."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from tasks.engine.models import Schedule


def pause(schedule: Schedule, *, by: AbstractBaseUser, note: str = "") -> bool:
    """Have a schedule start no runs until it is resumed; return whether that changed anything.

    Slots that pass meanwhile are not caught up.

    Args:
        note: why, for whoever looks at it later.
    """
    with transaction.atomic():
        current = Schedule.objects.select_for_update().get(pk=schedule.pk)
        if not current.is_active:
            return False
        current.pause(by=by, note=note)
    return True


def resume(schedule: Schedule) -> bool:
    """Have a schedule start runs again; return whether that changed anything."""
    with transaction.atomic():
        current = Schedule.objects.select_for_update().get(pk=schedule.pk)
        if current.is_active:
            return False
        current.resume()
    return True
