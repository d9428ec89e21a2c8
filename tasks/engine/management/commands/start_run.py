"""`manage.py start_run`: starts a run of a task, as the console does."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.migrated import check_migrated
from tasks.engine.management.options import check_bounds
from tasks.engine.management.waiting import MAX_WAIT_SECONDS, result_of
from tasks.engine.models import TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused
from tasks.engine.words import reason


class Command(BaseCommand):
    help = (
        "Starts a run of a task by its workers, and prints the run's id. Exits with 1 if the task "
        "does not take these arguments, a run of it is unfinished, or, with --wait, it fails or "
        "has not ended in time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("task", metavar="TASK", help="the task's name")
        add(
            "--arguments",
            action="append",
            default=[],
            metavar="JSON",
            help="an object of arguments by keyword, or a list of those by position; repeatable",
        )
        add("--wait", type=int, metavar="SECONDS", help="wait this long for its end")
        add("--json", action="store_true", help="print one line of JSON, for machines")

    def handle(
        self, *, task: str, arguments: list[str], wait: int | None, json: bool, **_: Any
    ) -> None:
        check_bounds("wait", wait, 1, MAX_WAIT_SECONDS)
        check_migrated()
        try:
            run = operations.start(task, parsed(arguments))
        except Refused as error:
            raise CommandError(str(error)) from error
        result = result_of(run, seconds=wait) if wait else None
        run.refresh_from_db()
        self.stdout.write(as_json(run, result) if json else in_words(run))


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return arguments as a run's row holds them.

    Raises:
        CommandError: one is neither an object nor a list in JSON.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in arguments:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CommandError(f"--arguments is not JSON: {reason(error)}.") from error
        if isinstance(value, dict):
            kwargs |= value
        elif isinstance(value, list):
            args += value
        else:
            raise CommandError("--arguments must be an object or a list in JSON.")
    return {"args": args, "kwargs": kwargs}


def as_json(run: TaskRun, result: object) -> str:
    return json.dumps({"run": run.pk, "task": run.task, "state": run.state, "result": result})


def in_words(run: TaskRun) -> str:
    done = f": {run.summary}" if run.summary else ""
    return f"Run {run.pk} of {run.task} {run.state}{done}." if run.is_finished else f"Run {run.pk}"
