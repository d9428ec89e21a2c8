"""The columns of a run, and what follows from them. Its verbs are in `run.py`."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from dramatiq import Message

from tasks.engine import words
from tasks.engine.extension import summary_of
from tasks.engine.models.states import UNFINISHED, State, Trigger

MAX_REASON_CHARACTERS = 200


class RunRecord(models.Model):
    task = models.CharField(max_length=100)
    scheduled_for = models.DateTimeField(
        null=True, help_text="The slot; empty for a run that somebody asked for."
    )
    schedule_name = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="The name of its schedule, if the task has several; part of the slot's key.",
    )
    trigger = models.CharField(max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    request_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="The request that asked for it, as logs name it; empty if there was none.",
    )
    trace_parent = models.CharField(
        max_length=55,
        blank=True,
        default="",
        db_default="",
        help_text="The span that asked for it, as W3C's traceparent; empty if there was none.",
    )

    message_id = models.UUIDField(default=uuid4, unique=True)
    queue = models.CharField(max_length=100)
    arguments = models.JSONField(default=dict, help_text="The message's args and kwargs.")

    state = models.CharField(max_length=10, choices=State)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="Not to be published before.")
    waits_for = models.PositiveBigIntegerField(
        null=True, help_text="The earlier run that must end before it is published."
    )
    sent_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    attempted_at = models.DateTimeField(null=True, help_text="When the latest attempt started.")
    progressed_at = models.DateTimeField(
        null=True, help_text="When an attempt last started or made progress."
    )
    stop_requested_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    held_by = models.UUIDField(null=True, help_text="The process of the latest attempt.")
    worker = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="The host and process id of the latest attempt.",
    )
    delivery = models.UUIDField(null=True, help_text="The broker's id of the latest message.")

    sends = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Messages that the broker lost since the last progress."
    )
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(
        default=0, help_text="Interruptions since the last progress."
    )

    progress = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    error = models.TextField(blank=True)
    has_errors = models.BooleanField(
        default=False, db_default=False, help_text="It succeeded, but its result names errors."
    )
    reason = models.CharField(
        max_length=MAX_REASON_CHARACTERS,
        blank=True,
        help_text="Why it was skipped or cancelled, or as which run it was retried.",
    )
    acknowledged_at = models.DateTimeField(
        null=True, help_text="When an operator acknowledged its failure or errors."
    )
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["task", "schedule_name", "scheduled_for"], name="tasks_run_schedule_slot"
            ),
            models.CheckConstraint(name="tasks_run_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="tasks_run_finished",
                condition=Q(state__in=UNFINISHED, finished_at__isnull=True)
                | (~Q(state__in=UNFINISHED) & Q(finished_at__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "task"],
                name="tasks_run_unfinished",
                condition=Q(state__in=UNFINISHED),
            ),
            models.Index(
                fields=["finished_at"],
                name="tasks_run_finished_at",
                condition=Q(finished_at__isnull=False),
            ),
            # Finds the last run of each schedule, however many pings there are.
            models.Index(
                fields=["schedule_name", "task", "finished_at"],
                name="tasks_run_schedule_end",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["finished_at"],
                name="tasks_run_unacknowledged",
                condition=Q(acknowledged_at__isnull=True)
                & (Q(state=State.FAILED) | Q(has_errors=True)),
            ),
            # Finds the last slot of a schedule that succeeded.
            models.Index(
                fields=["task", "schedule_name", "scheduled_for"],
                name="tasks_run_succeeded_slot",
                condition=Q(state=State.SUCCEEDED, scheduled_for__isnull=False),
            ),
            models.Index(
                fields=["waits_for"],
                name="tasks_run_waits_for",
                condition=Q(waits_for__isnull=False),
            ),
            models.Index(fields=["task", "id"], name="tasks_run_task"),
            # What operators look for is rare among runs that simply succeeded.
            models.Index(
                fields=["id", "state", "task"],
                name="tasks_run_not_well",
                condition=Q(state__in=[State.FAILED, State.CANCELLED, State.SKIPPED]),
            ),
            models.Index(fields=["id"], name="tasks_run_with_errors", condition=Q(has_errors=True)),
            models.Index(
                fields=["trigger", "id"],
                name="tasks_run_by_hand",
                condition=~Q(trigger=Trigger.SCHEDULE),
            ),
            models.Index(
                fields=["request_id"], name="tasks_run_request", condition=~Q(request_id="")
            ),
            # Finds the first and the last run of some days.
            models.Index(fields=["created_at"], name="tasks_run_created_at"),
        ]
        permissions = [
            ("start_taskrun", "Can start runs"),
            ("cancel_taskrun", "Can cancel runs"),
            ("stop_taskrun", "Can stop runs at work"),
            ("acknowledge_taskrun", "Can acknowledge failures"),
            ("undo_taskrun", "Can undo runs"),
            ("view_taskrun_details", "Can view errors, arguments and results of runs"),
            ("retry_deadletter", "Can retry dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.pk}"

    @property
    def as_of(self) -> datetime:
        """The moment that its work refers to, the same for all attempts."""
        return self.scheduled_for or self.created_at

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED

    @property
    def can_be_cancelled(self) -> bool:
        return self.state in {State.PENDING, State.QUEUED}

    @property
    def error_summary(self) -> str:
        """The last line of its error, without the traceback."""
        return words.last_line(self.error)

    @property
    def summary(self) -> str:
        """What it counted, or has counted so far, in words: `1,234 mails sent`; empty if nothing.

        Only numbers, and the words that its task's extension has for them.
        """
        counted = {"rows": self.progress.get("rows")} if self.result is None else self.result
        if not isinstance(counted, dict):
            return ""
        numbers = {key: value for key, value in counted.items() if type(value) is int}
        return summary_of(self.task, numbers)

    def message(self) -> Message[Any]:
        """Return its message, always with the same id, under which its result is found."""
        return Message(
            queue_name=self.queue,
            actor_name=self.task,
            args=tuple(self.arguments.get("args", ())),
            kwargs=self.arguments.get("kwargs", {}),
            options={},
            message_id=str(self.message_id),
        )
