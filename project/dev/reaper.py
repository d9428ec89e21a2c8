"""Ends the programs of a supervisor that was killed and could not end them itself.

The reaper is a small process, to which the supervisor sends through a pipe what runs. When the pipe
closes, the supervisor has ended, and the reaper ends what still runs, last started first. Linux's
parent-death signal would not suffice: it reaches a program but not what the program has started,
and macOS has none.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

#: How long a program has to stop before it is killed: more than the shutdown time-out of the worker
#: in `project/dev/programs.py`.
GRACE_SECONDS = 6.0


def start_reaper(keep_open: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start the reaper, a context manager; it keeps file descriptors, such as a lock, open."""
    return subprocess.Popen(  # noqa: S603  (this very file)
        [sys.executable, "-I", "-S", __file__],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=keep_open,
    )


def tell(reaper: "subprocess.Popen[bytes]", pids: Sequence[int]) -> None:
    """Tell the reaper what runs: programs that lead process groups of their own."""
    # It may have been killed; the supervisor continues without it.
    with suppress(BrokenPipeError):
        if reaper.stdin:
            reaper.stdin.write(f"{' '.join(map(str, pids))}\n".encode())


def main() -> None:
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # They are meant for the supervisor.
    pids: list[str] = []
    for line in sys.stdin:
        pids = line.split()
    for pid in reversed(pids):
        end(int(pid))


def end(pid: int) -> None:
    """Stop a program, then kill what is left of its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
        deadline = monotonic() + GRACE_SECONDS
        while is_running(pid) and monotonic() < deadline:
            sleep(0.05)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended.

    A process that has ended keeps its number until its parent collects its exit code. An orphan's
    new parent may take seconds to do so, and in some containers never does.
    """
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:
        return True  # Another user's; or there is no /proc; or it ended just now.
    return stat.rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    main()
