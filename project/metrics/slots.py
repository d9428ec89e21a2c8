"""Where web processes count: a folder for those of one server, and in it a file for each process.

prometheus-client names the file of a process by its id, so each restart leaves another one. Here a
process takes the first number that no living process has, and goes on counting where the last one
with that number stopped, however that one ended. So there are never more files than processes at
once, and no count is lost.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass(frozen=True)
class Slot:
    """This process's number among those of its server, and their folder.

    Attributes:
        lock: an open file; the kernel releases its lock when the process ends.
    """

    folder: Path
    number: int
    lock: int


def take_slot() -> Slot:
    """Take a number for the life of this process.

    Processes of one server have the same parent. The folders of servers that are gone are removed.

    Raises:
        OSError: the folder for temporary files cannot be used.
    """
    base = Path(tempfile.gettempdir()) / f"tidy-metrics-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to somebody else.")
    folder = base / str(os.getppid())
    with excluding_others(base / "lock"):
        for other in base.iterdir():
            if other.is_dir() and other != folder and not is_in_use(other):
                shutil.rmtree(other)
        folder.mkdir(exist_ok=True)
        for number in count():
            lock = try_lock(folder / f"{number}.lock")
            if lock is not None:
                return Slot(folder, number, lock)
    raise AssertionError("there is always another number")


@contextmanager
def excluding_others(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> int | None:
    """Return the open file if no living process has it locked; None otherwise."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def is_in_use(folder: Path) -> bool:
    """Return whether a living process counts in a folder."""
    for path in folder.glob("*.lock"):
        lock = try_lock(path)
        if lock is None:
            return True
        with suppress(OSError):
            os.close(lock)
    return False
