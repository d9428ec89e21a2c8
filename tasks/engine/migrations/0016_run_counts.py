from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tasks", "0015_old_slot_key")]

    operations = [
        migrations.CreateModel(
            name="RunCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task", models.CharField(max_length=100)),
                ("hour", models.DateTimeField(help_text="Its beginning.")),
                ("state", models.CharField(max_length=10)),
                (
                    "measure",
                    models.CharField(
                        choices=[("duration", "Duration"), ("delay", "Delay")], max_length=10
                    ),
                ),
                (
                    "length_ms",
                    models.PositiveIntegerField(
                        help_text="Milliseconds: the runs took at most so long, and longer than "
                        "the next smaller."
                    ),
                ),
                ("amount", models.PositiveIntegerField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["hour"], name="tasks_runcount_hour")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("task", "hour", "state", "measure", "length_ms"),
                        name="tasks_runcount_key",
                    )
                ],
            },
        ),
    ]
