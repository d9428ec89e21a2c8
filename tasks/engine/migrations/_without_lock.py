"""Operations that build an index on PostgreSQL while others write, in migrations that are not atomic.

Each can be repeated after it was interrupted.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState


class AddIndexWithoutLock(AddIndexConcurrently):
    """Adds an index."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            add = migrations.AddIndex(self.model_name, self.index)
            add.database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            add = migrations.AddIndex(self.model_name, self.index)
            add.database_backwards(app_label, schema_editor, from_state, to_state)
            return
        super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddUniqueWithoutLock(migrations.AddConstraint):
    """Adds a unique constraint on some fields: first its index, then the constraint that uses it."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        connection, name = schema_editor.connection, self.constraint.name
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        assert isinstance(self.constraint, models.UniqueConstraint)  # noqa: S101  (see the class)
        model = to_state.apps.get_model(app_label, self.model_name)
        table = model._meta.db_table
        with connection.cursor() as cursor:
            if name in connection.introspection.get_constraints(cursor, table):
                cursor.execute("SELECT 1 FROM pg_constraint WHERE conname = %s", [name])
                if cursor.fetchone():
                    return
        columns = ", ".join(model._meta.get_field(f).column for f in self.constraint.fields)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        schema_editor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns})")
        schema_editor.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
        )
