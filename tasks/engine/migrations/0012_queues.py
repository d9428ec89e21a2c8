import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0011_attempts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="process",
            options={
                "permissions": [("stop_process", "Can ask workers to finish and leave")],
                "verbose_name_plural": "processes",
            },
        ),
        migrations.AddField(
            model_name="process",
            name="command_pid",
            field=models.PositiveIntegerField(
                help_text="Of a worker, the process to stop, which has started it, and perhaps others. Empty: of an earlier version, it heeds no request.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="process",
            name="leave_requested_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="process",
            name="leave_requested_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.DB_SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="process",
            name="leaving_since",
            field=models.DateTimeField(
                help_text="Since when it has taken nothing more, to finish and leave.", null=True
            ),
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "paused_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "resumed_at",
                    models.DateTimeField(help_text="Empty while it is paused.", null=True),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, db_default="", default="", help_text="Why.", max_length=200
                    ),
                ),
                (
                    "paused_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DB_SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "permissions": [("pause_queue", "Can pause and resume queues")],
                "default_permissions": (),
            },
        ),
    ]
