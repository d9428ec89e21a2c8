"""Ways to delete everyone's completed todos.

Each calls `committed()` at the end of a transaction and returns how many todos went.
"""

from collections.abc import Callable
from time import sleep

from django.db import connection
from django.utils import timezone

from accounts.models import User
from todos.models import Todo
from todos.services import TodoService

#: The todos to delete. Nobody's own keep time reaches back as far as these were completed.
ELIGIBLE = """
    completed_at < now() AND NOT EXISTS (
        SELECT FROM accounts_user WHERE accounts_user.id = todos_todo.user_id
        AND (NOT is_active OR NOT auto_cleanup))
"""
SELECT = f"SELECT id FROM todos_todo WHERE {ELIGIBLE}"


def nothing(committed: Callable[[], None]) -> int:
    """Delete nothing for two seconds: how long an edit takes by itself."""
    sleep(2)
    committed()
    return 0


def one_delete(committed: Callable[[], None]) -> int:
    """Delete with one statement: the fastest there is."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM todos_todo WHERE {ELIGIBLE}")
        committed()
        return int(cursor.rowcount)


def user_by_user(committed: Callable[[], None]) -> int:
    """Delete as it is usually written."""
    total = 0
    for user in User.objects.filter(is_active=True, auto_cleanup=True):
        deleted, _ = Todo.objects.filter(user=user, is_completed=True).delete()
        committed()
        total += deleted
    return total


def skip_locked(committed: Callable[[], None]) -> int:
    """Delete as queues take their jobs, 5,000 at a time."""
    batch = f"{SELECT} LIMIT 5000 FOR UPDATE SKIP LOCKED"
    total = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(f"DELETE FROM todos_todo WHERE id IN ({batch})")
            committed()
            if not cursor.rowcount:
                return total
            total += cursor.rowcount


def ids_in_python(committed: Callable[[], None]) -> int:
    """Fetch ids, 5,000 at a time, and delete by them: unsafe, too (see docs/architecture.md)."""
    total = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(f"{SELECT} LIMIT 5000")
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return total
            total += Todo.objects.filter(pk__in=ids).delete()[0]
            committed()


def sweep(committed: Callable[[], None]) -> int:
    """Delete as Tidy does."""
    result = TodoService.sweep(as_of=timezone.now(), on_batch=lambda _: committed())
    return result.todos_deleted


WAYS: dict[str, Callable[[Callable[[], None]], int]] = {
    "nothing": nothing,
    "one DELETE": one_delete,
    "the sweep": sweep,
    "user by user": user_by_user,
    "SKIP LOCKED": skip_locked,
    "ids in Python": ids_in_python,
}
