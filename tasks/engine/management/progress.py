"""Bulk operations that a command runs itself, with a progress bar."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.core.management.base import CommandError
from dramatiq import Message
from tqdm import tqdm

from tasks.engine.management.migrated import check_migrated
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import Execution, Rewound, RunTakenOver, Stopped
from tasks.engine.runs.inline import Interrupted, inline_run
from todos.bulk.checkpoint import Checkpoint

BAR = "{percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"

#: Exit code of a command that was told to stop, as of one that Ctrl-C has ended.
STOPPED = 130


class ShowProgress(Protocol):
    """Called after each batch of an operation, whatever its key."""

    def __call__[K](self, checkpoint: Checkpoint[K], /) -> None:
        """Show how far it has come."""


@contextmanager
def running_with_bar(
    request: Request, message: Message[Any], *, quiet: bool, done: str, undo: str = ""
) -> Iterator[tuple[Execution, ShowProgress]]:
    """Record what the block does as the run that a message asks for; show how far it has come.

    Args:
        request: who asks for it.
        message: what a worker would be sent.
        quiet: show no bar. There is none either where standard error is no terminal.
        done: what has been done to the rows, for the bar.
        undo: the command that takes back what has been done, less the run's number; empty if none
            does.

    Yields:
        What keeps the checkpoint, and what to call after each batch. The block leaves its result in
        the former's `result`.

    Raises:
        CommandError: the run was told to stop, a worker has taken it over, or the database has not
            been migrated.
    """
    check_migrated()
    rows, run_id = 0, None
    try:
        with (
            tqdm(total=100, bar_format=BAR, disable=True if quiet else None) as bar,
            inline_run(request, message) as execution,
        ):
            run_id = execution.run_id

            def on_batch[K](checkpoint: Checkpoint[K], /) -> None:
                nonlocal rows
                rows = checkpoint.rows
                bar.set_postfix_str(f"{rows:,} {done}", refresh=False)
                bar.update(100 * checkpoint.done - bar.n)

            yield execution, on_batch
    except Stopped as error:
        how = f" {undo} {run_id} takes that back." if undo and rows else ""
        raise CommandError(
            f"Stopped: {rows:,} {done}, and run {run_id} is cancelled. "
            f"The same command goes on with the rest.{how}",
            returncode=STOPPED,
        ) from error
    except Rewound as error:
        raise CommandError(
            f"The database died and lost the last steps of run {run_id}: a worker carries it on."
        ) from error
    except Interrupted as error:
        raise CommandError(
            f"The database failed in run {run_id} ({error}): a worker carries it on."
        ) from error
    except RunTakenOver as error:
        raise CommandError(
            "This process was held up for so long that a worker has taken the run over."
        ) from error
