"""The run ledger: one row for each run, which is its claim, its outbox and its history.

A row changes through the verbs below alone. Each verb is one UPDATE that names the states it may
start from, so that a change that is not allowed touches no row, whatever other processes do. Each
returns whether it changed the row:

    pending ──► queued ──► running ──► succeeded, failed, cancelled
       ▲           │          │
       └───────────┴──────────┘

A slot that is not run is skipped from the start. A waiting run can be cancelled at once; a running
one is asked to stop, and is cancelled at its next step.

`attempts` counts how often a process started the run, and is its fence: only the latest attempt
may write. The process of an earlier one, which counted as gone, learns that it has lost the run.
An attempt that ends without ending the run leaves a row (`attempt.py`), in the same transaction.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, models, transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from tasks.engine.models.attempt import Attempt, Outcome
from tasks.engine.models.ended import log_end
from tasks.engine.models.outcome import count_errors, storable
from tasks.engine.models.process import Process
from tasks.engine.models.queue import Queue
from tasks.engine.models.run_queryset import TaskRunQuerySet
from tasks.engine.models.run_record import MAX_REASON_CHARACTERS, RunRecord
from tasks.engine.models.states import UNFINISHED, State

#: A run fails when it was interrupted this often without progress in between: its process died, or
#: the database gave it up. Then the run itself must be at fault.
MOST_CRASHES = 5

#: In the reason of a run that a bulk operation has retried; the number of the new run follows.
RETRIED = "Retried as run "

#: By hand: a bulk operation saves its progress for every batch, and Django takes longer to build
#: the statement than the database takes to execute it.
SAVE_PROGRESS = """
    UPDATE tasks_taskrun
    SET state = 'running', held_by = %s, progress = %s,
        crashes = crashes * %s, error = CASE %s WHEN 0 THEN '' ELSE error END,
        losses = 0, progressed_at = {now}
    WHERE id = %s AND attempts = %s AND state IN ('pending', 'queued', 'running')
    AND stop_requested_at IS NULL AND progress = %s
