"""How many runs ended in each hour, and how long they took, for the charts of a task."""

from django.db import models


class Measure(models.TextChoices):
    """What the runs of a row are sorted by."""

    DURATION = "duration"
    #: From the slot to the start.
    DELAY = "delay"


class RunCount(models.Model):
    """The runs of a task that ended in an hour in one state, with one measure of about one length.

    Each run counts once for each measure that it has: as to durations, those that were never
    started have the length 0. Rows are written once the hour is over (`operations/counting.py`),
    outlast the runs, and never change.
    """

    task = models.CharField(max_length=100)
    hour = models.DateTimeField(help_text="Its beginning.")
    state = models.CharField(max_length=10)
    measure = models.CharField(max_length=10, choices=Measure)
    length_ms = models.PositiveIntegerField(
        help_text="Milliseconds: the runs took at most so long, and longer than the next smaller."
    )
    amount = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "hour", "state", "measure", "length_ms"], name="tasks_runcount_key"
            )
        ]
        indexes = [models.Index(fields=["hour"], name="tasks_runcount_hour")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.amount} runs of {self.task}, {self.state}"
