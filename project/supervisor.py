"""Runs several programs as one: starts them in order, restarts what dies, stops them in reverse."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from project.child import Child, Program
from project.reaper import Reaper

#: Signals that come within so many seconds are one: a terminal sends its Ctrl-C to everyone, and
#: whoever started us may hand it on besides.
ONE_SIGNAL = 1.0


class Supervisor:
    """Keeps programs running until the process is told to stop."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        write: Callable[[str, str], None],
        environment: Mapping[str, str],
        keep_open: Sequence[int] = (),
    ) -> None:
        """Prepare to run `programs` in this order.

        Args:
            programs: in the order in which they start; they stop in reverse.
            write: called with a program's name and each line it writes; must not block.
            environment: the whole environment of the programs.
            keep_open: file descriptors (such as a lock) that stay open until the last program has
                ended, even if this process is killed.
        """
        self._stopping = asyncio.Event()
        self._told_at = 0.0
        self._reaper = Reaper(keep_open=keep_open)
        self._children = [
            Child(
                program,
                write=write,
                environment=environment,
                stopping=self._stopping,
                reaper=self._reaper,
            )
            for program in programs
        ]

    async def run(self, *, when_up: Callable[[], None]) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP; a second one kills what is left at once.

        Args:
            when_up: called once every program is ready.
        """
        loop = asyncio.get_running_loop()
        for signum in stop_signals():
            loop.add_signal_handler(signum, self.stop)
        with self._reaper:
            try:
                for child in self._children:
                    await child.start()
                if not self._stopping.is_set():
                    when_up()
                await self._stopping.wait()
            finally:
                self._stopping.set()  # Not yet, where an error ends the run.
                for child in reversed(self._children):
                    await child.stop()

    def stop(self) -> None:
        """Begin to stop; called again after a moment, kill what is left."""
        if not self._stopping.is_set():
            self._told_at = monotonic()
            self._stopping.set()
        elif monotonic() - self._told_at >= ONE_SIGNAL:
            for child in self._children:
                child.kill()


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask this process to stop: not SIGHUP where nohup has it ignored."""
    asking = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asking.append(signal.SIGHUP)
    return asking
