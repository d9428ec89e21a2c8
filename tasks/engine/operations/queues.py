"""Pauses and resumes queues."""

from django.contrib.auth.base_user import AbstractBaseUser
from dramatiq.broker import get_broker

from tasks.engine.models import Process, Queue
from tasks.engine.models.queue import MAX_NAME_CHARACTERS
from tasks.engine.monitoring.pauses import pause_of
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.notes import checked_note


def queue_names() -> list[str]:
    """Return the queues that an actor uses, that a worker has served lately, or that are paused."""
    used = {actor.queue_name for actor in get_broker().actors.values()}
    served = Process.objects.values_list("queues", flat=True)
    return sorted(used.union(*served, Queue.objects.paused().values_list("name", flat=True)))


def pause(name: str, *, note: str, by: AbstractBaseUser | None = None) -> Queue:
    """Pause a queue: from now on workers begin nothing of it. What is running finishes.

    Args:
        note: why, for those who find it paused.
        by: None for the command.

    Raises:
        Refused: there is no such queue, it is paused already, or the note is missing or too long.
    """
    if name not in queue_names() or len(name) > MAX_NAME_CHARACTERS:
        raise Refused(f"There is no queue {name}.")
    if not Queue.objects.pause(name, by=by, note=checked_note(note)):
        said = pause_of(name)
        raise Refused(f"The queue {name} was paused already. {said}".strip())
    return Queue.objects.get(name=name)


def resume(name: str) -> Queue:
    """Resume a queue.

    Raises:
        Refused: it is not paused.
    """
    if not Queue.objects.resume(name):
        raise Refused(f"The queue {name} is not paused.")
    return Queue.objects.get(name=name)
