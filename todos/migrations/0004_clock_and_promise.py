from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Let the database stamp new todos, and store the promised retention of each in the trash.

    The version before still works on this schema: it stamps new todos itself, and what it moves to
    the trash gets the default retention.
    """

    dependencies = [("todos", "0003_purge_permission")]

    operations = [
        # With a constant default PostgreSQL rewrites no row. The first default gives existing rows
        # the present retention of the site; the second is for new rows.
        *(
            operation(
                model_name="trashedtodo",
                name="trash_days",
                field=models.SmallIntegerField(
                    "promised",
                    db_default=days,
                    editable=False,
                    help_text="How many days it was to stay here, when it came.",
                ),
            )
            for operation, days in (
                (migrations.AddField, settings.TODO_TRASH_DAYS or 30),
                (migrations.AlterField, 30),
            )
        ),
        *(
            migrations.AlterField(
                model_name=model_name,
                name="created_at",
                field=models.DateTimeField("created", db_default=Now(), editable=False),
            )
            for model_name in ("todo", "trashedtodo")
        ),
    ]
