"""The lock that keeps `manage.py dev` from running twice in one folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from django.core.management.base import CommandError

from project.dev.reaper import is_running


@contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold the lock, or raise CommandError if another run holds it; yield its file descriptor.

    The file names the owner's process. If the owner was killed, its reaper still holds the lock:
    this waits until the reaper has ended.
    """
    with path.open("a+", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                lock.seek(0)
                owner = lock.read().strip()
                if owner and is_running(int(owner)):
                    raise CommandError(
                        f"Tidy is running in this folder already (process {owner}). Ctrl-C in its "
                        f"terminal stops it, and so does: kill {owner}"
                    ) from error
                sleep(0.1)
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield lock.fileno()
