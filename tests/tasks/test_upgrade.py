"""The version before works on the new schema: while it is replaced, and when it comes back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
import redis

from tests.checkout import ROOT, copy_revision
from tests.counting import (
    TABLE,
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)
from tests.keys import SECRET_KEY
from tests.processes import Process, Tidy, wait_until
from tests.servers import valkey_server

pytestmark = pytest.mark.e2e

#: The version that is in use when this one is deployed: the commit that landed last. After landing,
#: the next change to the schema begins with moving this to what has landed by then.
PREVIOUS = "44984eae62d7cd1ef7e8a753d6035f32066a302a"

SUCCEEDED = "SELECT count(*) FROM tasks_taskrun WHERE task = 'count' AND state = 'succeeded'"
ATTEMPTS = "SELECT count(*) FROM tasks_attempt"
UNFINISHED = "SELECT count(*) FROM tasks_taskrun WHERE finished_at IS NULL"

#: A run that failed some days ago, and that an operator of the version before has acknowledged.
OLD_FAILURE = 1
ADD_OLD_FAILURE = """
    INSERT INTO tasks_taskrun (
        task, state, trigger, message_id, queue, arguments, sends, attempts, failures, crashes,
        progress, error, reason, worker, requested_by_id, finished_at, acknowledged_at
    )
    SELECT 'todo.restore', 'failed', 'admin', gen_random_uuid(), 'default', '{}', 1, 1, 1, 0,
        '{}', 'OSError: once', '', '', id, now() - interval '3 days', now()
    FROM accounts_user WHERE username = 'root' RETURNING id
"""

#: Every page of background work, as an administrator opens it.
PAGES = """
from django.apps import apps
from django.test import Client
from accounts.models import User

Schedule, TaskRun = apps.get_model("tasks", "Schedule"), apps.get_model("tasks", "TaskRun")
client = Client(raise_request_exception=True)
client.force_login(User.objects.get(username="root"))
runs = TaskRun.objects.order_by("task", "state", "-pk").distinct("task", "state")
paths = [
    "/admin/background/",
    "/admin/background/dead-letters/",
    "/admin/tasks/process/",
    "/admin/tasks/schedule/",
    *(f"/admin/tasks/schedule/{schedule.pk}/change/" for schedule in Schedule.objects.all()),
    "/admin/tasks/taskrun/",
    "/admin/tasks/taskrun/?state__exact=cancelled",
    *(f"/admin/tasks/taskrun/{run.pk}/change/" for run in runs),
    "/admin/todos/todo/",
    "/admin/todos/trashedtodo/",
]
for path in paths:
    assert client.get(path).status_code == 200, path
assert client.get("/admin/background/", headers={"HX-Request": "true"}).status_code == 200
print(len(paths), "pages shown")
"""

#: What people and operators do, with workers at hand.
DAY = f"""
import json
from io import StringIO
from django.apps import apps
from django.core.management import call_command
from accounts.models import User
from todos.models import Todo
from todos.services import TodoService

TaskRun = apps.get_model("tasks", "TaskRun")

def command(*words):
    out = StringIO()
    call_command(*words, "--json", stdout=out)
    return json.loads(out.getvalue())

def add(title, *, completed):
    todo = TodoService.create(user=root, title=title)
    if completed:
        TodoService.complete(user=root, todo_id=todo.pk)
    return todo.pk

def there(*todos):
    return Todo.objects.filter(pk__in=todos).count()

TaskRun = apps.get_model("tasks", "TaskRun")
root = User.objects.get(username="root")

# Deleted, and back from the trash.
todo = add("deleted", completed=False)
TodoService.delete(user=root, todo_id=todo)
assert not there(todo)
TodoService.restore(user=root, todo_id=todo)
assert there(todo)

# The same form, sent once more, perhaps to the other version.
TodoService.create_once(user=root, key="a key", title="once")
assert Todo.objects.filter(title="once").count() == 1

# Swept here, and undone.
done = [add("done", completed=True) for _ in range(3)]
swept = command("cleanup_todos")["todos_deleted"]
assert swept >= 3 and not there(*done)
cleanup = TaskRun.objects.filter(task="todo.cleanup").latest("pk")
assert cleanup.result["todos_deleted"] == swept
assert command("restore_todos", f"--run={{cleanup.pk}}")["todos_restored"] == swept
assert there(*done) == 3

