"""The run ledger: one row for each run, its claim, its outbox and its history at once.

A row changes through the verbs below alone. Each is one UPDATE that names the states it may come
from, so a change that is not allowed touches no row, whoever else is at it:

    pending ──► queued ──► running ──► succeeded, failed, cancelled
       ▲           │          │
       └───────────┴──────────┘

A slot that is not run is skipped from the start. A run that waits can be cancelled at once; one at
work is asked to stop, and is cancelled at its next step.

`attempts` counts how often a worker took the run up and is its fence: whoever took it up last may
carry it on; whoever did so earlier, and was thought dead, finds that it is no longer theirs.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, models
from django.db.models import Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Now
from dramatiq import Message

from tasks.engine.extension import extension_of
from tasks.engine.models.process import Process

#: The longest error that is kept: the end of a traceback says the most.
LONGEST_ERROR = 20_000
LONGEST_REASON = 200

#: A sweep writes this some hundred times. To have Django put it together takes longer each time
#: than the database needs for it.
SAVE_PROGRESS = """
    UPDATE tasks_taskrun
    SET state = 'running', held_by = %s, progress = %s,
        crashes = crashes * %s, error = CASE %s WHEN 0 THEN '' ELSE error END,
        losses = 0, progressed_at = {now}
    WHERE id = %s AND attempts = %s AND state IN ('pending', 'queued', 'running')
    AND stop_requested_at IS NULL AND progress = %s
"""
#: The database's clock, as Django writes a moment.
NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


class State(models.TextChoices):
    """Where a run stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


UNFINISHED = (State.PENDING, State.QUEUED, State.RUNNING)

#: Interruptions, one after the other without getting any further, that a run is given: its worker
#: died, or the database gave up on it. Then it is the run itself that is at fault.
MOST_CRASHES = 5

#: From so many interruptions on it is suspected of killing its process, and handed out alone.
SUSPECT_CRASHES = 2


class Trigger(models.TextChoices):
    """What started a run."""

    SCHEDULE = "schedule"
    ADMIN = "admin"
    COMMAND = "command"
    API = "api", "code"


class TaskRunQuerySet(models.QuerySet["TaskRun"]):
    """The verbs of runs."""

    def unfinished(self) -> Self:
        """Those that are still to end."""
        return self.filter(state__in=UNFINISHED)

    def finished(self) -> Self:
        """Those that have ended, or were skipped."""
        return self.exclude(state__in=UNFINISHED)

    def of_schedules(self) -> Self:
        """Those that a schedule asked for."""
        return self.filter(scheduled_for__isnull=False)

    def due(self) -> Self:
        """Those to be handed to the broker now."""
        return self.filter(state=State.PENDING, due_at__lte=Now(), stop_requested_at__isnull=True)

    def suspect(self) -> Self:
        """Those that may be what kills their process."""
        return self.filter(crashes__gte=SUSPECT_CRASHES)

    def unsuspected(self) -> Self:
        """The others."""
        return self.filter(crashes__lt=SUSPECT_CRASHES)

    def to_be_ended(self) -> Self:
        """Those that were to stop, and that nobody is at any more."""
        return self.filter(state__in=(State.PENDING, State.QUEUED), stop_requested_at__isnull=False)

    def unacknowledged(self) -> Self:
        """Those that failed, or named errors, and that no operator has said they know of."""
        return self.filter(
            Q(state=State.FAILED) | Q(has_errors=True),
            finished_at__isnull=False,
            acknowledged_at__isnull=True,
        )

    def waiting(self, *, longer_than: timedelta) -> Self:
        """Those handed to the broker a while ago, and not taken up."""
        return self.filter(state=State.QUEUED, sent_at__lt=Now() - longer_than)

    def orphaned(self) -> Self:
        """Those whose process is gone: it has left, or others have taken it for dead."""
        holder = Process.objects.filter(pk=OuterRef("held_by"))
        return self.filter(~Exists(holder), state=State.RUNNING)

    def held_by_silent(self) -> Self:
        """Those whose process is gone, or has not been heard of for so long that it may be."""
        alive = Process.objects.alive().filter(pk=OuterRef("held_by"))
        return self.filter(~Exists(alive), state=State.RUNNING)

    def succeed_unrecorded(self, message_id: UUID, result: object) -> bool:
        """Close the run of a message whose actor is not recorded, if it has one.

        Dramatiq may have had it tried again after a failure.
        """
        open_ones = self.filter(message_id=message_id, state__in=(*UNFINISHED, State.FAILED))
        return bool(
            open_ones.update(state=State.SUCCEEDED, finished_at=Now(), result=result, error="")
        )

    def fail_unrecorded(self, message_id: UUID, error: str) -> bool:
        """Fail the run of a message whose actor is not recorded, if it has one."""
        open_ones = self.filter(message_id=message_id, state__in=UNFINISHED)
        return bool(open_ones.update(state=State.FAILED, finished_at=Now(), error=storable(error)))


