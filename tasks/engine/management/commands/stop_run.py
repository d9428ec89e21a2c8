"""`manage.py stop_run`: cancels a run, at once if it waits, at its next step if it is running."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.options import check_bounds
from tasks.engine.management.waiting import MAX_WAIT_SECONDS, has_ended
from tasks.engine.models import State, TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused


class Command(BaseCommand):
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
        seconds = options["wait"]
        check_bounds("wait", seconds, 1, MAX_WAIT_SECONDS)
        run = TaskRun.objects.filter(pk=options["run"]).first()
        if run is None:
            raise CommandError(f"There is no run {options['run']}.")
        try:
            operations.stop(run)
        except Refused as error:
            raise CommandError(str(error)) from error
        if seconds and not has_ended(run, seconds=seconds):
            raise CommandError(
                f"Run {run.pk} of {run.task} has not ended within {seconds} s. It was asked to "
                "stop, and ends at its next step."
            )
        self.stdout.write(outcome(run))


def outcome(run: TaskRun) -> str:
    """Return in a line how a run stands that was asked to stop."""
    if not run.is_finished:
        return f"Run {run.pk} of {run.task} was asked to stop: it ends at its next step."
    done = f": {run.summary}" if run.summary else ""
    if run.state == State.CANCELLED:
        return f"Run {run.pk} of {run.task} is cancelled{done}."
    return f"Run {run.pk} of {run.task} {run.state} before it could stop{done}."
