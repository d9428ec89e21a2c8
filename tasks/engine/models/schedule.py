"""When tasks run, as staff may change it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q, Value

from tasks.engine.database import CLOCK_TOLERANCE, database_now
from tasks.engine.models.queue import MAX_NOTE_CHARACTERS
from tasks.engine.recurrence import ONE_OF_THREE, Recurrence

#: Python knows no moment after the year 9999, which comes earlier in some zones: whoever reads such
#: a row would fail, the schedulers too.
END_OF_TIME = datetime(9000, 1, 1, tzinfo=UTC)

#: The longest time by which a slot's run may start later, at random.
MAX_JITTER_SECONDS = 60 * 60


def one_line_of_text(text: str) -> None:
    """Raise ValidationError if a text has a line break, or what no reader sees."""
    if not text.isprintable():
        raise ValidationError("Give it in one line, without characters that cannot be seen.")


class Overlap(models.TextChoices):
    """What becomes of a slot while an earlier run of its schedule is unfinished."""

    SKIP = "skip", "skip the slot"
    #: One at the most: further slots are skipped.
    QUEUE = "queue", "wait, and run after it"


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Schedules by their state."""

    def active(self) -> Self:
        """Return those that are not paused."""
        plain, extended = Q(extended=False, enabled=True), Q(extended=True, paused_at=None)
        return self.filter(plain | extended)

    def in_order(self) -> Self:
        return self.order_by("task", "name")


