"""What builds or drops an index while others write to its table."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState


class AddIndexWithoutLock(AddIndexConcurrently):
    """Adds an index while others write to the table; one that was interrupted is begun anew."""

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
        drop(schema_editor, self.index.name)
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


class DropForeignKeyIndex(migrations.AlterField):
    """Gives a foreign key `db_index=False`, and drops its index, and nothing else.

    Django would also drop the constraint and add it anew: everybody would wait while it is checked.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002  (Django gives it)
        to_state: ProjectState,
    ) -> None:
        table, column = self._place(app_label, to_state)
        with schema_editor.connection.cursor() as cursor:
            found = schema_editor.connection.introspection.get_constraints(cursor, table)
        for name, one in found.items():
            if one["index"] and not one["unique"] and one["columns"] == [column]:
                drop(schema_editor, name)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002  (Django gives it)
        to_state: ProjectState,
    ) -> None:
        table, column = self._place(app_label, to_state)
        name = f"{table}_{column}_again"
        drop(schema_editor, name)
        schema_editor.execute(f"CREATE INDEX {way(schema_editor)} {name} ON {table} ({column})")

    def _place(self, app_label: str, state: ProjectState) -> tuple[str, str]:
        """Return the table and the column of the foreign key."""
        model = state.apps.get_model(app_label, self.model_name)
        return model._meta.db_table, model._meta.get_field(self.name).attname


def drop(schema_editor: BaseDatabaseSchemaEditor, name: str) -> None:
    schema_editor.execute(
        f"DROP INDEX {way(schema_editor)} IF EXISTS {schema_editor.quote_name(name)}"
    )


def way(schema_editor: BaseDatabaseSchemaEditor) -> str:
    """Return the word by which nobody has to wait, where the database has one."""
    return "CONCURRENTLY" if schema_editor.connection.vendor == "postgresql" else ""
