from datetime import UTC, datetime

import django.core.validators
from django.conf import settings
from django.db import migrations, models

import tasks.engine.models.schedule


class Migration(migrations.Migration):
    """What the version before knows nothing of is hidden from it: see `Schedule`."""

    dependencies = [
        ("tasks", "0012_queues"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="process",
            name="knows_extended",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether it is of a version that knows extended schedules.",
            ),
        ),
        migrations.RemoveConstraint(model_name="schedule", name="tasks_schedule_times"),
        migrations.AddField(
            model_name="schedule",
            name="arguments",
            field=models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                help_text='The keyword arguments of its runs, as a JSON object: {"keep_days": 3}.',
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="extended",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="schedule",
            name="jitter_seconds",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Each run starts up to this much later, at random, and before the next "
                "slot.",
                validators=[django.core.validators.MaxValueValidator(3600)],
                verbose_name="jitter (seconds)",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="name",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Tells it apart from other schedules of the same task.",
                max_length=100,
                validators=[tasks.engine.models.schedule.one_line_of_text],
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="once_at",
            field=models.DateTimeField(
                blank=True,
                help_text="One moment, instead of a crontab.",
                null=True,
                verbose_name="once, at",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="overlap",
            field=models.CharField(
                choices=[("skip", "skip the slot"), ("queue", "wait, and run after it")],
                db_default="skip",
                default="skip",
                max_length=10,
                verbose_name="if the run before has not ended",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="pause_note",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=200
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="paused_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="schedule",
            name="paused_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=models.DB_SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="taskrun",
            name="schedule_name",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The name of its schedule, if the task has several; part of the slot's "
                "key.",
                max_length=100,
            ),
        ),
        migrations.AddField(
            model_name="taskrun",
            name="waits_for",
            field=models.PositiveBigIntegerField(
                help_text="The earlier run that must end before it is published.", null=True
            ),
        ),
        # Before the unique constraint on the task alone goes, so that none is ever there twice.
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("task", "name"), name="tasks_schedule_name"),
        ),
        migrations.AlterField(
            model_name="schedule", name="task", field=models.CharField(max_length=100)
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("crontab", ""), ("every__gte", 1), ("once_at__isnull", True)),
                    models.Q(
                        models.Q(("crontab", ""), _negated=True),
                        ("every__isnull", True),
                        ("once_at__isnull", True),
                    ),
                    models.Q(
                        ("crontab", ""),
                        ("every__isnull", True),
                        ("once_at__isnull", False),
                        ("once_at__lt", datetime(9000, 1, 1, tzinfo=UTC)),
                    ),
                    _connector="OR",
                ),
                name="tasks_schedule_times",
                violation_error_message="Give a crontab, an interval in seconds, or a moment: one "
                "of the three.",
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("enabled", True), ("extended", True), _negated=True),
                name="tasks_schedule_extended",
            ),
        ),
    ]
