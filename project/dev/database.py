"""The development database: migrations, and on the first start demo data and a staff user."""

import secrets
from collections.abc import Callable

from django.core.management import call_command
from django.db import connections, transaction

from accounts.models import User
from todos.demo import seed_demo

DEMO_USERS = 100
DEMO_TODOS = 5_000


def prepare_database(say: Callable[[str], None]) -> tuple[str, str]:
    """Migrate, and fill a database that has no users; `say` what takes a moment.

    Returns:
        The name of a user of the admin, empty if there is none; and the password, empty unless the
        user is new.
    """
    say("Preparing the database ...")
    call_command("migrate", verbosity=0)
    try:
        if User.objects.exists():
            staff = User.objects.active().filter(is_superuser=True).order_by("pk").first()
            return (staff.username if staff else "", "")
        say(f"Making {DEMO_USERS} demo people and {DEMO_TODOS:,} todos ...")
        password = secrets.token_urlsafe(9)
        with transaction.atomic():  # Interrupted, it leaves nothing; the next start repeats it.
            User.objects.create_superuser("admin", password=password)
            seed_demo(users=DEMO_USERS, todos=DEMO_TODOS, seed=1)
        return ("admin", password)
    finally:
        connections.close_all()  # This process does not need the database again.