class TaskRun(models.Model):
    """One run of a task, from the moment it is owed."""

    task = models.CharField(max_length=100)
    scheduled_for = models.DateTimeField(null=True, help_text="The slot; empty if asked for.")
    trigger = models.CharField(max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    message_id = models.UUIDField(default=uuid4, unique=True)
    queue = models.CharField(max_length=100)
    arguments = models.JSONField(default=dict, help_text="The message's args and kwargs.")

    state = models.CharField(max_length=10, choices=State)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="Not to be sent before.")
    sent_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    progressed_at = models.DateTimeField(
        null=True, help_text="When it was last taken up, or last got any further."
    )
    stop_requested_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    held_by = models.UUIDField(null=True, help_text="The process that took it up last.")
    worker = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="That process's host and number.",
    )
    delivery = models.UUIDField(null=True, help_text="What the broker calls its latest message.")

    sends = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Messages that the broker has lost since it last got any further.",
    )
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(
        default=0, help_text="Interruptions since it last got any further."
    )

    progress = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    error = models.TextField(blank=True)
    has_errors = models.BooleanField(
        default=False, db_default=False, help_text="It succeeded, but its result names errors."
    )
    reason = models.CharField(
        max_length=LONGEST_REASON, blank=True, help_text="Why it was skipped or cancelled."
    )
    acknowledged_at = models.DateTimeField(
        null=True, help_text="When an operator said that they know of its failure or errors."
    )
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = TaskRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "scheduled_for"], name="tasks_run_slot"),
            models.CheckConstraint(name="tasks_run_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="tasks_run_finished",
                condition=Q(state__in=UNFINISHED, finished_at__isnull=True)
                | (~Q(state__in=UNFINISHED) & Q(finished_at__isnull=False)),
            ),
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
            # For the last run of each task: pings are many.
            models.Index(
                fields=["task", "finished_at"],
                name="tasks_run_task_finished_at",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["finished_at"],
                name="tasks_run_unacknowledged",
                condition=Q(acknowledged_at__isnull=True)
                & (Q(state=State.FAILED) | Q(has_errors=True)),
            ),
            # For the last success of a schedule's own.
            models.Index(
                fields=["task", "scheduled_for"],
                name="tasks_run_task_succeeded_slot",
                condition=Q(state=State.SUCCEEDED, scheduled_for__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; afterwards it changes through its verbs alone.

        Raises:
            TypeError: the row is there already.
        """
        if not self._state.adding:
            raise TypeError("A run changes through its verbs alone.")
        super().save(*args, **kwargs)

    @property
    def as_of(self) -> datetime:
        """The moment that its work refers to, the same however often and late it runs."""
        return self.scheduled_for or self.created_at

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, when it was last read."""
        return self.state not in UNFINISHED

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it waited, and nobody was at it, when it was last read."""
        return self.state in {State.PENDING, State.QUEUED}

    @property
    def error_summary(self) -> str:
        """The last line of its error, without the traceback before it."""
        return (self.error.strip().splitlines() or [""])[-1]

    @property
    def summary(self) -> str:
        """The counts of its result, or so far, in words: `1,234 todos deleted, 7 users processed`.

        Empty if it counts nothing. Of a run that was cancelled it is what was done until then.
        Holds numbers alone, and the names that the code gives them.
        """
        counted = {"rows": self.progress.get("rows")} if self.result is None else self.result
        if not isinstance(counted, dict):
            return ""
        counts = {name: value for name, value in counted.items() if type(value) is int}
        return extension_of(self.task).summary(counts) if counts else ""

    def message(self) -> Message[Any]:
        """Return its message: always of the same id, under which its result is found."""
        return Message(
            queue_name=self.queue,
            actor_name=self.task,
            args=tuple(self.arguments.get("args", ())),
            kwargs=self.arguments.get("kwargs", {}),
            options={},
            message_id=str(self.message_id),
        )

    # Between the database and the broker.

    def mark_sent(self) -> bool:
        """Reserve a pending run that is due, to publish it under a new `delivery`.

        Returns:
            Whether it was still to be sent, and nobody else reserved it at this moment.
        """
        return self._mark_sent(Q(state=State.PENDING, due_at__lte=Now()))

    def mark_resent(self, *, lost: bool) -> bool:
        """Reserve a queued run, to publish it once more under a new `delivery`.

        Args:
            lost: the broker has lost the message that was sent before.

        Returns:
            Whether no worker started it, and nobody else reserved it at this moment.
        """
        return self._mark_sent(Q(state=State.QUEUED), losses=F("losses") + int(lost))

    def _mark_sent(self, condition: Q, **values: Any) -> bool:
        delivery = uuid4()
        reserved = self._move(
            {"delivery": self.delivery, "stop_requested_at": None},
            condition,
            state=State.QUEUED,
            delivery=delivery,
            sends=F("sends") + 1,
            sent_at=Now(),
            **values,
        )
        if reserved:
            self.delivery = delivery
        return reserved

    def mark_unsent(self, *, retry_in: timedelta) -> bool:
        """Take back `mark_sent`: the broker could not be reached."""
        return self._move(
            {"state": State.QUEUED, "delivery": self.delivery},
            state=State.PENDING,
            sends=F("sends") - 1,
            due_at=Now() + retry_in,
        )

    # At work.

    def start(self, process: UUID, *, delivery: UUID | None = None) -> bool:
        """Take it up for a process, if it is handed to the workers and nobody else is at it.

        Args:
            process: one that others can see to be alive; else the run stays as it is.
            delivery: what the broker calls the message that asks for it. A run is handed to the
                workers when it is queued; or pending, when this message did get through though its
                sender had no answer. A late copy of an earlier message starts nothing before time.

        Returns:
            Whether it was taken up. Then `attempts` holds this attempt's number.
        """
        handed_over = Q(state=State.QUEUED)
        if delivery is not None:
            handed_over |= Q(state=State.PENDING, delivery=delivery)
        started = self._move(
            {"attempts": self.attempts, "stop_requested_at": None},
            handed_over,
            Exists(Process.objects.alive().filter(pk=process)),
            state=State.RUNNING,
            held_by=process,
            worker=Coalesce(Subquery(Process.objects.named(process)), Value("")),
            attempts=self.attempts + 1,
            losses=0,
            started_at=Coalesce("started_at", Now()),
            progressed_at=Now(),
        )
        if started:
            self.attempts += 1
        return started

    def read_progress(self) -> dict[str, Any] | None:
        """Return how far it has come; None if it has ended, is to stop, or is another's by now."""
        mine = self._mine().filter(stop_requested_at=None)
        return mine.values_list("progress", flat=True).first()

    def stored_progress(self) -> dict[str, Any] | None:
        """Return how far it has come, though it is to stop; None if it is another's by now."""
        return self._mine().values_list("progress", flat=True).first()

    def save_progress(
        self, progress: Mapping[str, Any], process: UUID, *, before: Mapping[str, Any]
    ) -> bool:
        """Keep how far it has come. If it was thought dead and nobody took it up, it goes on.

        Args:
            progress: how far.
            process: who works on it.
            before: how far it had come; if the database has something else, nothing is kept.
        """
        holder = TaskRun._meta.get_field("held_by").get_db_prep_value(process, connection)
        # A step that gets no further makes up for no interruption.
        no_further = int(progress == before)
        with connection.cursor() as cursor:
            cursor.execute(
                SAVE_PROGRESS.format(now=NOW[connection.vendor]),
                [
                    *(holder, json.dumps(progress), no_further, no_further),
                    *(self.pk, self.attempts, json.dumps(before)),
                ],
            )
            return bool(cursor.rowcount)

    def is_to_stop(self) -> bool:
        """Say whether this attempt has been asked to stop."""
        return self._mine().filter(stop_requested_at__isnull=False).exists()

    def continue_later(self, *, after: timedelta) -> bool:
        """Leave the rest to the next message, which is due after some time."""
        return self._put_back(after=after)

    def give_back(self, *, after: timedelta, delivery: UUID) -> bool:
        """Leave it to a worker that knows its task: whoever got its message does not."""
        return self._put_back({"delivery": delivery, "state": State.QUEUED}, after=after)

    def succeed(self, result: object) -> bool:
        """End it well; `errors` in its result are what it could not do."""
        errors = bool(count_errors(result))
        return self._end(self._ours(), State.SUCCEEDED, result=result, error="", has_errors=errors)

    def retry(self, error: str, *, after: timedelta) -> bool:
        """Have it tried again after a failure of its own; told twice, it counts once."""
        was = {"failures": self.failures}
        return self._put_back(was, after=after, failures=F("failures") + 1, error=storable(error))

    def interrupt(self, error: str, *, after: timedelta, counted: bool) -> bool:
        """Have it tried again after something that is no failure of its own, if it is at work.

        Args:
            error: what.
            after: how long to wait.
            counted: as a crash, of which it may have a few; not where it cannot be its doing.
        """
        was = {"state": State.RUNNING}
        crashes = F("crashes") + int(counted)
        return self._put_back(was, after=after, crashes=crashes, error=storable(error))

    def release(self) -> bool:
        """Take it from a process that is gone, to have it tried again."""
        orphaned = Q(pk__in=TaskRun.objects.filter(pk=self.pk).orphaned())
        return self._put_back({}, orphaned, crashes=F("crashes") + 1)

    def fail(self, error: str, *conditions: Q) -> bool:
        """End it in failure, whoever holds it: its attempt must still be the latest.

        Args:
            error: why; the end of it is kept.
            conditions: what else must hold of its row.
        """
        return self._end(self._ours(), State.FAILED, *conditions, error=storable(error))

    # What operators ask for.

    def cancel(self, reason: str) -> bool:
        """End a run that waits, whether or not it has been at work before."""
        waiting = {"state__in": (State.PENDING, State.QUEUED)}
        return self._end(waiting, State.CANCELLED, reason=reason[:LONGEST_REASON])

    def request_stop(self, reason: str) -> bool:
        """Ask a run at work to end at its next step, unless somebody has; return whether it is."""
        at_work = {"state": State.RUNNING, "stop_requested_at": None}
        return self._move(at_work, stop_requested_at=Now(), reason=reason[:LONGEST_REASON])

    def end_stopped(self) -> bool:
        """End a run that was asked to stop, and has."""
        return self._end(self._ours(), State.CANCELLED, Q(stop_requested_at__isnull=False))

    def acknowledge(self, by: Any) -> bool:
        """Note that an operator knows of its failure or errors; return whether nobody had yet."""
        return bool(
            TaskRun.objects.unacknowledged()
            .filter(pk=self.pk)
            .update(acknowledged_at=Now(), acknowledged_by=by)
        )

    def _mine(self) -> TaskRunQuerySet:
        """Return its row, as long as this attempt is the latest and has not ended."""
        return TaskRun.objects.filter(pk=self.pk, **self._ours())

    def _ours(self) -> dict[str, Any]:
        return {"attempts": self.attempts, "state__in": UNFINISHED}

    def _put_back(
        self,
        was: Mapping[str, Any] | None = None,
        *conditions: Q,
        after: timedelta = timedelta(),
        **values: Any,
    ) -> bool:
        """Leave it to the relay, to be sent when it is due: no earlier message can start it."""
        return self._move(
            {**self._ours(), **(was or {})},
            *conditions,
            state=State.PENDING,
            delivery=None,
            due_at=Now() + after if after else Now(),
            **values,
        )

    def _end(self, was: Mapping[str, Any], state: State, *conditions: Q, **values: Any) -> bool:
        return self._move(was, *conditions, state=state, finished_at=Now(), **values)

    def _move(self, was: Mapping[str, Any], *conditions: Q | Exists, **values: Any) -> bool:
        """Change the row if it is as it was; return whether it did."""
        return bool(TaskRun.objects.filter(*conditions, pk=self.pk, **was).update(**values))


def count_errors(result: object) -> int:
    """Return how many errors a run's result names: those in the `errors` of a mapping."""
    errors = result.get("errors") if isinstance(result, Mapping) else None
    return len(errors) if isinstance(errors, list) else int(bool(errors))


def storable(error: str) -> str:
    """Return the end of an error's text, with what no database takes written out."""
    whole = error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return whole[-LONGEST_ERROR:]
