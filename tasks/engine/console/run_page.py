"""What the page of a run offers to do about it."""

import re
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError

from tasks.engine.models import State, TaskRun
from tasks.engine.operations.permissions import may, may_start
from tasks.engine.operations.runs import can_be_stopped, may_undo


def actions_for(user: AbstractBaseUser | AnonymousUser, run: TaskRun) -> dict[str, Any]:
    """Return what somebody can do about a run, and the reason of its end."""
    can_stop = may(user, "tasks.stop_taskrun") and can_be_stopped(run)
    failed = run.state == State.FAILED or run.has_errors
    return {
        "reason": with_name(run.reason),
        "can_run_again": run.is_finished and may_start(user, run.task),
        "can_acknowledge": failed
        and run.acknowledged_at is None
        and may(user, "tasks.acknowledge_taskrun"),
        "can_stop": can_stop,
        # Of a run that waits to continue, the two are the same.
        "can_cancel": run.can_be_cancelled and not can_stop and may(user, "tasks.cancel_taskrun"),
        "can_undo": may_undo(user, run),
    }


def with_name(reason: str) -> str:
    """Return a reason that ends with a user's number with their name, if they still exist."""
    found = re.search(r"\buser (\S{1,100})\.$", reason)
    user = None
    if found:
        with suppress(ValidationError, ValueError, OverflowError):
            user = get_user_model().objects.filter(pk=found[1]).first()
    return f"{reason[:-1]} ({user.get_username()})." if user else reason
