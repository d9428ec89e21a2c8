"""`manage.py cleanup_todos`: runs the cleanup now, here or in a worker."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tasks.actors import todo_cleanup
from tasks.engine.database import database_now
from tasks.engine.management.options import check_bounds
from tasks.engine.management.progress import COMMAND, run_with_bar
from tasks.engine.management.waiting import MAX_WAIT_SECONDS, result_of
from tasks.engine.models import State, TaskRun
from tasks.engine.words import count
from tasks.management.options import BulkCommand, find_user, named, naming_options
from todos.bounds import check_sweep
from todos.bulk.sweep import SweepReport
from todos.clock import ClocksDisagree
from todos.services import TodoService


class Command(BulkCommand):
    help = (
        "Sweeps completed todos whose keep time is over, of everyone who is active and has not "
        "opted out. Exits with 1 when some todos could not be swept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add(
            "--keep-days",
            type=int,
            metavar="N",
            help="instead of TODO_KEEP_COMPLETED_DAYS; people's own keep times still hold",
        )
        add("--batch-size", type=int, metavar="N", help="completed todos in one transaction")
        add("--enqueue", action="store_true", help="let a worker do it")
        add("--wait", type=int, metavar="SECONDS", help="with --enqueue: wait for the result")

    def handle(self, **options: Any) -> None:
        check(options)
        user = find_user(options["user"])
        keep_days, batch_size = options["keep_days"], options["batch_size"]
        arguments = {
            "keep_days": keep_days,
            "batch_size": batch_size,
            "user_id": user.pk if user else None,
        }
        report: SweepReport
        try:
            if options["enqueue"]:
                run = COMMAND.enqueue(todo_cleanup, **arguments)
                if not options["wait"]:
                    self.print_enqueued(run, as_json=options["json"])
                    return
                report = result_of(run, seconds=options["wait"])
            elif options["dry_run"]:
                report = TodoService.preview_sweep(
                    as_of=database_now(), keep_days=keep_days, user=user
                )
            else:
                report = run_with_bar(
                    todo_cleanup.message(**arguments),
                    quiet=options["json"],
                    done="swept",
                    undo="manage.py restore_todos --run",
                )
        except ClocksDisagree as error:
            raise CommandError(str(error)) from error
        verb = "Would sweep" if options["dry_run"] else "Swept"
        todos = count(report["todos_deleted"], "completed todo")
        people = count(report["users_processed"], "person", "people")
        self.print_report(report, f"{verb} {todos} of {people} taking part.", options)
        if errors := report["errors"]:
            total = report.get("error_count", len(errors))
            raise CommandError(f"Not swept: {named(errors, total)}.")

    def print_enqueued(self, run: TaskRun, *, as_json: bool) -> None:
        run.refresh_from_db()
        if as_json:
            self.stdout.write(json.dumps({"run": run.pk, "message_id": str(run.message_id)}))
        elif run.state == State.PENDING:
            self.stdout.write(f"Run {run.pk} will be published when the broker is back.")
        else:
            self.stdout.write(f"Queued as run {run.pk}.")


def check(options: dict[str, Any]) -> None:
    """Refuse options that make no sense, before anything is touched.

    Raises:
        CommandError: naming the option.
    """
    with naming_options():
        check_sweep(keep_days=options["keep_days"], batch_size=options["batch_size"])
    check_bounds("wait", options["wait"], 1, MAX_WAIT_SECONDS)
    if options["wait"] is not None and not options["enqueue"]:
        raise CommandError("--wait needs --enqueue.")
    if options["dry_run"] and options["enqueue"]:
        raise CommandError("--dry-run and --enqueue cannot be combined.")
