"""What the ledger has lost to pruning: a row for each group of runs, added up."""

from datetime import timedelta
from typing import NamedTuple, Self

from django.db import models

#: The columns that say what a row is of, and those that are added up.
KEY_FIELDS = ("task", "state", "counted", "duration_le", "delay_le")
SUM_FIELDS = ("amount", "duration", "delay")


class Tally(NamedTuple):
    """A group of runs that have ended, added up.

    Attributes:
        counted: empty if `amount` is the number of the runs; else the metric that it is of.
        duration_le: the bucket of their durations: its upper bound (seconds, as text); empty for
            runs that were never started.
        delay_le: the same of the delay from slot to start; empty for runs without a slot, too.
        duration: all durations added up.
        delay: all delays added up.
    """

    task: str
    state: str
    counted: str
    duration_le: str
    delay_le: str
    amount: int
    duration: timedelta
    delay: timedelta

    @property
    def key(self) -> tuple[str, ...]:
        """The values of KEY_FIELDS."""
        return self.task, self.state, self.counted, self.duration_le, self.delay_le

    def plus(self, other: "Tally") -> "Tally":
        return self._replace(
            amount=self.amount + other.amount,
            duration=self.duration + other.duration,
            delay=self.delay + other.delay,
        )


class RunTotal(models.Model):
    """A tally of runs that were pruned. Pruning adds to it in the transaction that deletes them."""

    task = models.CharField(max_length=100)
    state = models.CharField(max_length=10)
    counted = models.CharField(max_length=100, blank=True)
    duration_le = models.CharField(max_length=20, blank=True)
    delay_le = models.CharField(max_length=20, blank=True)
    amount = models.BigIntegerField(default=0)
    duration = models.DurationField(default=timedelta)
    delay = models.DurationField(default=timedelta)

    class Meta:
        constraints = [models.UniqueConstraint(fields=KEY_FIELDS, name="tasks_runtotal_key")]
        # Nobody's business but the metrics'.
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.amount} {self.counted or 'runs'} of {self.task}, {self.state}"

    @classmethod
    def of(cls, tally: Tally) -> Self:
        return cls(**tally._asdict())
