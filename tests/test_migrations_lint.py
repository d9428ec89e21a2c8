"""The check of migrations finds what the version before would stumble over, and nothing else."""

from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Q
from django.db.models.functions import Now

from tests.migrations_lint import ACCEPTED, complaints_about, findings_in, our_migrations

BOX = migrations.CreateModel(
    "Box",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("label", models.CharField(max_length=20)),
        ("colour", models.CharField(max_length=20, default="", db_default="")),
        ("opened_at", models.DateTimeField(null=True)),
    ],
)

BARE = migrations.AddField("box", "weight", models.IntegerField(default=0))
WITH_DEFAULT = migrations.AddField("box", "height", models.IntegerField(default=0, db_default=0))
NO_DEFAULT = "box.weight: a NOT NULL column without a database default"


def changed(name: str, field: "models.Field[Any, Any]") -> Operation:
    return migrations.AlterField("box", name, field)


def migration_of(*operations: Operation) -> Migration:
    kind = type("Migration", (Migration,), {"operations": operations})
    migration: Migration = kind("0002_next", "tasks")
    return migration


def state_before() -> ProjectState:
    state = ProjectState()
    BOX.state_forwards("tasks", state)
    return state


def found(*operations: Operation) -> list[str]:
    return [*findings_in(migration_of(*operations), state_before())]


def nothing(apps: object, schema_editor: object) -> None:
    pass


@pytest.mark.parametrize(
    ("operation", "finding"),
    [
        (BARE, NO_DEFAULT),
        (
            migrations.AddField("box", "code", models.IntegerField(null=True, unique=True)),
            "box.code: unique",
        ),
        (
            changed("opened_at", models.DateTimeField(default=None)),
            "box.opened_at: NOT NULL, and may have been null",
        ),
        (
            changed("colour", models.CharField(max_length=20, default="")),
            "box.colour: its database default is gone",
        ),
        (changed("label", models.CharField(max_length=19)), "box.label: narrower"),
        (changed("label", models.TextField()), "box.label: another type"),
        (
            changed("label", models.CharField(max_length=20, unique=True)),
            "box.label: unique, and was not",
        ),
        (
            changed("label", models.CharField(max_length=20, db_column="text")),
            "box.label: another name of the column",
        ),
        (
            migrations.AddConstraint(
                "box", models.CheckConstraint(condition=~Q(label=""), name="labelled")
            ),
            "box.labelled: a constraint on a table that is in use",
        ),
        (
            migrations.AddConstraint(
                "box", models.UniqueConstraint(fields=["label"], name="one_each")
            ),
            "box.one_each: a constraint on a table that is in use",
        ),
        (migrations.RemoveField("box", "label"), "Remove field label from box"),
        (migrations.RenameField("box", "label", "text"), "Rename field label on box to text"),
        (migrations.RenameModel("Box", "Crate"), "Rename model Box to Crate"),
        (migrations.DeleteModel("Box"), "Delete model Box"),
        (migrations.AlterModelTable("box", "boxes"), "Rename table for box to boxes"),
        (migrations.AlterUniqueTogether("box", {("label", "colour")}), "Alter unique_together"),
        (migrations.RunSQL("DROP TABLE tasks_box", ""), "Raw SQL operation"),
        (migrations.RunPython(nothing), "RunPython nothing: without a way back"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_the_version_before_is_found(operation: Operation, finding: str) -> None:
    (only,) = found(operation)
    assert only.startswith(finding)


def test_bad_column_is_found_before_and_after_a_good_one() -> None:
    """Its SQL would not tell: one statement of the migration has a default that stays."""
    assert found(BARE, WITH_DEFAULT) == found(WITH_DEFAULT, BARE) == [NO_DEFAULT]


def test_what_the_version_before_does_not_notice_is_accepted() -> None:
    assert not found(
        WITH_DEFAULT,
        migrations.AddField("box", "closed_at", models.DateTimeField(null=True)),
        migrations.AddField("box", "made_at", models.DateTimeField(db_default=Now())),
        migrations.AddField("box", "inside", models.ManyToManyField("tasks.Box")),
        changed("label", models.CharField(max_length=40, blank=True, help_text="What is in it.")),
        changed("colour", models.CharField(max_length=30, db_default="")),
        changed("opened_at", models.DateTimeField(null=True, db_default=Now())),
        migrations.AddIndex("box", models.Index(fields=["label"], name="by_label")),
        migrations.RunPython(nothing, migrations.RunPython.noop),
    )


def test_table_that_begins_in_the_migration_may_be_as_it_likes() -> None:
    assert not found(
        migrations.CreateModel("Lid", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("lid", "weight", models.IntegerField(unique=True, default=0)),
    )


def test_what_is_accepted_must_be_found() -> None:
    checked = [(migration_of(BARE), state_before())]
    assert not [*complaints_about(checked, {"tasks.0002_next": {NO_DEFAULT: "Landed."}})]
    assert [*complaints_about(checked, {"tasks.0001_other": {NO_DEFAULT: "Landed."}})] == [
        f"tasks.0002_next: {NO_DEFAULT}.",
        f"tasks.0001_other: accepted, but not found: {NO_DEFAULT}.",
    ]


def test_our_own_migrations_are_read_and_leave_the_version_before_working() -> None:
    ours = [*our_migrations()]
    assert {migration.app_label for migration, _ in ours} == {
        "accounts",
        "todos",
        "tasks",
        "tidy_tasks",
    }
    assert not [*complaints_about(ours, ACCEPTED)]
    # It landed before there was this check, which would have stopped it.
    worker = "taskrun.worker: a NOT NULL column without a database default"
    assert f"tasks.0002_console: {worker}." in complaints_about(ours, {})