"""

#: The database's clock, in the format in which Django stores a moment.
NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


class TaskRun(RunRecord):
    """One run of a task, and the verbs that change it."""

    objects = TaskRunQuerySet.as_manager()

    #: What keeps it from going on, in rows of `noting_obstacles`.
    is_gone = is_held_up = False

    #: The end that the database was last asked for, while its answer is not known.
    _ending: State | None = None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row.

        Raises:
            TypeError: the row exists; it changes through its verbs alone.
        """
        if not self._state.adding:
            raise TypeError("A run changes through its verbs alone.")
        super().save(*args, **kwargs)

    # Publishing.

    def mark_sent(self) -> bool:
        """Reserve a pending run that is due, to publish it under a new `delivery`."""
        return self._mark_sent(Q(state=State.PENDING, due_at__lte=Now()))

    def mark_resent(self, *, lost: bool) -> bool:
        """Reserve a queued run, to publish it once more; `lost` if the broker lost its message."""
        return self._mark_sent(Q(state=State.QUEUED), losses=F("losses") + int(lost))

    def _mark_sent(self, condition: Q, **values: Any) -> bool:
        delivery = uuid4()
        reserved = self._change(
            condition & Q(delivery=self.delivery, stop_requested_at=None),
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
        """Undo `mark_sent`: the broker could not be reached."""
        return self._change(
            Q(state=State.QUEUED, delivery=self.delivery),
            state=State.PENDING,
            sends=F("sends") - 1,
            due_at=Now() + retry_in,
        )

    # Attempts.

    def start(self, process: UUID, *, delivery: UUID | None = None) -> bool:
        """Start the next attempt, whose number is then in `attempts`, unless its queue is paused.

        Args:
            process: must be alive, as other processes see it.
            delivery: the broker's id of the message that asks for the run. It starts a run that is
                queued. It also starts a pending one if it was the run's latest: then it was
                published although its sender saw a failure. A late copy of an earlier message does
                not start a pending run before it is due.
        """
        published = Q(state=State.QUEUED)
        if delivery is not None:
            published |= Q(state=State.PENDING, delivery=delivery)
        started = self._change(
            published & Q(attempts=self.attempts, stop_requested_at=None),
            Exists(Process.objects.alive().filter(pk=process)),
            # In this statement: a process may be frozen between a question and what follows.
            ~Exists(Queue.objects.paused().filter(name=OuterRef("queue"))),
            state=State.RUNNING,
            held_by=process,
            worker=Coalesce(Subquery(Process.objects.named(process)), Value("")),
            attempts=self.attempts + 1,
            losses=0,
            started_at=Coalesce("started_at", Now()),
            attempted_at=Now(),
            progressed_at=Now(),
        )
        if started:
            self.attempts += 1
        return started

    def read_progress(self) -> dict[str, Any] | None:
        """Return the stored progress; None if this attempt must not continue.

        It must not if the run has ended, was asked to stop, or was started by another process.
        """
        return self._if_latest(stop_requested_at=None).values_list("progress", flat=True).first()

    def stored_progress(self) -> dict[str, Any] | None:
        """Return the stored progress; None if the run has ended or another process started it."""
        return self._if_latest().values_list("progress", flat=True).first()

    def save_progress(
        self, progress: Mapping[str, Any], process: UUID, *, before: Mapping[str, Any]
    ) -> bool:
        """Save the progress, unless this attempt must not continue (see `read_progress`).

        A run that was released, and that no other process has started since, continues here.

        Args:
            process: the one that works on the run.
            before: the progress that the database must hold for the new one to be saved.
        """
        # A step that makes no progress clears neither the crashes nor the error.
        unchanged = int(progress == before)
        holder = models.UUIDField().get_db_prep_value(process, connection)
        values = [holder, json.dumps(progress), unchanged, unchanged]
        with connection.cursor() as cursor:
            cursor.execute(
                SAVE_PROGRESS.format(now=NOW[connection.vendor]),
                [*values, self.pk, self.attempts, json.dumps(before)],
            )
            return bool(cursor.rowcount)

    def is_to_stop(self) -> bool:
        return self._if_latest(stop_requested_at__isnull=False).exists()

    def ended_by_this_attempt(self) -> bool:
        """Say whether this attempt has ended the run: the database's answer may have been lost."""
        return TaskRun.objects.filter(pk=self.pk, attempts=self.attempts).finished().exists()

    def continue_later(self, *, after: timedelta, interrupted_by: str = "") -> bool:
        """Leave the rest to the run's next message; say what interrupted it, if anything did."""
        outcome = Outcome.INTERRUPTED if interrupted_by else Outcome.CONTINUED
        return self._end_attempt(outcome, after=after, said=interrupted_by)

    def give_back(self, *, after: timedelta, delivery: UUID) -> bool:
        """Leave it to a worker that knows its task: the one that got the message does not."""
        return self._put_back(Q(delivery=delivery, state=State.QUEUED), after=after)

    def succeed(self, result: object) -> bool:
        """End it as succeeded; the `errors` in its result are what it could not do."""
        errors = bool(count_errors(result))
        return self._end(
            State.SUCCEEDED, self._latest(), result=result, error="", has_errors=errors
        )

    def retry(self, error: str, *, after: timedelta) -> bool:
        """Put it back after a failure; the failure counts once, however often it is reported."""
        once = Q(failures=self.failures)
        failures = F("failures") + 1
        return self._end_attempt(
            Outcome.FAILED, once, after=after, failures=failures, error=storable(error)
        )

    def interrupt(self, error: str, *, after: timedelta, counted: bool) -> bool:
        """Put a running run back after an interruption, which is no failure.

        Unless the run cannot be its cause, it is `counted` as a crash, towards `MOST_CRASHES`.
        """
        running = Q(state=State.RUNNING)
        crashes = F("crashes") + int(counted)
        return self._end_attempt(
            Outcome.INTERRUPTED, running, after=after, crashes=crashes, error=storable(error)
        )

    def release(self) -> bool:
        """Put an orphan back, to be started again."""
        orphaned = Q(pk__in=TaskRun.objects.filter(pk=self.pk).orphaned())
        return self._end_attempt(Outcome.RELEASED, orphaned, crashes=F("crashes") + 1)

    def fail(self, error: str, *conditions: Q, why: str = "") -> bool:
        """End it as failed, whichever process holds it, if its row meets the conditions.

        Args:
            why: what the log says of it, in a line that quotes no row.
        """
        return self._end(State.FAILED, self._latest(), *conditions, why=why, error=storable(error))

    # Operators.

    def retry_now(self) -> bool:
        """Make the next attempt due at once, if the run waits for it: the relay publishes it."""
        waits = Q(state=State.PENDING, attempts__gt=0, due_at__gt=Now(), stop_requested_at=None)
        return self._change(waits, due_at=Now())

    def cancel(self, reason: str) -> bool:
        """End a waiting run as cancelled, whether or not it has been started before."""
        waiting = Q(state__in=(State.PENDING, State.QUEUED))
        return self._end(State.CANCELLED, waiting, reason=reason[:MAX_REASON_CHARACTERS])

    def request_stop(self, reason: str) -> bool:
        """Ask a running run to end at its next step, unless that was asked before."""
        running = Q(state=State.RUNNING, stop_requested_at=None)
        return self._change(running, stop_requested_at=Now(), reason=reason[:MAX_REASON_CHARACTERS])

    def end_stopped(self) -> bool:
        """End a run that was asked to stop as cancelled."""
        return self._end(State.CANCELLED, self._latest(), Q(stop_requested_at__isnull=False))

    def acknowledge(self, by: AbstractBaseUser) -> bool:
        """Note that an operator knows of its failure or errors, unless one has done so before."""
        runs = TaskRun.objects.unacknowledged().filter(pk=self.pk)
        return bool(runs.update(acknowledged_at=Now(), acknowledged_by=by))

    def mark_retried(self, by: AbstractBaseUser, retry: int) -> bool:
        """Note that the run `retry` does its work again, and acknowledge its failure or errors."""
        said = f"{self.reason} {RETRIED}{retry} by user {by.pk}.".strip()
        marked = self._change(~Q(state__in=UNFINISHED), reason=said[-MAX_REASON_CHARACTERS:])
        self.acknowledge(by)
        return marked

    def _if_latest(self, **conditions: Any) -> TaskRunQuerySet:
        return TaskRun.objects.filter(self._latest(), pk=self.pk, **conditions)

    def _latest(self) -> Q:
        """Return the condition that this attempt is the latest, and has not ended."""
        return Q(attempts=self.attempts, state__in=UNFINISHED)

    def _end_attempt(self, outcome: Outcome, *conditions: Q, said: str = "", **values: Any) -> bool:
        """Put the run back, and keep how its latest attempt ended: by the error, or as `said`."""
        with transaction.atomic():
            ended = self._put_back(*conditions, **values)
            if ended:
                Attempt.objects.record(self, outcome, values.get("error", said))
        return ended

    def _put_back(self, *conditions: Q, after: timedelta = timedelta(), **values: Any) -> bool:
        """Leave it to the relay to publish when it is due; no earlier message starts it."""
        return self._change(
            self._latest(),
            *conditions,
            state=State.PENDING,
            delivery=None,
            due_at=Now() + after if after else Now(),
            **values,
        )

    def _end(self, state: State, *conditions: Q, why: str = "", **values: Any) -> bool:
        asked_before = self._ending == state
        self._ending = state
        ended = self._change(*conditions, state=state, finished_at=Now(), **values)
        self._ending = None
        # The database's answer to an earlier call may have been lost: then that one ended the run.
        here = TaskRun.objects.filter(pk=self.pk)
        if ended or (asked_before and here.filter(attempts=self.attempts, state=state).exists()):
            known = {"task": self.task, "run": self.pk, "trigger": self.trigger}
            transaction.on_commit(partial(log_end, here, state, known, why=why), robust=True)
        return ended

    def _change(self, *conditions: Q | Combinable, **values: Any) -> bool:
        return bool(TaskRun.objects.filter(*conditions, pk=self.pk).update(**values))
