from django.db import migrations, models

from todos.migrations._without_lock import AddIndexWithoutLock


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("todos", "0008_requests_asked")]

    operations = [
        AddIndexWithoutLock(
            model_name="todo",
            index=models.Index(fields=["user", "id"], name="todos_todo_user_id"),
        ),
    ]
