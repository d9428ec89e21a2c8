"""`manage.py stop_run`: cancels a run, at once if it waits, at its next step if it is running."""

from argparse import ArgumentParser
from time import monotonic, sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.messages import READ_ROW_SECONDS
from tasks.engine.management.options import check_bounds
from tasks.engine.models import State, TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused

LONGEST_WAIT_SECONDS = 24 * 60 * 60


class Command(BaseCommand):
    """Stop a run."""

    help = (
        "Stops a run: a waiting one is cancelled at once, a running one at its next step. What it "
        "did until then stays done, and is counted. Exits with 1 if there is no such run, or if it "
        "has ended."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("run", type=int, metavar="ID", help="the run's id")
        add("--wait", type=int, metavar="SECONDS", help="wait this long for its end")

    def handle(self, **options: Any) -> None:
        """Stop the run, wait for its end if told to, and print what became of it.

        Raises:
            CommandError: there is no such run, it had ended before, or it did not end in time.
        """
        check_bounds("wait", options["wait"], 1, LONGEST_WAIT_SECONDS)
        run = TaskRun.objects.filter(pk=options["run"]).first()
        if run is None:
            raise CommandError(f"There is no run {options['run']}.")
        try:
            operations.stop(run)
        except Refused as error:
            raise CommandError(str(error)) from error
        if options["wait"]:
            wait_for_end(run, seconds=options["wait"])
        self.stdout.write(outcome(run))


def wait_for_end(run: TaskRun, *, seconds: int) -> None:
    """Wait until a run has ended.

    Raises:
        CommandError: it has not ended after this time.
    """
    deadline = monotonic() + seconds
    while not run.is_finished:
        if monotonic() >= deadline:
            raise CommandError(
                f"Run {run.pk} of {run.task} has not ended within {seconds} s. It was asked to "
                "stop, and ends at its next step."
            )
        sleep(READ_ROW_SECONDS)
        run.refresh_from_db()


def outcome(run: TaskRun) -> str:
    """Return in a line what became of a run that was stopped."""
    if not run.is_finished:
        return f"Run {run.pk} of {run.task} was asked to stop: it ends at its next step."
    done = f": {run.summary}" if run.summary else ""
    if run.state == State.CANCELLED:
        return f"Run {run.pk} of {run.task} is cancelled{done}."
    return f"Run {run.pk} of {run.task} {run.state} before it could stop{done}."
