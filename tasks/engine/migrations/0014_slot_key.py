from django.db import migrations, models

from tasks.engine.migrations._without_lock import AddIndexWithoutLock, AddUniqueWithoutLock


class Migration(migrations.Migration):
    """A slot's key is (task, name of its schedule, time).

    Rows of the version before have no name, as have those of a task's only schedule: whichever
    version claims such a slot, there is one row.
    """

    atomic = False

    dependencies = [("tasks", "0013_schedules")]

    operations = [
        AddUniqueWithoutLock(
            model_name="taskrun",
            constraint=models.UniqueConstraint(
                fields=("task", "schedule_name", "scheduled_for"), name="tasks_run_schedule_slot"
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                condition=models.Q(("scheduled_for__isnull", False), ("state", "succeeded")),
                fields=["task", "schedule_name", "scheduled_for"],
                name="tasks_run_succeeded_slot",
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["schedule_name", "task", "finished_at"],
                name="tasks_run_schedule_end",
            ),
        ),
        AddIndexWithoutLock(
            model_name="taskrun",
            index=models.Index(
                condition=models.Q(("waits_for__isnull", False)),
                fields=["waits_for"],
                name="tasks_run_waits_for",
            ),
        ),
    ]
