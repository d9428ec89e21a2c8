import re

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BY = "Cancelled by "


def name_ids(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have reasons name staff by number, as they do now: a name must not outlast an account."""
    runs = apps.get_model("tasks", "TaskRun").objects.filter(reason__startswith=BY)
    staff = apps.get_model("accounts", "User").objects.filter(is_staff=True)
    ids = dict(staff.values_list("username", "pk"))
    for pk, reason in list(runs.values_list("pk", "reason")):
        name = reason.removeprefix(BY).removesuffix(".")
        if not re.fullmatch(r"user \d+", name):
            who = f"user {ids[name]}" if name in ids else "somebody"
            runs.filter(pk=pk).update(reason=f"{BY}{who}.")


class Migration(migrations.Migration):
    dependencies = [("tasks", "0003_liveness"), ("accounts", "0001_initial")]

    operations = [migrations.RunPython(name_ids, migrations.RunPython.noop)]
