"""Ends a supervisor's programs when it could not do so itself, because it was killed.

The reaper is a small process beside the supervisor, which tells it through a pipe what runs. When
that pipe closes, the supervisor has gone: what still runs then is ended, in the order of a usual
stop. Linux's parent-death signal would not do instead: it reaches the program, but none of the
processes that the program has started; and macOS has none.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

#: Seconds that a program has to end before it is killed: a second more than Dramatiq's workers take
#: at the most, as `manage.py dev` runs them.
GRACE = 6.0


class Reaper:
    """The reaper as the supervisor sees it: a context manager around the supervisor's work."""

    def __init__(self, *, keep_open: Sequence[int] = ()) -> None:
        """Prepare a reaper.

        Args:
            keep_open: file descriptors (such as a lock) that stay open until everything has ended.
        """
        self._keep_open = keep_open

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(  # noqa: S603  (this very file)
            [sys.executable, "-I", "-S", __file__],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._keep_open,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Have it end what is left, if anything, and wait until it has."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def watch(self, pid: int) -> None:
        """Tell it of a program that leads a process group of its own."""
        self._tell(pid)

    def forget(self, pid: int) -> None:
        """Tell it that a program and its group have ended."""
        self._tell(-pid)

    def _tell(self, number: int) -> None:
        # It may have been killed: then this run has to do without one.
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.write(f"{number}\n".encode())


def main() -> None:
    """Keep account of what runs until standard input closes; end what runs then."""
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # Meant for the supervisor.
    running: list[int] = []
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            running.append(number)
        else:
            running.remove(-number)
    for pid in reversed(running):
        end(pid)


def end(pid: int) -> None:
    """Have a program end, then kill what is left of its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
        deadline = monotonic() + GRACE
        while is_running(pid) and monotonic() < deadline:
            sleep(0.05)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Say whether there is a process with this number that has not ended.

    One that has ended keeps its number until its parent asks about it; the parent of orphans may
    take seconds, and in some containers it never does.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True  # No Linux; or it ended just now, which the next look shows.
    return stat.rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    main()
