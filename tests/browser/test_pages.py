"""Every page that staff see: nothing goes wrong on it, and everyone can use it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.browser.conftest import Site, Visit, Visitor, picture
from tests.dead_letters import KEY, bury

pytestmark = pytest.mark.e2e

PAGES = {
    "index": "/admin/",
    "people": "/admin/accounts/user/",
    "todos": "/admin/todos/todo/",
    "todo": "/admin/todos/todo/{todo}/change/",
    "trash": "/admin/todos/trashedtodo/",
    "background": "/admin/background/",
    "schedules": "/admin/tasks/schedule/",
    "schedule": "/admin/tasks/schedule/{schedule}/change/",
    "new-schedule": "/admin/tasks/schedule/add/",
    "charts": "/admin/background/tasks/todo.cleanup/charts/?over=30d",
    "runs": "/admin/tasks/taskrun/",
    "run": "/admin/tasks/taskrun/{run}/change/",
    "failed-run": "/admin/tasks/taskrun/{failed}/change/",
    "running-run": "/admin/tasks/taskrun/{running}/change/",
    "undo": "/admin/background/runs/{run}/undo/",
    "processes": "/admin/tasks/process/",
}
#: Pages to look at once there are dead letters.
TROUBLE = {"dead-letters": "/admin/background/dead-letters/", "trouble": "/admin/background/"}

#: The liveness of this module's site: its processes, which are rows alone, seem to be alive.
LIVENESS_SECONDS = 3600

#: A month of nights, as they would have been; the last one failed, which somebody has acknowledged.
#: One worker is running a purge.
HISTORY = """
import random
from datetime import timedelta
from django.utils import timezone
from tasks.engine.models import Process, Schedule, TaskRun
from tasks.engine.scheduler.defaults import add_missing_schedules
from todos.models import Todo
add_missing_schedules()
chance = random.Random(7)
two = timezone.now().replace(hour=2, minute=0, second=0, microsecond=0)
def night(number, **more):
    slot = two - timedelta(days=number)
    start = slot + timedelta(seconds=chance.uniform(0.01, 0.4))
    values = dict(task="todo.cleanup", state="succeeded", trigger="schedule", queue="default",
        scheduled_for=slot, created_at=slot, started_at=start, attempts=1, sends=1, sent_at=slot,
        worker="worker-1, process 12",
        finished_at=start + timedelta(seconds=chance.uniform(20, 90)),
        result={"users_processed": 20, "todos_deleted": chance.randint(2000, 9000), "errors": []})
    return TaskRun.objects.create(**{**values, **more})
for number in range(2, 30):
    night(number)
error = '''Traceback (most recent call last):
  File "tasks/actors.py", line 54, in todo_cleanup
    report = TodoService.sweep(
ValueError: <b>an example</b>'''
now = timezone.now()
failed = night(1, state="failed", result=None, error=error, acknowledged_at=now)
for kind, host in (("scheduler", "scheduler-1"), ("worker", "worker-1"), ("worker", "worker-2")):
    queues = ["default", "operators"] if kind == "worker" else []
    worker = Process.objects.create(kind=kind, host=host, pid=12, queues=queues,
        command_pid=11 if kind == "worker" else None,
        started_at=now - timedelta(days=3), seen_at=now)
night(0, task="ping", started_at=now, finished_at=now, scheduled_for=now, result=None)
running = night(0, task="todo.purge", state="running", scheduled_for=now, finished_at=None,
    result=None, started_at=now - timedelta(seconds=40), held_by=worker.pk,
    worker="worker-2, process 12", progress={"rows": 123_456, "done": 0.42})
print(Todo.objects.first().pk, Schedule.objects.get(task="todo.cleanup").pk, failed.pk,
    running.pk)
"""


@pytest.fixture(scope="module")
def ids(site: Site) -> dict[str, int]:
    """What the pages are about: a month of nights, a real cleanup, dead letters."""
    told = site.tidy.manage("shell", "-v0", "-c", HISTORY)
    assert told.returncode == 0, told.stderr
    todo, schedule, failed, running = map(int, told.stdout.split())
    swept = site.tidy.manage("cleanup_todos", "--keep-days=60", "--batch-size=1000")
    assert swept.returncode == 0, swept.stderr
    asked = site.tidy.manage(
        *("shell", "-v0", "-c"),
        "from tasks.engine.models import TaskRun; print(TaskRun.objects.latest('pk').pk)",
    )
    run = int(asked.stdout)
    return {"todo": todo, "schedule": schedule, "failed": failed, "running": running, "run": run}


@contextmanager
def dead_letters(site: Site) -> Iterator[None]:
    """Have the broker hold some dead letters."""
    broker = site.tidy.settings["REDIS_URL"]
    for number in range(2):
        bury(broker, "ping", error="KeyError: <b>1</b>", number=number)
    bury(broker, "report.mail", to="everyone")
    yield
    with redis.Redis.from_url(broker) as client:
        client.delete(KEY, f"{KEY}.msgs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_nothing_goes_wrong_on_it(
    visit: Visitor, site: Site, ids: dict[str, int], theme: str
) -> None:
    boss = visit(theme=theme)
    for name, path in PAGES.items():
        look(boss, path.format(**ids), f"{name}-{theme}")
    with dead_letters(site):
        for name, path in TROUBLE.items():
            look(boss, path, f"{name}-{theme}")


#: The cells of tables that stand beyond the edges of the screen.
BEYOND = """
    [...document.querySelectorAll("#content td, #content tbody th")]
        .filter((cell) => cell.checkVisibility() && cell.textContent.trim())
        .map((cell) => [cell.getBoundingClientRect(), cell.textContent.trim()])
        .filter(([box]) => box.left < 0 || box.right > innerWidth + 1)
        .map(([, text]) => text)
"""

#: Pages of todos and people, whose tables the admin lets scroll.
OTHERS = {"index", "people", "todos", "todo", "trash"}


@pytest.mark.parametrize("scripted", [True, False])
def test_every_page_of_background_work_shows_everything_on_a_phone(
    visit: Visitor, site: Site, ids: dict[str, int], *, scripted: bool
) -> None:
    boss = visit(viewport={"width": 320, "height": 640}, java_script_enabled=scripted)
    with dead_letters(site):
        for name, path in {**PAGES, **TROUBLE}.items():
            if name in OTHERS:
                continue
            boss.go(path.format(**ids))
            assert boss.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert boss.page.evaluate(BEYOND) == [], name


def look(visit: Visit, path: str, name: str) -> None:
    """Open a page and check it."""
    visit.go(path)
    visit.check_accessible()
    picture(visit, name)


def test_who_may_only_look_finds_accessible_pages_without_buttons(
    visit: Visitor, site: Site, ids: dict[str, int]
) -> None:
    looker = visit("looker")
    pages = {**PAGES, **TROUBLE}
    with dead_letters(site):
        for name in ("index", "background", "dead-letters", "runs", "failed-run"):
            looker.go(pages[name].format(**ids))
            looker.check_accessible()
            actions = looker.page.locator("main .console-actions button, main .console-actions a")
            assert actions.count() == 0
    assert "an example" not in looker.page.content()
