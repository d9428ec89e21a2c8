"""Who may start runs, and see what runs hold.

Starting a run takes the permission that its actor names (`permission=`) and no other, however it is
started: run now, run again, undo. Retrying a dead letter takes the permission to retry as well.
"""

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.core.exceptions import PermissionDenied
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

#: What starting a task takes whose actor names no permission.
START = "tasks.start_taskrun"

#: What seeing errors, arguments, progress and results takes: they may quote what people wrote.
VIEW_DETAILS = "tasks.view_taskrun_details"

#: What those see instead who may not.
WITHHELD = "withheld: you may not view errors, arguments and results of runs"


def permission_to_start(task: str) -> str:
    """Return the permission that starting a task takes, such as `tasks.start_taskrun`."""
    try:
        actor = get_broker().get_actor(task)
    except ActorNotFound:
        return START
    return str(actor.options.get("permission", START))


def may_start(user: AbstractBaseUser | AnonymousUser, task: str) -> bool:
    """Say whether somebody may start runs of a task."""
    return may(user, permission_to_start(task))


def check_may_start(user: AbstractBaseUser, task: str) -> None:
    """Check that somebody may start runs of a task.

    Raises:
        PermissionDenied: they may not.
    """
    if not may_start(user, task):
        raise PermissionDenied


def may(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    """Say whether somebody has a permission, such as `tasks.view_taskrun`."""
    return isinstance(user, PermissionsMixin) and user.has_perm(permission)


def withhold(text: str, *, unless: bool) -> str:
    """Return a text, or that it is withheld; nothing if there is none."""
    return text if unless or not text else WITHHELD
