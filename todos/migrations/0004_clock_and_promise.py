from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Have the database stamp new todos, and each in the trash know for how long it was promised.

    The version before goes on working on this schema: it says itself when a todo was created, and
    what it puts into the trash is kept for the days that are the default.
    """

    dependencies = [("todos", "0003_purge_permission")]

    operations = [
        # With a constant default PostgreSQL rewrites no row. The first gives those that are there
        # what the site promises today; the second holds for those to come.
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
