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

    def handle(self, *, run: int, wait: int | None, **_: Any) -> None:
        check_bounds("wait", wait, 1, MAX_WAIT_SECONDS)
        task_run = TaskRun.objects.filter(pk=run).first()
        if task_run is None:
            raise CommandError(f"There is no run {run}.")
        try:
            operations.stop(task_run)
        except Refused as error:
            raise CommandError(str(error)) from error
        if wait and not has_ended(task_run, seconds=wait):
            raise CommandError(
                f"Run {run} of {task_run.task} has not ended within {wait} s. It was asked to "
                "stop, and ends at its next step."
            )
        self.stdout.write(outcome(task_run))


def outcome(run: TaskRun) -> str:
    """Return in one line what became of a run that was asked to stop."""
    if not run.is_finished:
        return f"Run {run.pk} of {run.task} was asked to stop: it ends at its next step."
    done = f": {run.summary}" if run.summary else ""
    if run.state == State.CANCELLED:
        return f"Run {run.pk} of {run.task} is cancelled{done}."
    return f"Run {run.pk} of {run.task} {run.state} before it could stop{done}."
