"""What a migration of todos does to those who read and write them meanwhile."""

from pathlib import Path

import psycopg
import pytest

from tests.keys import SECRET_KEY
from tests.processes import Tidy, wait_until

INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'todos_todo'"
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'DROP INDEX%' AND wait_event_type = 'Lock'
"""
CONSTRAINTS = "SELECT oid, conname FROM pg_constraint WHERE conrelid = 'todos_todo'::regclass"


@pytest.mark.e2e
def test_nobody_waits_while_the_index_on_the_person_is_dropped(
    checkout: Path, migrated_database: str, tmp_path: Path
) -> None:
    settings = {
        "DJANGO_DEBUG": "true",
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": migrated_database,
    }
    tidy = Tidy(checkout, settings, logs=tmp_path)
    assert tidy.manage("migrate", "todos", "0009", "-v0").returncode == 0
    with (
        psycopg.connect(migrated_database, autocommit=True) as other,
        psycopg.connect(migrated_database) as reader,
    ):
        before = other.execute(CONSTRAINTS).fetchall()
        assert ("todos_todo_user_id_again",) in other.execute(INDEXES).fetchall()
        reader.execute("SELECT count(*) FROM todos_todo")  # And its transaction goes on.

        with tidy.start("migrate", "-v0") as migrating:
            wait_until(
                lambda: other.execute(WAITING).fetchone() == (1,),
                seconds=20,
                otherwise=migrating.output,
            )
            other.execute("SET lock_timeout = 500")
            other.execute("SELECT count(*) FROM todos_todo")
            other.execute("UPDATE todos_todo SET title = 'Milk'")
            reader.rollback()
            assert migrating.popen.wait(timeout=30) == 0, migrating.output()

        indexes = {name for (name,) in other.execute(INDEXES)}
        assert "todos_todo_user_id" in indexes
        assert "todos_todo_user_id_again" not in indexes
        assert other.execute(CONSTRAINTS).fetchall() == before
