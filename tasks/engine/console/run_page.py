"""What the page of a run shows, and what it offers to do about it."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.urls import reverse
from dramatiq.broker import get_broker

from tasks.engine.console.overview import ActiveRun
from tasks.engine.console.run_values import argument_rows, raw_fields, result_errors, result_rows
from tasks.engine.console.timeline import ended_attempts, timeline
from tasks.engine.database import database_now
from tasks.engine.extension import asks_first
from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.failures import shown_error
from tasks.engine.monitoring.headline import TIMES, headline
from tasks.engine.operations.permissions import VIEW_DETAILS, may, may_start, withhold
from tasks.engine.operations.runs import can_be_stopped, may_undo, undone_by, waits_for_retry
from tasks.engine.worker.retries import MAX_RETRIES

type User = AbstractBaseUser | AnonymousUser


def read_run_page(pk: int, user: User) -> dict[str, Any]:
    """Return what the page of a run shows to somebody.

    Raises:
        TaskRun.DoesNotExist: there is no such run.
    """
    runs = TaskRun.objects.noting_obstacles().select_related("requested_by", "acknowledged_by")
    run, now = runs.get(pk=pk), database_now()
    details, reason = may(user, VIEW_DETAILS), with_name(run.reason)
    error = withhold(shown_error(run), unless=details)
    return {
        "run": run,
        "page": reverse("admin:tasks_taskrun_change", args=[pk]),
        "headline": headline(run, now, error=error, reason=reason),
        "latest_error": "" if run.is_finished else error,
        "last_try": last_try(run),
        "tone": tone(run),
        "active": None if run.is_finished else ActiveRun(run, now),
        "error": withhold(run.error, unless=details),
        "events": timeline(run, ended_attempts(run), now, reason=reason, with_errors=details),
        "result": result_rows(run, with_details=details),
        "result_errors": result_errors(run, with_details=details),
        "arguments": argument_rows(run, with_details=details),
        "fields": raw_fields(run, with_details=details),
        "undone_by": undone_by(run) if run.is_finished else None,
        **actions_for(user, run, now),
    }


def last_try(run: TaskRun) -> str:
    """Say how many failures a run that has failed before may have; empty if that is not known."""
    actor = get_broker().actors.get(run.task)
    if actor is None or run.is_finished or not run.failures:
        return ""
    left = actor.options.get("max_retries", MAX_RETRIES) - run.failures
    if left < 0:
        return ""
    times = TIMES.get(left + 1, f"{left + 1:,} times")
    return f"If it fails {times} more, it is not tried again."


def tone(run: TaskRun) -> str:
    """Return whether a run is `well`, one of the `problems`, or neither."""
    if run.is_gone or (run.error and not run.is_finished):
        return "unknown"
    if run.state == State.FAILED or run.has_errors:
        return "unknown" if run.acknowledged_at else "problems"
    return "well" if run.state == State.SUCCEEDED else ""


def actions_for(user: User, run: TaskRun, now: datetime) -> dict[str, bool]:
    """Return what somebody can do about a run, and whether starting it anew asks first."""
    can_stop = may(user, "tasks.stop_taskrun") and can_be_stopped(run)
    failed = run.state == State.FAILED or run.has_errors
    return {
        "can_retry_now": waits_for_retry(run, now) and may_start(user, run.task),
        "can_run_again": run.is_finished and may_start(user, run.task),
        "asks_first": asks_first(run.task),
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
