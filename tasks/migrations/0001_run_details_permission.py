"""Let those who may view todos view the details of runs, which used to take that permission."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give the new permission to every user and group that has `todos.view_todo`."""
    permissions = apps.get_model("auth", "Permission").objects
    of_runs = permissions.filter(content_type__app_label="tasks", content_type__model="taskrun")
    of_runs.filter(codename="undo_taskrun").update(name="Can undo runs")
    view_todo = permissions.filter(
        content_type__app_label="todos", content_type__model="todo", codename="view_todo"
    ).first()
    if view_todo is None:
        return  # A new database: its permissions are created after the migrations.
    kinds = apps.get_model("contenttypes", "ContentType").objects
    details, _ = permissions.get_or_create(
        content_type=kinds.get_or_create(app_label="tasks", model="taskrun")[0],
        codename="view_taskrun_details",
        defaults={"name": "Can view errors, arguments and results of runs"},
    )
    for user in apps.get_model("accounts", "User").objects.filter(user_permissions=view_todo):
        user.user_permissions.add(details)
    for group in apps.get_model("auth", "Group").objects.filter(permissions=view_todo):
        group.permissions.add(details)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("tasks", "0006_run_details_permission"),
        ("todos", "0001_initial"),
    ]

    operations = [
        # Back in the version before, nothing asks for the new permission.
        migrations.RunPython(grant, migrations.RunPython.noop, elidable=True),
    ]
