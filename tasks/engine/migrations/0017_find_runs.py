"""Indexes by which the list of runs finds what is rare."""

from django.db import migrations, models

from tasks.engine.migrations._without_lock import AddIndexWithoutLock


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("tasks", "0016_run_counts")]

    operations = [
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(fields=["task", "id"], name="tasks_run_task"),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                fields=["id", "state", "task"],
                name="tasks_run_not_well",
                condition=models.Q(("state__in", ["failed", "cancelled", "skipped"])),
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                fields=["id"],
                name="tasks_run_with_errors",
                condition=models.Q(("has_errors", True)),
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                fields=["trigger", "id"],
                name="tasks_run_by_hand",
                condition=models.Q(("trigger", "schedule"), _negated=True),
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                fields=["request_id"],
                name="tasks_run_request",
                condition=models.Q(("request_id", ""), _negated=True),
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(fields=["created_at"], name="tasks_run_created_at"),
        ),
        migrations.AlterField(
            model_name="taskrun",
            name="reason",
            field=models.CharField(
                blank=True,
                help_text="Why it was skipped or cancelled, or as which run it was retried.",
                max_length=200,
            ),
        ),
    ]
