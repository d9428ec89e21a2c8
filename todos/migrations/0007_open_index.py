from django.db import migrations, models

from todos.migrations._without_lock import AddIndexWithoutLock


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("todos", "0006_idempotency_keys")]

    operations = [
        AddIndexWithoutLock(
            model_name="todo",
            index=models.Index(
                condition=models.Q(("completed_at__isnull", True)),
                fields=["user", "due_on", "-id"],
                name="todos_todo_open",
            ),
        ),
    ]
