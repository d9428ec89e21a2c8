"""Alive-files: a process touches its own while it works, and a health check reads how old it is.

The check runs every few seconds beside the process, so nothing here may import more than Python.
"""

import os
from pathlib import Path
from time import time

#: A file that was not touched for this long belongs to a process that is stuck, frozen or gone.
STALE_SECONDS = 60.0

#: A file that was touched later than now by more than this was so before the clock was set back.
TOLERANCE_SECONDS = 5.0

#: The variable that tells a worker's processes their folder (`rundramatiq --alive-folder`).
VARIABLE = "tasks_alive_folder"

#: In a folder with a file for each process of a worker: how many processes there are to be.
EXPECTED = "expected"


def prepare(folder: Path, processes: int) -> None:
    """Make the folder of a worker that starts, without the files of an earlier one.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in _files(folder):
        file.unlink(missing_ok=True)
    (folder / EXPECTED).write_text(f"{processes}\n", encoding="ascii")


def file_of_this_process(folder: Path) -> Path:
    return folder / str(os.getpid())


def fault_of_file(file: Path) -> str:
    """Return what is wrong with the process that touches a file; empty if nothing is."""
    try:
        age = time() - file.stat().st_mtime
    except OSError as error:
        return f"{file}: {error.strerror}"
    # A running process corrects it within seconds.
    if age < -TOLERANCE_SECONDS:
        return f"{file} was touched later than now"
    return f"{file} was last touched {age:.0f} s ago" if age > STALE_SECONDS else ""


def fault_of_folder(folder: Path) -> str:
    """Return what is wrong with the processes of a worker; empty if nothing is."""
    try:
        expected = int((folder / EXPECTED).read_text(encoding="ascii"))
        faults = [fault_of_file(file) for file in _files(folder)]
    except (OSError, ValueError):
        return f"{folder} is not the folder of a worker"
    well = faults.count("")
    if well >= expected:
        return ""
    return "; ".join([f"{well} of {expected} processes are well", *filter(None, faults)])


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.isdecimal())
