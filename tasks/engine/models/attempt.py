"""The attempts at a run that ended without ending the run: what went wrong before it succeeded."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Case, Subquery, Value, When
from django.db.models.functions import Now

if TYPE_CHECKING:
    from tasks.engine.models.run import TaskRun

#: Attempts of one run that are kept. A long run continues every 20 seconds.
MOST_KEPT = 50


class Outcome(models.TextChoices):
    """How an attempt ended that did not end its run."""

    #: Its actor raised; another attempt follows.
    FAILED = "failed"
    #: The database or the broker failed, or the worker was stopped in the middle.
    INTERRUPTED = "interrupted"
    #: Its slice was over: the next attempt goes on at the checkpoint.
    CONTINUED = "continued"
    #: Its process was gone.
    RELEASED = "released"


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Attempts as the verbs of their run write them."""

    def record(self, run: "TaskRun", outcome: Outcome, error: str = "") -> None:
        """Write how the latest attempt of a run ended, in the transaction that puts the run back.

        An attempt may end twice: a process that counted as gone may go on with its run, if no other
        has started it since. Then the second end counts.
        """
        latest = type(run).objects.filter(pk=run.pk)
        attempt = Attempt(
            run=run,
            number=run.attempts,
            worker=Subquery(latest.values("worker")),
            started_at=Subquery(latest.values("attempted_at")),
            ended_at=Now(),
            outcome=outcome,
            error=error,
        )
        self.bulk_create(
            [attempt],
            update_conflicts=True,
            unique_fields=["run", "number"],
            update_fields=["ended_at", "outcome", "error"],
        )
        if run.attempts > MOST_KEPT:
            self._forget(run)

    def _forget(self, run: "TaskRun") -> None:
        """Delete attempts beyond `MOST_KEPT`: the oldest, and first those that just went on."""
        worth = Case(When(outcome=Outcome.CONTINUED, then=Value(0)), default=Value(1))
        earlier = self.filter(run=run).exclude(number=run.attempts)
        kept = earlier.order_by(worth.desc(), "-number").values("pk")[: MOST_KEPT - 1]
        earlier.exclude(pk__in=kept).delete()


class Attempt(models.Model):
    """An attempt that has ended, while its run had not. The latest one is in the run's own row."""

    run = models.ForeignKey(
        "TaskRun",
        # The database cascades (see the migration). DB_CASCADE would say so, but Django's check
        # fields.E323 refuses it here, as it is Django that clears the users of a run.
        on_delete=models.DO_NOTHING,
        related_name="ended_attempts",
        db_index=False,  # The constraint has one.
    )
    number = models.PositiveIntegerField()
    worker = models.CharField(max_length=300, blank=True, default="", db_default="")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(db_default=Now())
    outcome = models.CharField(max_length=11, choices=Outcome)
    error = models.TextField(blank=True, default="", db_default="")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="tasks_attempt_key")]
        # Whoever may view runs sees them on their pages.
        default_permissions = ()

    def __str__(self) -> str:
        return f"attempt {self.number} at run {self.run_id}, {self.outcome}"
