"""Ways to take everyone's completed todos off their lists.

Each times its transactions and returns how many todos went. The statements by hand go through
psycopg in autocommit, which is what Django's own connection is.
"""

from collections.abc import Callable
from time import sleep

from django.db import connection

from accounts.models import User
from tasks.actors import todo_cleanup
from tests.benchmarks.runs import Watch, perform
from todos.models import Todo

type Way = Callable[[Watch], int]

#: Tidy's own rule in the fastest form that we know, for a site that keeps nothing.
RULE = """
    completed_at < now() AND (restored_at IS NULL OR restored_at < now() - interval '7 days')
    AND NOT EXISTS (
        SELECT 1 FROM (
            SELECT id, CASE
                WHEN NOT is_active OR NOT auto_cleanup THEN '-infinity'::timestamptz
                ELSE now() - make_interval(hours => keep_completed_days * 24) END AS cutoff
            FROM accounts_user
            WHERE NOT is_active OR NOT auto_cleanup OR keep_completed_days IS NOT NULL
            OFFSET 0
        ) exception
        WHERE exception.id = todos_todo.user_id AND cutoff <= GREATEST(completed_at, restored_at))
"""
#: Without people's own keep times, and without what came back from the trash.
BAREST_RULE = """
    completed_at < now() AND NOT EXISTS (
        SELECT FROM accounts_user WHERE accounts_user.id = todos_todo.user_id
        AND (NOT is_active OR NOT auto_cleanup))
"""
FIELDS = "id, user_id, title, description, due_on, created_at, completed_at, restored_at"
MOVE = f"""
    WITH gone AS (DELETE FROM todos_todo WHERE {RULE} RETURNING {FIELDS})
    INSERT INTO todos_trashedtodo ({FIELDS}, trashed_at, run_id)
    SELECT {FIELDS}, statement_timestamp(), 1 FROM gone
"""


def nothing(watch: Watch) -> int:
    """Delete nothing for two seconds: how long an edit takes by itself."""
    sleep(2)
    return 0


def one_delete(watch: Watch) -> int:
    """Delete with one statement: the fastest there is."""
    return watch.execute(f"DELETE FROM todos_todo WHERE {RULE}")


def barest_delete(watch: Watch) -> int:
    """Delete with one statement that knows less than the sweep."""
    return watch.execute(f"DELETE FROM todos_todo WHERE {BAREST_RULE}")


def one_move(watch: Watch) -> int:
    """Move to the trash with one statement."""
    return watch.execute(MOVE)


def user_by_user(watch: Watch) -> int:
    """Delete as the tutorial does, and as it is usually written."""
    total = 0
    for user in User.objects.filter(is_active=True, auto_cleanup=True):
        with watch.transaction():
            deleted, _ = Todo.objects.filter(user=user, is_completed=True).delete()
        total += deleted
    return total


def skip_locked(watch: Watch) -> int:
    """Delete as queues take their jobs, 5,000 at a time."""
    batch = f"SELECT id FROM todos_todo WHERE {RULE} LIMIT 5000 FOR UPDATE SKIP LOCKED"
    total = 0
    while gone := watch.execute(f"DELETE FROM todos_todo WHERE id IN ({batch})"):
        total += gone
    return total


def ids_in_python(watch: Watch) -> int:
    """Fetch ids, 5,000 at a time, and delete by them: unsafe, too (see docs/architecture.md)."""
    total = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(f"SELECT id FROM todos_todo WHERE {RULE} LIMIT 5000")
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return total
            with watch.transaction():
                total += Todo.objects.filter(pk__in=ids).delete()[0]


def sweep(watch: Watch) -> int:
    """Take them as Tidy does: to the trash, if the site has one."""
    _, report = perform(todo_cleanup, watch)
    assert not report["errors"], report
    return report["todos_deleted"]
