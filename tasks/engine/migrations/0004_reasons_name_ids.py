import re

from django.apps.registry import Apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BY = "Cancelled by "


def name_ids(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Name staff in reasons by id, as the code does now: a name must not outlast an account."""
    runs = apps.get_model("tasks", "TaskRun").objects.filter(reason__startswith=BY)
    reasons = list(runs.values_list("pk", "reason"))
    if not reasons:
        return
    staff = apps.get_model(settings.AUTH_USER_MODEL).objects.filter(is_staff=True)
    ids = dict(staff.values_list(get_user_model().USERNAME_FIELD, "pk"))
    for pk, reason in reasons:
        name = reason.removeprefix(BY).removesuffix(".")
        if not re.fullmatch(r"user \d+", name):
            who = f"user {ids[name]}" if name in ids else "somebody"
            runs.filter(pk=pk).update(reason=f"{BY}{who}.")


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0003_liveness"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(name_ids, migrations.RunPython.noop)]
