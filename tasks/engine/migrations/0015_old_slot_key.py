from django.db import migrations


class Migration(migrations.Migration):
    """The key without the schedule goes, now that the one with it is there."""

    dependencies = [("tasks", "0014_slot_key")]

    operations = [
        migrations.RemoveConstraint(model_name="taskrun", name="tasks_run_slot"),
        migrations.RemoveIndex(model_name="taskrun", name="tasks_run_task_succeeded_slot"),
        migrations.RemoveIndex(model_name="taskrun", name="tasks_run_task_finished_at"),
    ]
