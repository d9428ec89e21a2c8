"""`manage.py seed_demo`: creates people and todos to try Tidy with."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from todos.demo import seed_demo


class Command(BaseCommand):
    help = (
        "Adds made-up people and todos to the database. Nobody can log in as one of these people. "
        "Refused when DEBUG is off, unless --force is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--users", type=int, default=1_000, metavar="N", help="people to make (%(default)s)")
        add("--todos", type=int, default=100_000, metavar="M", help="todos to make (%(default)s)")
        same = "the same number makes the same people and todos (%(default)s)"
        add("--seed", type=int, default=1, metavar="S", help=same)
        add("--force", action="store_true", help="make them even though DEBUG is off")

    def handle(self, *, users: int, todos: int, seed: int, force: bool, **_: Any) -> None:
        if not settings.DEBUG and not force:
            raise CommandError(
                "Demo people do not belong on a live site: DEBUG is off. --force makes them anyway."
            )
        # With a delay, so that no bar appears if a number is refused.
        bar = tqdm(total=todos, unit=" todos", unit_scale=True, delay=0.1, disable=None)
        with bar:
            try:
                made = seed_demo(users=users, todos=todos, seed=seed, on_progress=bar.update)
            except ValueError as error:
                raise CommandError(f"{error}.") from error
        self.stdout.write(
            f"People made: {made.users:,} ({made.inactive:,} inactive, {made.opted_out:,} opted "
            f"out, {made.own_keep_time:,} with a keep time of their own, {made.without_todos:,} "
            f"without todos). Todos made: {made.todos:,} ({made.completed:,} completed)."
        )
