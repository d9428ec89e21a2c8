"""Runs several programs as one: starts them in order, restarts what dies, stops them in reverse.

Each program has a session of its own, so a terminal's Ctrl-C reaches the supervisor alone. A stop
is SIGTERM to the program itself: Dramatiq's workers would take one to the whole group as a second
signal and die in mid-message.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

#: Seconds before a program that died is started again: doubled each time, up to the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

#: Signals that come within so many seconds are one: a terminal sends its Ctrl-C to everyone, and
#: whoever started us may hand it on besides.
ONE_SIGNAL = 1.0

#: A program that has run for so long (seconds) is well again: its next pause is the first one.
WELL_AFTER = 60.0

#: How often (seconds) to ask whether a program that just started is ready.
READY_EVERY = 0.1

#: How long (seconds) to wait for the rest of a dead program's output.
LAST_WORDS = 2.0

PR_SET_PDEATHSIG = 1  # From Linux's <sys/prctl.h>.


@dataclass(frozen=True, kw_only=True)
class Program:
    """Something to keep running.

    Attributes:
        name: what its lines begin with.
        command: the program and its arguments.
        ready: says whether it is up; the next one is started after that.
        grace: seconds that it has to stop before it is killed.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = lambda: True
    grace: float = 10.0


class Supervisor:
    """Keeps programs running until the process is told to stop."""

    def __init__(
        self,
        programs: Iterable[Program],
        *,
        write: Callable[[str, str], None],
        environment: Mapping[str, str],
    ) -> None:
        """Prepare to run `programs` in this order.

        Args:
            programs: in the order in which they start; they stop in reverse.
            write: called with a program's name and each line it writes.
            environment: the whole environment of the programs.
        """
        self._stopping = asyncio.Event()
        self._told_at = 0.0
        self._children = [
            Child(program, write=write, environment=environment, stopping=self._stopping)
            for program in programs
        ]

    async def run(self, *, when_up: Callable[[], None]) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP; a second one kills what is left at once.

        Args:
            when_up: called once every program is ready.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self.stop)
        try:
            for child in self._children:
                await child.start()
            if not self._stopping.is_set():
                when_up()
            await self._stopping.wait()
        finally:
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


class Child:
    """One program, its current process, and the task that keeps it running."""

    def __init__(
        self,
        program: Program,
        *,
        write: Callable[[str, str], None],
        environment: Mapping[str, str],
        stopping: asyncio.Event,
    ) -> None:
        self._program = program
        self._write = write
        self._environment = environment
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = stopping

    async def start(self) -> None:
        """Start the program and return when it is ready, or when all are to stop."""
        if self._stopping.is_set():
            return
        self._keeper = asyncio.create_task(self._keep_running())
        while not (self._stopping.is_set() or self._program.ready()):
            await asyncio.sleep(READY_EVERY)

    async def stop(self) -> None:
        """Have the program end; kill it once its grace is over."""
        if self._keeper is None:
            return
        if self._process and self._process.returncode is None:
            # It may end by itself at this very moment.
            with suppress(ProcessLookupError):
                self._process.terminate()
        _, unfinished = await asyncio.wait([self._keeper], timeout=self._program.grace)
        if unfinished:
            self._write(
                self._program.name, f"did not stop within {self._program.grace:g} s: killed"
            )
            self.kill()
        await self._keeper

    def kill(self) -> None:
        """Kill the program and everything that it started, at once."""
        if self._process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _keep_running(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = monotonic()
            ended = await self._run_once()
            if self._stopping.is_set():
                return
            if monotonic() - started >= WELL_AFTER:
                pause = FIRST_PAUSE
            self._write(self._program.name, f"{ended}; starts again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run_once(self) -> str:
        """Run the program to its end; return how it ended."""
        # A pipe of our own: asyncio's would have wait() outlast the program for as long as anything
        # that it started holds its output open.
        read_end, write_end = os.pipe()
        reader = asyncio.create_task(self._hand_on(read_end))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._program.command,
                stdin=DEVNULL,
                stdout=write_end,
                stderr=STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            return f"cannot be started: {error}"
        else:
            code = await self._process.wait()
            self.kill()  # What it leaves behind.
        finally:
            os.close(write_end)
            # Something that has left the program's session may hold the pipe open for ever.
            await asyncio.wait([reader], timeout=LAST_WORDS)
            reader.cancel()
        return (
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )

    async def _hand_on(self, read_end: int) -> None:
        """Write each line that comes through a pipe, the last one even if it is unfinished."""
        output = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb")
        )
        rest = b""
        while chunk := await output.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._write(self._program.name, line.decode("utf-8", "replace").rstrip("\r"))
        if rest:
            self._write(self._program.name, rest.decode("utf-8", "replace"))


def die_with_parent() -> None:
    """Have Linux send this process SIGTERM when its parent is gone, however that came about.

    Runs in the child before its program; safe because the supervisor has no other threads.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