# Swept by a worker.
gone = add("done", completed=True)
assert command("cleanup_todos", "--enqueue", "--wait=60")["todos_deleted"] == 1
assert not there(gone)

call_command("ping", "--wait=60")
{PAGES}
"""


@dataclass
class Versions:
    """The version before and this one, with one database and one broker."""

    old: Tidy
    new: Tidy

    def connect(self) -> psycopg.Connection:
        """Connect to the database."""
        return psycopg.connect(self.old.settings["DATABASE_URL"], autocommit=True)


@pytest.fixture
def versions(tmp_path: Path, checkout: Path, database: str) -> Iterator[Versions]:
    """The database is of the version before, with data of its."""
    if not (ROOT / ".git").exists():
        pytest.skip("a source archive does not hold the version before: run this in a clone")
    valkey = tmp_path / "valkey"
    valkey.mkdir()
    with valkey_server(valkey) as broker:
        settings = {
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DJANGO_ALLOWED_HOSTS": "testserver",
            "DJANGO_SUPERUSER_PASSWORD": "e2e",
            "DATABASE_URL": database,
            "REDIS_URL": broker,
        }
        old = Tidy(copy_revision(PREVIOUS, tmp_path / "old"), settings)
        new = Tidy(checkout, settings, logs=tmp_path)
        for version in (old, new):
            version.inject(actors="counting", every={"count": 1})
        do(old, "migrate", "-v0")
        do(old, "seed_demo", "--users=20", "--todos=500", "--force")
        do(old, "createsuperuser", "--noinput", "--username=root", "--email=root@tidy.example")
        yield Versions(old, new)


def do(tidy: Tidy, *arguments: str) -> str:
    """Run `manage.py`, which must succeed; return what it printed."""
    done = tidy.manage(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


#: How each version marks an error in its log.
ERRORS = ("level=error", "level=critical", '"level": "error"', '"level": "critical"')


def live_through_a_day(tidy: Tidy) -> None:
    """Do with a version what people and operators do."""
    assert "pages shown" in do(for_pages(tidy), "shell", "-v0", "-c", DAY)


def for_pages(tidy: Tidy) -> Tidy:
    """Return a version whose pages need no collected files and no HTTPS."""
    return replace(tidy, settings={**tidy.settings, "DJANGO_DEBUG": "true"})


def errors(output: str) -> list[str]:
    """Return the errors that are logged, in the form of either version.

    That schedules of new tasks are unusable is none: the scheduler of the version before says so.
    """
    known = [f"schedule of {task} unusable" for task in NEW_TASKS]
    lines = [line for line in output.splitlines() if any(mark in line for mark in ERRORS)]
    return [line for line in lines if not any(event in line for event in known)]


def test_version_before_works_on_the_new_schema_while_it_is_replaced(versions: Versions) -> None:
    started: list[Process] = []

    with versions.connect() as database, ExitStack() as stack:
        database.execute(TABLE)
        assert number(database, ADD_OLD_FAILURE) == OLD_FAILURE

        def start(tidy: Tidy, kind: str, *arguments: str) -> Process:
            before = number(database, f"SELECT count(*) FROM tasks_process WHERE kind = '{kind}'")
            process = stack.enter_context(tidy.start(*arguments))
            started.append(process)
            wait_for(
                lambda: (
                    number(database, f"SELECT count(*) FROM tasks_process WHERE kind = '{kind}'")
                    > before
                )
            )
            return process

        def start_worker(tidy: Tidy) -> Process:
            return start(tidy, "worker", "rundramatiq", "--processes=1", "--threads=2")

        def start_scheduler(tidy: Tidy) -> Process:
            return start(tidy, "scheduler", "runscheduler")

        def wait_for(condition: Callable[[], bool]) -> None:
            wait_until(condition, seconds=60, otherwise=lambda: outputs(started))

        def wait_for_three_slots() -> None:
            wanted = number(database, SUCCEEDED) + 3
            wait_for(lambda: number(database, SUCCEEDED) >= wanted)

        # The schema changes under the feet of the version before.
        old_worker = start_worker(versions.old)
        old_scheduler = start_scheduler(versions.old)
        wait_for_three_slots()
        do(versions.new, "migrate", "-v0")
        live_through_a_day(versions.old)
        wait_for_three_slots()

        # What the old scheduler claims, the new worker does.
        new_worker = start_worker(versions.new)
        assert old_worker.stop() == 0
        live_through_a_day(versions.new)
        wait_for_three_slots()

        # All at once.
        old_worker = start_worker(versions.old)
        new_scheduler = start_scheduler(versions.new)
        wait_for_three_slots()

        # What the new scheduler claims, the old worker does.
        assert new_worker.stop() == 0
        assert old_scheduler.stop() == 0
        live_through_a_day(versions.old)
        wait_for_three_slots()

        # The version before is gone.
        new_worker = start_worker(versions.new)
        assert old_worker.stop() == 0
        live_through_a_day(versions.new)
        wait_for_three_slots()
        do(versions.new, "tasks_status", "--check")

        assert new_scheduler.stop() == 0
        wait_for(lambda: number(database, UNFINISHED) == 0)
        assert new_worker.stop() == 0

        assert slots_without_a_row(database) == 0
        assert runs_without_their_effect(database) == 0
        assert effects_too_many(database) == 0
        assert not failures(database)
        assert number(database, "SELECT count(*) FROM tasks_process") == 0

    assert "Traceback" not in outputs(started)
    assert not errors(outputs(started))
    with redis.Redis.from_url(versions.new.settings["REDIS_URL"]) as broker:
        assert not [*broker.scan_iter("dramatiq:*.XQ")]  # No dead letters.


#: Tasks that this version brings.
NEW_TASKS: tuple[str, ...] = ()

#: What this version writes and the one before does not know: a state, a permission, columns, a
#: task. Runs of each task that ended last, which pages show first.
OF_THIS_VERSION = """
    INSERT INTO tasks_process (id, kind, host, pid, queues, tasks)
    VALUES (gen_random_uuid(), 'worker', 'elsewhere', 1, '["default", "new"]', '["new.task"]');

    INSERT INTO tasks_taskrun (
        task, state, trigger, message_id, queue, arguments, sends, attempts, failures, crashes,
        progress, result, error, reason, requested_by_id, started_at, attempted_at, progressed_at,
        finished_at, stop_requested_at, losses, has_errors, acknowledged_at, acknowledged_by_id,
        request_id, trace_parent
    )
    SELECT
        task, state, 'admin', gen_random_uuid(), queue, '{}', 1, 1, 0, 0, '{"rows": 3}', result,
        error, reason, accounts_user.id, now(), now(), now(), now(), stopped_at, 1, has_errors,
        seen_at, CASE WHEN seen_at IS NOT NULL THEN accounts_user.id END, 'a-request', '00-a-trace'
    FROM accounts_user, (VALUES
        ('todo.cleanup', 'cancelled', 'default', NULL::jsonb, '', 'Stopped by root.', now(), FALSE,
            NULL::timestamptz),
        ('todo.purge', 'succeeded', 'default', '{"errors": [{"user_id": 1, "reason": "x"}]}', '',
            '', NULL, TRUE, now()),
        ('runs.prune', 'failed', 'default', NULL, 'OSError: once', '', NULL, FALSE, now()),
        ('new.task', 'cancelled', 'new', NULL, '', 'No longer wanted.', NULL, FALSE, NULL)
    ) AS run (task, state, queue, result, error, reason, stopped_at, has_errors, seen_at)
    WHERE username = 'root';

    INSERT INTO tasks_attempt (run_id, number, started_at, outcome, error)
    SELECT id, 1, now(), 'failed', 'OSError: once' FROM tasks_taskrun;
    UPDATE tasks_taskrun SET finished_at = now() - interval '100 days' WHERE task = 'runs.prune';

    INSERT INTO accounts_user_user_permissions (user_id, permission_id)
    SELECT accounts_user.id, auth_permission.id FROM accounts_user, auth_permission
    WHERE username = 'root';
    UPDATE accounts_user SET is_superuser = FALSE WHERE username = 'root';

    INSERT INTO accounts_token (user_id, name, access, prefix, digest)
    SELECT id, 'phone', 'read', lpad(id::text, 8, '0'), repeat('0', 64) FROM accounts_user;
