"""Runs an actor as a worker does: on a row of the ledger, with its checkpoint in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Any

from django.db import connection, transaction
from dramatiq import Actor

from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, State, TaskRun, Trigger
from tasks.engine.runs.execution import Continued, Execution, set_current


@dataclass
class Watch:
    """Recurrence transactions.

    Attributes:
        longest: what the longest took (seconds).
    """

    longest: float = 0.0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Time the block, which is one transaction."""
        started = perf_counter()
        yield
        self.longest = max(self.longest, perf_counter() - started)

    def execute(self, *statements: str) -> int:
        """Execute statements in one transaction; return how many rows the last one touched."""
        with self.transaction(), connection.cursor() as cursor:
            if len(statements) == 1:
                cursor.execute(statements[0])
            else:
                with transaction.atomic():
                    for statement in statements:
                        cursor.execute(statement)
            return int(cursor.rowcount)


class WatchedExecution(Execution):
    """An attempt at a run whose transactions are timed."""

    watch: Watch

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Do a part of the work in one transaction with its checkpoint."""
        with self.watch.transaction(), super().step() as checkpoint:
            yield checkpoint


def perform[**P, R](
    actor: Actor[P, R], watch: Watch, *args: P.args, **kwargs: P.kwargs
) -> tuple[TaskRun, R]:
    """Run an actor to its end, slice after slice.

    Args:
        actor: which one.
        watch: times its transactions.
        args: its own arguments.
        kwargs: its own arguments.

    Returns:
        The run's row, and its result.
    """
    heartbeat = Heartbeat(ProcessKind.WORKER)
    heartbeat.beat()
    row = TaskRun.objects.create(
        task=actor.actor_name, trigger=Trigger.API, queue=actor.queue_name, state=State.QUEUED
    )
    run = TaskRun.objects.get(pk=row.pk)
    while True:
        assert run.start(heartbeat.id)
        execution = WatchedExecution(run, heartbeat)
        execution.watch = watch
        set_current(execution)
        try:
            result = actor.fn(*args, **kwargs)
        except Continued:
            assert run.continue_later(after=timedelta(0))
            assert run.mark_sent()
        else:
            run.succeed(result)
            return run, result
        finally:
            set_current(None)
