"""`manage.py cleanup_todos`: runs the cleanup now, here or in a worker."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from tasks.actors import todo_cleanup
from tasks.engine.database import database_now
from tasks.engine.management.messages import wait_for
from tasks.engine.management.options import as_json_line, check_bounds, count
from tasks.engine.management.progress import run_with_bar
from tasks.engine.models import State, TaskRun, Trigger
from tasks.engine.runs.enqueue import Request
from tasks.management.options import find_user, named
from todos.bounds import MAX_BATCH_SIZE, MAX_KEEP_DAYS
from todos.clock import ClocksDisagree
from todos.services import TodoService
from todos.sweep import SweepReport

COMMAND = Request(Trigger.COMMAND)


class Command(BaseCommand):
    """Sweep completed todos, or hand that to a worker."""

    help = (
        "Sweeps away completed todos whose keep time is over, of everyone who is active and has "
        "not opted out. Exits with 1 when somebody's todos could not be swept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--dry-run", action="store_true", help="count what would go; touch nothing")
        add(
            "--keep-days",
            type=int,
            metavar="N",
            help="instead of TODO_KEEP_COMPLETED_DAYS; people's own keep times still hold",
        )
        add("--user", metavar="NAME", help="sweep this person's todos alone")
        add("--batch-size", type=int, metavar="N", help="completed todos in one transaction")
        add("--enqueue", action="store_true", help="have a worker do it")
        add("--wait", type=int, metavar="SECONDS", help="with --enqueue: wait for the result")
        add("--json", action="store_true", help="print one line of JSON, for machines")

    def handle(self, **options: Any) -> None:
        """Check the options, sweep, print one line."""
        check(options)
        user = find_user(options["user"])
        arguments = {
            "keep_days": options["keep_days"],
            "batch_size": options["batch_size"],
            "user_id": user.pk if user else None,
        }
        if options["enqueue"]:
            run = COMMAND.enqueue(todo_cleanup, **arguments)
            if not options["wait"]:
                self.print_enqueued(run, as_json=options["json"])
                return
            report: SweepReport = wait_for(run, seconds=options["wait"])
        else:
            try:
                report = sweep(arguments, user, options)
            except ClocksDisagree as error:
                raise CommandError(str(error)) from error
        self.print_report(report, dry_run=options["dry_run"], as_json=options["json"])

    def print_enqueued(self, run: TaskRun, *, as_json: bool) -> None:
        """Print which run does the cleanup."""
        run.refresh_from_db()
        if as_json:
            self.stdout.write(json.dumps({"run": run.pk, "message_id": str(run.message_id)}))
        elif run.state == State.PENDING:
            self.stdout.write(f"Run {run.pk} goes to the workers when the broker is back.")
        else:
            self.stdout.write(f"Sent to the workers as run {run.pk}.")

    def print_report(self, report: SweepReport, *, dry_run: bool, as_json: bool) -> None:
        """Print what was swept.

        Raises:
            CommandError: somebody's todos could not be swept.
        """
        deleted, users = report["todos_deleted"], report["users_processed"]
        if as_json:
            self.stdout.write(as_json_line(report, dry_run=dry_run))
        else:
            self.stdout.write(
                f"{'Would sweep' if dry_run else 'Swept'} {count(deleted, 'completed todo')} "
                f"of {count(users, 'person', 'people')} taking part."
            )
        if errors := report["errors"]:
            how_many = report.get("error_count", len(errors))
            raise CommandError(f"Not swept: {named(errors, how_many)}.")


def check(options: dict[str, Any]) -> None:
    """Refuse options that make no sense, before anything is touched.

    Raises:
        CommandError: naming the option.
    """
    check_bounds("keep-days", options["keep_days"], 0, MAX_KEEP_DAYS)
    check_bounds("batch-size", options["batch_size"], 1, MAX_BATCH_SIZE)
    check_bounds("wait", options["wait"], 1, 24 * 60 * 60)
    if options["wait"] is not None and not options["enqueue"]:
        raise CommandError("--wait goes with --enqueue.")
    if options["dry_run"] and options["enqueue"]:
        raise CommandError("--dry-run and --enqueue exclude each other.")


def sweep(arguments: dict[str, Any], user: User | None, options: dict[str, Any]) -> SweepReport:
    """Sweep in this process, or count what would go."""
    if options["dry_run"]:
        keep_days = options["keep_days"]
        return TodoService.preview_sweep(as_of=database_now(), keep_days=keep_days, user=user)
    return run_with_bar(
        COMMAND,
        todo_cleanup.message(**arguments),
        quiet=options["json"],
        done="swept",
        undo="manage.py restore_todos --run",
    )
