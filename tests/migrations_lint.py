"""Finds what a migration may do to the version before, which goes on working on the new schema.

`python -m tests.migrations_lint` is part of `make lint`. It reads the operations of every migration
of ours, needs no database, and accepts what the version before cannot notice: new tables; new
columns that may be null or have a database default; columns made wider; indexes. Everything else is
either done one version later (expand, then contract), or named in ACCEPTED with the reason why it
is no harm.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping

import django
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection, migrations
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Field

APPS = ("accounts", "todos", "tasks", "tidy_tasks")

#: What is done all the same: the migration, then what is found there, and why it is no harm.
ACCEPTED: Mapping[str, Mapping[str, str]] = {
    "tasks.0002_console": {
        "taskrun.worker: a NOT NULL column without a database default": (
            "It has landed; 0003_liveness gives the column its default."
        ),
    },
    "tasks.0011_attempts": {
        "Custom state/database change combination: not known to be harmless": (
            "A new table. The database deletes its rows together with the run that they are of."
        ),
    },
    "tasks.0003_liveness": {
        "taskrun.tasks_run_state: a constraint on a table that is in use": (
            "It takes the place of a stricter one."
        ),
    },
    "tasks.0013_schedules": {
        "schedule.tasks_schedule_name: a constraint on a table that is in use": (
            "Weaker than the one on the task alone, which it takes the place of."
        ),
        "schedule.tasks_schedule_times: a constraint on a table that is in use": (
            "It takes the place of a stricter one."
        ),
        "schedule.tasks_schedule_extended: a constraint on a table that is in use": (
            "The version before writes no extended schedule; it must not enable one."
        ),
    },
    "tasks.0014_slot_key": {
        "taskrun.tasks_run_schedule_slot: a constraint on a table that is in use": (
            "Weaker than the one without the name, which it takes the place of; built meanwhile."
        ),
    },
}

#: What the version before does not notice, whatever it is done to.
HARMLESS = (
    migrations.AlterModelManagers,
    migrations.AlterModelOptions,
    migrations.AddIndex,
    migrations.RemoveIndex,
    migrations.RenameIndex,
    migrations.RemoveConstraint,
    migrations.CreateModel,
)


def main() -> int:
    """Print what is wrong, a line each; return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    complaints = [*complaints_about(our_migrations(), ACCEPTED)]
    for complaint in complaints:
        print(complaint)  # noqa: T201  (it is a command)
    if complaints:
        print(  # noqa: T201
            "The version before must work on the new schema: see Upgrading in docs/operations.md."
        )
    return 1 if complaints else 0


def our_migrations() -> Iterator[tuple[Migration, ProjectState]]:
    """Yield each migration of APPS with the state of the models before it, in order."""
    loader = MigrationLoader(None)
    for key in loader.graph.nodes:
        if key[0] in APPS:
            yield loader.disk_migrations[key], loader.project_state(key, at_end=False)


def complaints_about(
    migrations_with_states: Iterable[tuple[Migration, ProjectState]],
    accepted: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """Yield what is found and not accepted, and what is accepted and not found.

    Args:
        migrations_with_states: migrations, each with the state of the models before it.
        accepted: as ACCEPTED.
    """
    unused = {(name, finding) for name, findings in accepted.items() for finding in findings}
    for migration, state in migrations_with_states:
        name = f"{migration.app_label}.{migration.name}"
        for finding in findings_in(migration, state):
            if finding not in accepted.get(name, {}):
                yield f"{name}: {finding}."
            unused.discard((name, finding))
    for name, finding in sorted(unused):
        yield f"{name}: accepted, but not found: {finding}."


def findings_in(migration: Migration, state: ProjectState) -> Iterator[str]:
    """Yield what in a migration the version before may stumble over.

    Args:
        state: of the models before the migration; it is left as it is.
    """
    state = state.clone()
    created = {
        operation.name_lower
        for operation in migration.operations
        if isinstance(operation, migrations.CreateModel)
    }
    for operation in migration.operations:
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        # A table that begins here is nothing to the version before.
        if getattr(operation, "model_name_lower", None) not in created:
            yield from findings_of(operation, migration.app_label, before, state)


def findings_of(
    operation: Operation, app: str, before: ProjectState, after: ProjectState
) -> Iterator[str]:
    """Yield what the version before may stumble over in one operation."""
    match operation:
        case migrations.AddField():
            yield from findings_of_new(field_of(operation, app, after), named(operation))
        case migrations.AlterField():
            old, new = field_of(operation, app, before), field_of(operation, app, after)
            yield from findings_of_change(old, new, named(operation))
        case migrations.AddConstraint():
            table = f"{operation.model_name_lower}.{operation.constraint.name}"
            yield f"{table}: a constraint on a table that is in use"
        case migrations.RunPython():
            if not operation.reversible:
                name = getattr(operation.code, "__name__", repr(operation.code))
                yield f"RunPython {name}: without a way back"
        case AddIndexConcurrently():
            pass
        case _ if type(operation) not in HARMLESS:
            yield f"{operation.describe()}: not known to be harmless"


def named(operation: migrations.AddField | migrations.AlterField) -> str:
    """Return `model.field`."""
    return f"{operation.model_name_lower}.{operation.name_lower}"


def field_of(
    operation: migrations.AddField | migrations.AlterField, app: str, state: ProjectState
) -> "Field[object, object]":
    """Return the field that an operation is about, as it stands in a state, with its model."""
    model = state.apps.get_model(app, operation.model_name)
    field: Field[object, object] = model._meta.get_field(operation.name)
    return field


def findings_of_new(field: "Field[object, object]", name: str) -> Iterator[str]:
    """Yield what is wrong with a column that the version before does not write."""
    if field.many_to_many or field.generated:
        return
    if not field.null and not field.has_db_default():
        yield f"{name}: a NOT NULL column without a database default"
    if field.unique:
        yield f"{name}: unique"


def findings_of_change(
    old: "Field[object, object]", new: "Field[object, object]", name: str
) -> Iterator[str]:
    """Yield what is wrong with a column that the version before goes on to write as it did."""
    if old.null and not new.null:
        yield f"{name}: NOT NULL, and may have been null"
    if not new.null and old.has_db_default() and not new.has_db_default():
        yield f"{name}: its database default is gone"
    if new.unique and not old.unique:
        yield f"{name}: unique, and was not"
    if old.column != new.column:
        yield f"{name}: another name of the column"
    if type_of(old) != type_of(new):
        yield f"{name}: another type"
    elif (new.max_length or sys.maxsize) < (old.max_length or sys.maxsize):
        yield f"{name}: narrower"


def type_of(field: "Field[object, object]") -> tuple[type, str]:
    """Return what a column holds, without its length."""
    column_type = field.db_type(connection) or ""
    return type(field), column_type.partition("(")[0]


if __name__ == "__main__":
    sys.exit(main())
