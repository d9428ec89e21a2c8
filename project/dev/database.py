"""The development database: migrations, and on the first start demo data and a staff user."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import Count, Q

from accounts.models import User
from todos.demo import seed_demo

DEMO_USERS = 100
DEMO_TODOS = 5_000

#: Open todos of the demo person whom the banner names: enough to see, not too many to read.
DEMO_LIST = (10, 40)


@dataclass(frozen=True, kw_only=True)
class LogIns:
    """Who can log in.

    Attributes:
        staff: a user of the admin; empty if there is none.
        person: one of the people with todos; empty if there is none.
        password: of both, if they have just been created; otherwise empty.
    """

    staff: str = ""
    person: str = ""
    password: str = ""


def prepare_database(say: Callable[[str], None]) -> LogIns:
    """Migrate, and fill a database that has no users; `say` what takes a moment."""
    say("Preparing the database ...")
    call_command("migrate", verbosity=0)
    try:
        if User.objects.exists():
            staff = User.objects.active().filter(is_superuser=True).order_by("pk").first()
            return LogIns(staff=staff.username if staff else "", person=demo_person())
        say(f"Making {DEMO_USERS} demo people and {DEMO_TODOS:,} todos ...")
        password = secrets.token_urlsafe(9)
        with transaction.atomic():  # Interrupted, it leaves nothing; the next start repeats it.
            User.objects.create_superuser("admin", password=password)
            seed_demo(users=DEMO_USERS, todos=DEMO_TODOS, seed=1, password=password)
        return LogIns(staff="admin", person=demo_person(), password=password)
    finally:
        connections.close_all()  # This process does not need the database again.


def demo_person() -> str:
    """Return the name of a demo person whose todos are swept; empty if there is none."""
    people = User.objects.taking_part().filter(
        email__endswith="@example.com", keep_completed_days__isnull=True, is_staff=False
    )
    lists = people.annotate(open=Count("todos", Q(todos__is_completed=False)))
    fewest, most = DEMO_LIST
    person = lists.filter(open__gte=fewest, open__lte=most).order_by("pk").first()
    return person.username if person else ""
