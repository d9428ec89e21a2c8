"""Runs several programs as one: starts them in order, restarts them, stops them in reverse."""

import signal
from collections.abc import Callable, Sequence
from time import sleep

from project.dev.program import Program, Write
from project.dev.reaper import start_reaper, tell

#: The signals that stop us: not SIGHUP under nohup, which ignores it.
STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    STOP_SIGNALS.append(signal.SIGHUP)

POLL_SECONDS = 0.1


def supervise(
    programs: Sequence[Program],
    *,
    write: Write,
    when_up: Callable[[], None],
    keep_open: Sequence[int] = (),
) -> None:
    """Keep programs running until SIGINT, SIGTERM or SIGHUP; then stop them.

    Args:
        programs: in the order in which they start, each when the one before is ready; they stop
            in reverse.
        write: called with each line of each program.
        when_up: called once every program is ready.
        keep_open: file descriptors (such as a lock) that stay open until the last program has
            ended, even if this process is killed.
    """
    signals: list[int] = []
    for signum in STOP_SIGNALS:
        signal.signal(signum, lambda number, _: signals.append(number))
    started: list[Program] = []

    def run_until(done: Callable[[], bool]) -> None:
        while not signals:
            for program in started:
                if program.keep_running(write):
                    tell(reaper, [program.pid for program in started if program.pid])
            if done():
                return
            sleep(POLL_SECONDS)

    with start_reaper(keep_open) as reaper:
        try:
            for program in programs:
                started.append(program)
                run_until(program.ready)
            if not signals:
                when_up()
            run_until(lambda: False)
        finally:
            for program in reversed(started):
                program.stop(write)
            tell(reaper, [])