"""

TOKENS = "SELECT count(*) FROM accounts_token"

#: Deletes somebody who has made a token.
DELETE_SOMEBODY = """
from accounts.models import User
from accounts.services import UserService

UserService.delete(user=User.objects.exclude(username="root").first())
"""


def test_version_before_can_come_back_to_what_this_one_has_written(versions: Versions) -> None:
    do(versions.new, "migrate", "-v0")
    with versions.connect() as database:
        database.execute(TABLE)
        do(versions.new, "runscheduler", "--once")
        database.execute(OF_THIS_VERSION)
        cleanup = number(database, "SELECT id FROM tasks_taskrun WHERE task = 'todo.cleanup'")
        attempts, tokens = number(database, ATTEMPTS), number(database, TOKENS)

    do(versions.old, "runscheduler", "--once")
    shown = do(for_pages(versions.old), "shell", "-v0", "-c", PAGES)
    assert number_of_pages(shown) >= 8 + 4 + 4  # Schedules and runs among them.
    assert "todo.cleanup" in versions.old.manage("tasks_status").stdout
    # What a stopped cleanup took comes back by the version before, too.
    restored = do(versions.old, "restore_todos", f"--run={cleanup}", "--dry-run")
    assert restored == "Would restore 0 todos.\n"
    # It deletes runs with attempts, of which it does not know.
    assert do(versions.old, "prune_runs") == "Pruned 1 run.\n"
    # And people with tokens.
    do(versions.old, "shell", "-v0", "-c", DELETE_SOMEBODY)
    with versions.connect() as database:
        assert number(database, ATTEMPTS) == attempts - 1
        assert number(database, TOKENS) == tokens - 1


def number_of_pages(shown: str) -> int:
    """Return how many pages PAGES says that it has opened."""
    return int(shown.removesuffix(" pages shown\n"))


def outputs(processes: list[Process]) -> str:
    """Return what processes have written."""
    return "\n".join(process.output() for process in processes)


def failures(database: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return the runs that failed, and why."""
    query = f"SELECT task, error FROM tasks_taskrun WHERE state = 'failed' AND id <> {OLD_FAILURE}"
    return database.execute(query).fetchall()


