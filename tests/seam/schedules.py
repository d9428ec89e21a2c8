"""The schedules of the project, as an injection changes them."""

from dataclasses import replace

from tasks.engine.scheduler.defaults import ENGINE_SCHEDULES, DefaultSchedule
from tasks.schedules import SCHEDULES as OF_THE_PROJECT
from tests.seam.injection import Injection


def injected() -> tuple[DefaultSchedule, ...]:
    """Return the project's schedules with other intervals, and those of further tasks."""
    schedules = {str(one.task): one for one in (*ENGINE_SCHEDULES, *OF_THE_PROJECT)}
    for task, seconds in Injection.of_this_process().every.items():
        if task in schedules:
            schedules[task] = replace(schedules[task], crontab="", every=seconds)
        else:
            schedules[task] = DefaultSchedule(task=task, every=seconds)
    return tuple(schedules.values())


SCHEDULES = injected()
