"""Who may start runs, and see what runs hold.

Starting a run takes the permission that its actor names (`permission=`) and no other, however it is
started: run now, run again, undo. Retrying a dead letter takes the permission to retry as well.
"""

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from dramatiq.broker import get_broker

#: The permission to start a task whose actor names none.
START = "tasks.start_taskrun"

#: The permission to see runs, which all others of runs and dead letters need, too.
VIEW = "tasks.view_taskrun"

#: The permission to see errors, arguments, progress and results: they may quote what people wrote.
VIEW_DETAILS = "tasks.view_taskrun_details"

#: What is shown instead to those who may not see that.
WITHHELD = "withheld: you may not view errors, arguments and results of runs"


def permission_to_start(task: str) -> str:
    """Return the permission that starting a task takes, such as `tasks.start_taskrun`."""
    actor = get_broker().actors.get(task)
    return str(actor.options.get("permission", START)) if actor else START


def may_start(user: AbstractBaseUser | AnonymousUser, task: str) -> bool:
    return may(user, permission_to_start(task))


def check_may_start(user: AbstractBaseUser, task: str) -> None:
    """Raise PermissionDenied unless somebody may start runs of a task."""
    if not may_start(user, task):
        raise PermissionDenied


def may(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    """Say whether somebody has a permission, such as `tasks.view_taskrun`."""
    # As Django's admin does: a user model need not have Django's own permissions.
    has_perm = getattr(user, "has_perm", None)
    return has_perm is not None and bool(has_perm(permission))


def withhold(text: str, *, unless: bool) -> str:
    """Return a text if `unless` is true; if not, `WITHHELD` in its place.

    An empty text stays empty: there is nothing to withhold.
    """
    return text if unless or not text else WITHHELD