class Schedule(models.Model):
    """The times of a task. Staff change the first values (`tasks/engine/scheduler/defaults.py`).

    A task may have several, told apart by their names: `(task, name, slot)` is the key of a slot.

    What the version before knows nothing of makes a schedule `extended`: arguments, a name, one
    moment, a wait, jitter. Its schedulers would start such a task without them. So they find it
    not enabled, and `enabled` says whether a schedule is active only of those that are not
    extended. (When no version before this one is left, `paused_at` alone can say it.)
    """

    #: A change of any of these restarts the schedule.
    _TIMING: ClassVar = ("crontab", "every", "once_at", "timezone", "jitter_seconds")

    #: What a form changes.
    _SETTINGS: ClassVar = (*_TIMING, "arguments", "overlap", "catch_up_seconds")

    #: What `pause`, `resume` and `save` derive.
    _STATE: ClassVar = (
        *("enabled", "extended", "paused_at", "paused_by", "pause_note", "effective_since"),
    )

    task = models.CharField(max_length=100)
    name = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        validators=[one_line_of_text],
        help_text="Tells it apart from other schedules of the same task.",
    )
    arguments = models.JSONField(
        blank=True,
        default=dict,
        db_default=Value({}, models.JSONField()),
        help_text='The keyword arguments of its runs, as a JSON object: {"keep_days": 3}.',
    )
    crontab = models.CharField(
        max_length=200,
        blank=True,
        help_text="Minute, hour, day of the month, month and day of the week, as in cron: "
        "0 2 * * * is daily at 02:00.",
    )
    every = models.PositiveIntegerField(
        "every (seconds)", null=True, blank=True, help_text="An interval, instead of a crontab."
    )
    once_at = models.DateTimeField(
        "once, at", null=True, blank=True, help_text="One moment, instead of a crontab."
    )
    timezone = models.CharField(
        "time zone",
        max_length=100,
        blank=True,
        help_text="The zone of the crontab, such as Europe/Berlin. Empty: the site's.",
    )
    jitter_seconds = models.PositiveIntegerField(
        "jitter (seconds)",
        default=0,
        db_default=0,
        validators=[MaxValueValidator(MAX_JITTER_SECONDS)],
        help_text="Each run starts up to this much later, at random, and before the next slot.",
    )
    overlap = models.CharField(
        "if the run before has not ended",
        max_length=10,
        choices=Overlap,
        default=Overlap.SKIP,
        db_default=Overlap.SKIP,
    )
    enabled = models.BooleanField(default=True)
    extended = models.BooleanField(default=False, db_default=False, editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.DB_SET_NULL,
        related_name="+",
    )
    pause_note = models.CharField(
        max_length=MAX_NOTE_CHARACTERS, blank=True, default="", db_default="", editable=False
    )
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

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "name"], name="tasks_schedule_name"),
            models.CheckConstraint(
                name="tasks_schedule_times",
                condition=(Q(crontab="") & Q(every__gte=1) & Q(once_at__isnull=True))
                | (~Q(crontab="") & Q(every__isnull=True) & Q(once_at__isnull=True))
                | (
                    Q(crontab="")
                    & Q(every__isnull=True)
                    & Q(once_at__isnull=False)
                    & Q(once_at__lt=END_OF_TIME)
                ),
                violation_error_message=ONE_OF_THREE,
            ),
            # Not even a page of the version before can have its schedulers start one.
            models.CheckConstraint(
                name="tasks_schedule_extended", condition=~Q(extended=True, enabled=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} ({self.name})" if self.name else self.task

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it. New times, or resuming it, restart it: earlier slots are not caught up.

        Only the scheduler writes `last_slot`: a form that was opened earlier must not turn it back.
        """
        adding = self._state.adding
        columns = (*self._TIMING, "extended", "enabled", "paused_at")
        stored = None if adding else Schedule.objects.filter(pk=self.pk).values(*columns).first()
        is_active = self.is_active
        if (
            stored is None
            or any(stored[name] != getattr(self, name) for name in self._TIMING)
            or is_active != active_by(stored)
        ):
            self.effective_since = database_now()
        self.paused_at = None if is_active else (self.paused_at or database_now())
        self.extended = self.needs_extension
        self.enabled = is_active and not self.extended
        if not adding:
            kwargs["update_fields"] = [*self._SETTINGS, *self._STATE]
        super().save(*args, **kwargs)

    @property
    def needs_extension(self) -> bool:
        """Whether it has anything that the version before knows nothing of."""
        return bool(
            self.name
            or self.arguments
            or self.once_at
            or self.jitter_seconds
            or self.overlap != Overlap.SKIP
        )

    @property
    def is_active(self) -> bool:
        """Whether it starts runs: it is not paused."""
        return active_by(vars(self))

    def pause(self, *, by: AbstractBaseUser | None, note: str = "") -> None:
        """Have it start no runs until it is resumed; save it."""
        self.enabled, self.paused_at = False, database_now()
        self.paused_by_id, self.pause_note = by.pk if by else None, note[:MAX_NOTE_CHARACTERS]
        self.save()

    def resume(self) -> None:
        """Have it start runs again, and not those of slots that have passed; save it."""
        self.enabled, self.paused_at = not self.extended, None
        self.paused_by_id, self.pause_note = None, ""
        self.save()

    @property
    def recurrence(self) -> Recurrence:
        """Its times.

        Raises:
            ValueError: they are invalid; `clean` refuses such.
        """
        return Recurrence(
            crontab=self.crontab,
            every=self.every,
            at=self.once_at,
            timezone=self.timezone or settings.TIME_ZONE,
        )

    def starts_until(self, moment: datetime) -> Iterator[datetime]:
        """Yield the slots whose runs should have started by a moment, the latest first.

        Raises:
            ValueError: its times are invalid.
        """
        for slot in self.recurrence.until(moment):
            if self.start_of(slot) <= moment:
                yield slot

    def next_start(self, moment: datetime) -> datetime | None:
        """Return when a run should start next after a moment; None if there is none to come.

        Raises:
            ValueError: its times are invalid.
        """
        times = self.recurrence
        latest, coming = next(times.until(moment), None), next(times.after(moment), None)
        starts = [self.start_of(slot) for slot in (latest, coming) if slot]
        return next((start for start in starts if start > moment), None)

    def start_of(self, slot: datetime) -> datetime:
        """Return when the run of a slot starts: with jitter, a little later.

        By chance, but the same for whoever asks, and before the next slot.
        """
        if not self.jitter_seconds:
            return slot
        room = timedelta(seconds=self.jitter_seconds)
        if coming := next(self.recurrence.after(slot), None):
            room = min(room, coming - slot)
        seed = sha256(f"{self.task} {self.name} {slot.isoformat()}".encode()).digest()
        return slot + room * (int.from_bytes(seed[:4]) / 2**32)

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


def active_by(row: "dict[str, Any]") -> bool:
    """Say whether a schedule with these columns is active; see `Schedule`."""
    return row["paused_at"] is None if row["extended"] else bool(row["enabled"])
