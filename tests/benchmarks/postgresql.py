"""A PostgreSQL of its own to measure on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.benchmarks.stage import Size, set_up
from tests.keys import SECRET_KEY
from tests.servers import postgresql_server

#: As a server of its own would have it: a quarter of the memory or so, not what fits any machine;
#: and no vacuum or checkpoint at a time of their own choosing: each measurement begins with them.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}

PEOPLE = """
    TRUNCATE accounts_user RESTART IDENTITY CASCADE;
    INSERT INTO accounts_user (username, password, is_superuser, first_name, last_name, email,
        is_staff, is_active, date_joined, auto_cleanup, keep_completed_days)
    SELECT 'user' || number, '', false, '', '', '', false, number %% 50 <> 1, now(),
           number %% 30 <> 1, CASE WHEN number %% 40 = 1 THEN 7 END
    FROM generate_series(1, %(users)s) AS number;
"""
#: Nothing is checked on the way in: that would take most of the time.
TODOS = """
    TRUNCATE todos_todo, todos_trashedtodo RESTART IDENTITY;
    SELECT setseed(0.5);
    SET session_replication_role = replica;
    INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)
    SELECT 1 + (random() * (%(users)s - 1))::int, 'Todo ' || number, '', now() - interval '90 days',
           CASE WHEN number %% %(one_in)s = 0 AND number <= coalesce(%(within)s, number)
                THEN now() - interval '40 days' END
    FROM generate_series(1, %(todos)s) AS number;
    RESET session_replication_role;
"""


class Server:
    """The server (see `Stage`).

    Attributes:
        database: a connection past Django, in autocommit.
    """

    address: str | Path

    def __init__(self, host: Path, size: Size, runs: int) -> None:
        self.size = size
        self.runs = runs
        self.address = f"host={host} user=postgres"
        self.database = psycopg.connect(self.address, autocommit=True)
        self._users = 0

    def fill(self, size: Size) -> None:
        """Have people with todos, always the same, and nothing in the trash."""
        if size.users != self._users:
            self.execute(PEOPLE, users=size.users)
            self._users = size.users
        self.execute(
            TODOS, users=size.users, todos=size.todos, one_in=size.one_in, within=size.within
        )
        self.settle()

    def settle(self) -> None:
        """Leave nothing to be done of what came before."""
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def execute(self, statements: str, **values: int | None) -> None:
        """Execute statements."""
        if values:
            statements = psycopg.ClientCursor(self.database).mogrify(statements.encode(), values)
        self.database.execute(statements.encode())

    def number(self, query: str) -> int:
        """Return the one number that a query finds."""
        row = self.database.execute(query.encode()).fetchone()
        assert row
        return int(row[0])


@contextmanager
def server(
    folder: Path, size: Size, runs: int, *, broker: str = "redis://localhost"
) -> Iterator[Server]:
    """Run a server in `folder`, which waits for the disk, until the block ends; set Django up.

    Args:
        folder: for its data.
        size: see `Stage`.
        runs: see `Stage`.
        broker: its address, where one is used.
    """
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # For its lock.
    # The settings do not depend on the shell that started this.
    for name in [name for name in os.environ if name.startswith(("DJANGO_", "TODO_"))]:
        del os.environ[name]
    with postgresql_server(folder, durable=True, settings=SETTINGS) as host:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="project.settings",
            DJANGO_SECRET_KEY=SECRET_KEY,
            DJANGO_ALLOWED_HOSTS="localhost",
            TRUSTED_PROXIES="1",
            DATABASE_URL=f"postgresql://postgres@/postgres?host={host}",
            REDIS_URL=broker,
        )
        set_up()
        yield Server(host, size, runs)
