"""The migration that lets those who may view todos view the details of runs."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tasks.engine.models import State
from tests.admin_pages import log_in_staff
from tests.factories import new_run

SECRET = "ValueError: buy a ring"


def migrate() -> None:
    """Run the migration's function on the database of the version before."""
    module = import_module("tasks.migrations.0001_run_details_permission")
    with connection.schema_editor() as editor:
        module.grant(apps, editor)


@pytest.fixture
def version_before(db: None) -> None:
    """The permissions as the version before left them."""
    Permission.objects.filter(codename="view_taskrun_details").delete()
    Permission.objects.filter(codename="undo_taskrun").update(name="Can undo cleanups")


@pytest.mark.usefixtures("version_before")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_group", [False, True])
def test_who_might_view_todos_still_sees_errors_after_the_migration(
    client: Client, *, by_group: bool
) -> None:
    run = new_run(State.FAILED, error=SECRET)
    page = reverse("admin:tasks_taskrun_change", args=[run.pk])
    viewer = log_in_staff(client, "view_taskrun", "view_todo")
    if by_group:
        group = Group.objects.create(name="support")
        group.permissions.set(viewer.user_permissions.all())
        viewer.user_permissions.clear()
        viewer.groups.add(group)
    assert SECRET not in client.get(page).content.decode()

    migrate()
    migrate()  # Once more changes nothing.

    assert SECRET in client.get(page).content.decode()
    assert Permission.objects.get(codename="undo_taskrun").name == "Can undo runs"


@pytest.mark.usefixtures("version_before")
@pytest.mark.django_db(transaction=True)
def test_nobody_else_is_given_the_permission() -> None:
    other = User.objects.create_user("other", is_staff=True)
    other.user_permissions.add(Permission.objects.get(codename="view_taskrun"))
    migrate()
    details = Permission.objects.get(codename="view_taskrun_details")
    assert details.name == "Can view errors, arguments and results of runs"
    assert not details.user_set.exists()
    assert not details.group_set.exists()


@pytest.mark.django_db(transaction=True)
def test_new_database_without_permissions_is_migrated() -> None:
    Permission.objects.all().delete()
    migrate()
    assert not Permission.objects.exists()
