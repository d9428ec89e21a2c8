"""A dump in mid-sweep, restored into a stack that has nothing yet."""

import shutil
import time

from tests.compose.engine import docker
from tests.compose.outage import ENDED, PROGRESS, begin_sweep
from tests.compose.report import Report
from tests.compose.stack import Stack, documented, wait_for
from tests.compose.starting import check_counts

#: What waits in Valkey when the dump is made.
ENQUEUE = """
from tasks.actors import requests_prune, sessions_clear, todo_receipts
from tasks.engine.runs.enqueue import enqueue

for actor in (requests_prune, sessions_clear, todo_receipts):
    enqueue(actor)
"""

#: TASKS_LIVENESS_SECONDS, and a little more.
LIVENESS_SECONDS = 65

QUEUED = "SELECT count(*) FROM tasks_taskrun WHERE state = 'queued'"


#: What the page calls the dump, where it restores it.
DUMP = "tidy.dump"


def back_up(stack: Stack, report: Report, target: Stack) -> int:
    """Dump the database with a run unfinished, and messages in Valkey that no worker takes."""
    completed = begin_sweep(stack)
    docker("pause", stack.containers("worker")[0])
    stack.run(f"docker compose exec -T web python manage.py shell --command '{ENQUEUE}'")
    queued = stack.number(QUEUED)
    dump = stack.folder / stack.documented("back up").strip()
    moved = stack.number(PROGRESS)
    report.check(
        "dumped with a run unfinished", f"{moved} swept, {queued} runs in Valkey", holds=queued > 0
    )
    shutil.copytree(stack.folder / "secrets", target.folder / "secrets")
    shutil.copy2(stack.folder / ".env", target.folder / ".env")
    shutil.copy2(dump, target.folder / DUMP)
    docker("unpause", stack.containers("worker")[0])
    return completed


def restore(stack: Stack, report: Report, completed: int) -> None:
    """Restore into the fresh stack, and let the runs end there."""
    # Until then, processes of the dump's time may pass for alive.
    dumped = (stack.folder / DUMP).stat().st_mtime
    time.sleep(max(0, dumped + LIVENESS_SECONDS - time.time()))
    stack.run(f"DUMP={DUMP}\n{documented('restore')}")
    wait_for(lambda: stack.number(ENDED) == 1, seconds=300, what="the sweep's end")
    check_counts(stack, report, "restored: the run went on and ended", completed)
    wait_for(lambda: stack.number(QUEUED) == 0, seconds=120, what="runs that were in Valkey")
    report.check("... and so did what was in Valkey", "all ended", holds=True)
    stack.manage("tasks_status --check")
