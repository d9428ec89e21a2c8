"""When tasks run, as staff may change it."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from tasks.engine.database import CLOCK_TOLERANCE, database_now
from tasks.engine.recurrence import Recurrence


class Schedule(models.Model):
    """The times of a task. Staff change the first values (`tasks/engine/scheduler/defaults.py`)."""

    #: A change of any of these restarts the schedule.
    _TIMING: ClassVar = ("crontab", "every", "timezone", "enabled")

    task = models.CharField(max_length=100, unique=True, editable=False)
    crontab = models.CharField(
        max_length=200,
        blank=True,
        help_text="Minute, hour, day of the month, month and day of the week, as in cron: "
        "0 2 * * * is daily at 02:00.",
    )
    every = models.PositiveIntegerField(
        "every (seconds)", null=True, blank=True, help_text="An interval, instead of a crontab."
    )
    timezone = models.CharField(
        "time zone",
        max_length=100,
        blank=True,
        help_text="The zone of the crontab, such as Europe/Berlin. Empty: the site's.",
    )
    enabled = models.BooleanField(default=True)
    catch_up_seconds = models.PositiveIntegerField(
        "catch up (seconds)",
        default=24 * 60 * 60,
        help_text="A slot that was missed is still run this long after its time.",
    )
    effective_since = models.DateTimeField(
        editable=False, help_text="When these times were set. Earlier slots are not caught up."
    )
    last_slot = models.DateTimeField(
        null=True, editable=False, help_text="The latest slot that was claimed or skipped."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="tasks_schedule_times",
                condition=(Q(crontab="") & Q(every__gte=1))
                | (~Q(crontab="") & Q(every__isnull=True)),
                violation_error_message="Give either a crontab or an interval in seconds.",
            )
        ]

    def __str__(self) -> str:
        return self.task

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it. New times, or enabling it, restart it: earlier slots are not caught up.

        Only the scheduler writes `last_slot`: a form that was opened earlier must not turn it back.
        """
        if self._state.adding:
            self.effective_since = database_now()
            super().save(*args, **kwargs)
            return
        stored = Schedule.objects.filter(pk=self.pk).values(*self._TIMING).first()
        if stored is None or any(stored[name] != getattr(self, name) for name in self._TIMING):
            self.effective_since = database_now()
        kwargs["update_fields"] = [*self._TIMING, "catch_up_seconds", "effective_since"]
        super().save(*args, **kwargs)

    @property
    def recurrence(self) -> Recurrence:
        """Its times.

        Raises:
            ValueError: they are invalid; `clean` refuses such.
        """
        return Recurrence(
            crontab=self.crontab, every=self.every, timezone=self.timezone or settings.TIME_ZONE
        )

    @property
    def handled_until(self) -> datetime:
        return max(self.effective_since, self.last_slot or self.effective_since)

    def is_ahead_of(self, now: datetime) -> bool:
        """Say whether it is handled until the future: the clock has been set back."""
        return self.handled_until > now + CLOCK_TOLERANCE

    @property
    def catch_up(self) -> timedelta:
        return timedelta(seconds=self.catch_up_seconds)

    def clean(self) -> None:
        super().clean()
        try:
            _ = self.recurrence
        except ValueError as error:
            raise ValidationError(str(error)) from error