#: What somebody has been doing with the version before, without a worker: todos removed by people
#: and by cleanups, runs in every state, staff with rights.
FILL = """
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from accounts.models import User
from todos.models import Todo
from todos.services import TodoService

TaskRun = apps.get_model("tasks", "TaskRun")
root = User.objects.get(username="root")
call_command("runscheduler", "--once")
call_command("cleanup_todos")
call_command("restore_todos", run=TaskRun.objects.get(task="todo.cleanup", state="succeeded").pk)
call_command("cleanup_todos", keep_days=30)
TodoService.delete_selected(todos=Todo.objects.filter(pk__lt=50), by=root)
for state in ("failed", "cancelled", "skipped", "succeeded"):
    TaskRun.objects.create(task="todo.purge", trigger="api", queue="default", state=state,
        progress={"rows": 7}, error="OSError: once", finished_at="2026-11-01T00:00:00Z")
may_see = Permission.objects.get(codename="view_todo")
User.objects.create(username="alice", is_staff=True).user_permissions.add(may_see)
Group.objects.create(name="support").permissions.add(may_see)
"""

#: Tables that a migration may add to: what it creates has migrations, a kind, and permissions.
MAY_GROW = {"django_migrations", "django_content_type", "auth_permission"}


def test_database_that_the_version_before_has_filled_is_migrated_without_loss(
    versions: Versions,
) -> None:
    do(versions.old, "shell", "-v0", "-c", FILL)
    with versions.connect() as database:
        columns = columns_by_table(database)
        before = rows_by_table(database, columns)
        assert len(before["tasks_taskrun"]) >= 7
        assert before["todos_trashedtodo"]

        do(versions.new, "migrate", "-v0")

        after = rows_by_table(database, columns)
        for table, rows in before.items():
            assert rows <= after[table] if table in MAY_GROW else rows == after[table], table
    do(versions.new, "migrate", "--check")


def columns_by_table(database: psycopg.Connection) -> dict[str, str]:
    """Return the columns of every table; of a permission those by which it is known."""
    found = database.execute(
        """
        SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name
        """
    ).fetchall()
    return {**dict(found), "auth_permission": "content_type_id, id, codename"}


def rows_by_table(database: psycopg.Connection, columns: dict[str, str]) -> dict[str, set[str]]:
    """Return every row of tables, as the text of these columns."""
    return {
        table: {
            text
            for (text,) in database.execute(f'SELECT ROW({names})::text FROM "{table}"'.encode())
        }
        for table, names in columns.items()
    }
