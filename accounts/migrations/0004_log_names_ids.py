"""Remove people's names, and what they wrote, from the admin's log."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Value
from django.db.models.functions import Concat

#: Kinds of rows whose entries quoted them, and what an entry calls such a row now.
KINDS = {
    ("accounts", "user"): "user ",
    ("todos", "todo"): "todo ",
    ("todos", "trashedtodo"): "trashed todo ",
}


def name_ids(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Name the row of each entry by kind and id. Entries about many rows never quoted any."""
    kinds = apps.get_model("contenttypes", "ContentType").objects
    entries = apps.get_model("admin", "LogEntry").objects
    for (app_label, model), kind in KINDS.items():
        entries.filter(
            content_type__in=kinds.filter(app_label=app_label, model=model),
            object_id__isnull=False,
        ).update(object_repr=Concat(Value(kind), "object_id"))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_sessions"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        # The names cannot be restored, and need not be.
        migrations.RunPython(name_ids, migrations.RunPython.noop, elidable=True),
    ]
