"""Executes a run within a command, with a progress bar."""

from contextlib import nullcontext

from django.core.management.base import CommandError
from dramatiq import Message
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from tasks.engine.management.migrated import check_migrated
from tasks.engine.models import Trigger
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import Execution, ProgressLost, RunTakenOver, Stopped
from tasks.engine.runs.inline import Interrupted, run_inline

BAR = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"

#: Exit code of a command that was told to stop, as of one that Ctrl-C has ended.
STOPPED = 130

#: What commands ask for.
COMMAND = Request(Trigger.COMMAND)


def run_with_bar[R](message: Message[R], *, quiet: bool, done: str, undo: str = "") -> R:
    """Execute the run that a message asks for, and show how far it has come.

    The bar shows what each step saves in the run's progress: `rows`, a number, and `done`, from 0
    to 1.

    Args:
        message: what a worker would be sent.
        quiet: show no bar. Without a terminal at standard error there is none either.
        done: what has been done to the rows, for the bar.
        undo: the command that undoes the run, without the run's number; empty if there is none.

    Returns:
        What the actor returns.

    Raises:
        CommandError: the run was stopped, a worker continues it, or the database is not migrated.
    """
    check_migrated()
    run_id = rows = 0
    try:
        with tqdm(total=100, bar_format=BAR, disable=True if quiet else None) as bar:

            def show(execution: Execution) -> None:
                nonlocal run_id, rows
                run_id, rows = execution.run_id, execution.progress.get("rows", 0)
                bar.set_postfix_str(f"{rows:,} {done}", refresh=False)
                bar.update(100 * execution.progress.get("done", 0) - bar.n)

            # Log lines go above the bar, not into it.
            with nullcontext() if bar.disable else logging_redirect_tqdm():
                return run_inline(COMMAND, message, on_progress=show)
    except Stopped as error:
        how = f" {undo} {run_id} undoes that." if undo and rows else ""
        raise CommandError(
            f"Stopped: {rows:,} {done}, and run {run_id} is cancelled. "
            f"The same command continues with the rest.{how}",
            returncode=STOPPED,
        ) from error
    except (ProgressLost, RunTakenOver, Interrupted) as error:
        raise CommandError(f"A worker continues run {run_id}: {error}.") from error
