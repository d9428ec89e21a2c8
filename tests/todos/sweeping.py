"""What tests of the sweep, the trash and the undoing share."""

from typing import Any

from django.db import connection

from todos.bulk.store import InMemoryStore
from todos.models import Todo, TrashedTodo


def refuse_to_delete(*titles: str) -> None:
    """Make the database refuse to delete todos with these titles, as a trigger of a site might."""
    listed = ", ".join(f"'{title}'" for title in titles)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"""
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                  IF OLD.title IN ({listed}) THEN
                    RAISE EXCEPTION 'refused: %', OLD.title;
                  END IF;
                  RETURN OLD;
                END $$;
                CREATE TRIGGER refuse BEFORE DELETE ON todos_todo
                FOR EACH ROW EXECUTE FUNCTION refuse();
                """
            )
        else:
            cursor.execute(
                f"""
                CREATE TRIGGER refuse BEFORE DELETE ON todos_todo WHEN OLD.title IN ({listed})
                BEGIN SELECT RAISE(ABORT, 'refused'); END
                """
            )


class Run(InMemoryStore):
    """A run of the cleanup, as far as the trash knows of it."""

    def __init__(self, run_id: int) -> None:
        super().__init__()
        self.run_id = run_id


def rows(model: type[Todo] | type[TrashedTodo]) -> dict[int, dict[str, Any]]:
    """Return what is kept of todos, by id, but for when they were restored."""
    names = [field.attname for field in Todo.stored_fields() if field.attname != "restored_at"]
    return {row["id"]: row for row in model.objects.values(*names)}
