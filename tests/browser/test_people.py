"""Every page that people see: nothing goes wrong on it, and everyone can use it."""

import pytest

from tests.browser.conftest import PASSWORD, Site, Visitor, picture

pytestmark = pytest.mark.e2e

PAGES = {
    "list": "/",
    "completed": "/completed/",
    "search": "/search/?q=the",
    "edit": "/todos/{todo}/edit/",
    "shortcuts": "/shortcuts/",
    "trash": "/trash/",
    "night": "/trash/?run={run}",
    "delete-forever": "/trash/delete/?id={trashed}",
    "empty-trash": "/trash/empty/",
    "preferences": "/preferences/",
    "delete-account": "/delete-account/",
}
STRANGERS = {"welcome": "/", "log-in": "/accounts/login/", "sign-up": "/accounts/signup/"}

WINDOWS = {"desk": {"width": 1280, "height": 820}, "phone": {"width": 390, "height": 780}}

#: Robin's list, as it looks on a Monday morning: some is due, some is done, some was swept.
ROBIN = f"""
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from todos.models import Todo, TrashedTodo
from todos.services import TodoService
from tasks.engine.scheduler.defaults import add_missing_schedules

add_missing_schedules()
now = timezone.now()
robin = User.objects.create_user("robin", "robin@example.org", "{PASSWORD}")
def add(title, due=None, description="", done=None):
    todo = TodoService.create(user=robin, title=title, description=description,
        due_on=None if due is None else timezone.localdate() + timedelta(days=due))
    if done is not None:
        Todo.objects.filter(pk=todo.pk).update(completed_at=now - timedelta(hours=done))
    return todo.pk
add("Return the library books", due=-2)
first = add("Call the dentist", due=0)
add("Buy a present for Kim", due=1, description="Something for the garden, or a book.")
add("Pay the electricity bill", due=4)
add("Book the train to Leipzig", due=11)
add("Repair the bicycle lamp")
add("Ask Jo for the soup recipe")
add("Read the chapter on bees")
for hours, title in enumerate(["Water the plants", "Send the invoice", "Tidy the hall"], 1):
    add(title, done=hours)
swept = [add(title, done=30 + hours) for hours, title in enumerate(
    ["Clean the windows", "Write to Grandma", "Cancel the newspaper", "Order coffee filters"])]
deleted = add("Learn the tuba")
TodoService.delete(user=robin, todo_id=deleted)
for pk in swept:
    TodoService.delete(user=robin, todo_id=pk)
night = timezone.localtime(now).replace(hour=2, minute=0, second=3, microsecond=0)
night -= timedelta(days=night > now)
TrashedTodo.objects.filter(pk__in=swept).update(run_id=1, trashed_by=None, trashed_at=night)
print(first, swept[0], 1)
"""


@pytest.fixture(scope="module")
def ids(site: Site) -> dict[str, int]:
    """What Robin has: an open todo, a swept one, the run that swept it."""
    told = site.tidy.manage("shell", "-v0", "-c", ROBIN)
    assert told.returncode == 0, told.stderr
    todo, trashed, run = map(int, told.stdout.split())
    return {"todo": todo, "trashed": trashed, "run": run}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_of_people_is_accessible_and_nothing_goes_wrong_on_it(
    visit: Visitor, ids: dict[str, int], theme: str, window: str
) -> None:
    robin = visit("robin", theme=theme, viewport=WINDOWS[window])
    for name, path in PAGES.items():
        robin.go(path.format(**ids))
        robin.check_accessible()
        wide = robin.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= WINDOWS[window]["width"], f"{name} is {wide} px wide"
        picture(robin, f"{name}-{theme}-{window}", full_page=False)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_before_the_log_in_are_accessible(visit: Visitor, theme: str) -> None:
    stranger = visit(None, theme=theme, viewport=WINDOWS["phone"])
    for path in STRANGERS.values():
        stranger.go(path)
        stranger.check_accessible()
