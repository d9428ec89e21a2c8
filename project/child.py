"""One program that is kept running.

It has a session of its own, so a terminal's Ctrl-C does not reach it. To stop it, SIGTERM goes to
the program itself: Dramatiq's workers would take one to the whole group as a second signal and die
in mid-message.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from project.reaper import Reaper

#: Seconds before a program that died is started again: doubled each time, up to the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

#: A program that has run for so long (seconds) is well again: its next pause is the first one.
WELL_AFTER = 60.0

#: How often (seconds) to ask whether a program that just started is ready.
READY_EVERY = 0.1

#: How long (seconds) to wait for the rest of a dead program's output.
LAST_WORDS = 2.0

#: Deaths in a row, none of them after running well, from which on they are counted aloud.
OFTEN = 3


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


class Child:
    """One program, its current process, and the task that keeps it running."""

    def __init__(
        self,
        program: Program,
        *,
        write: Callable[[str, str], None],
        environment: Mapping[str, str],
        stopping: asyncio.Event,
        reaper: Reaper,
    ) -> None:
        self._program = program
        self._write = write
        self._environment = environment
        self._reaper = reaper
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = stopping

    async def start(self) -> None:
        """Start the program and return when it is ready, or when all are to stop."""
        if self._stopping.is_set():
            return
        self._keeper = asyncio.create_task(self._keep_running())
        while not (self._stopping.is_set() or await asyncio.to_thread(self._program.ready)):
            await asyncio.sleep(READY_EVERY)

    async def stop(self) -> None:
        """Have the program end; kill it once its grace is over."""
        if self._keeper is None:
            return
        self._terminate()
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

    def _terminate(self) -> None:
        if self._process:
            # It may end by itself at this very moment.
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def _keep_running(self) -> None:
        pause, deaths = FIRST_PAUSE, 0
        while not self._stopping.is_set():
            started = monotonic()
            ended = await self._run_once()
            if self._stopping.is_set():
                return
            if monotonic() - started >= WELL_AFTER:
                pause, deaths = FIRST_PAUSE, 0
            deaths += 1
            often = f" (failed {deaths} times in a row)" if deaths >= OFTEN else ""
            self._write(self._program.name, f"{ended}; starts again in {pause:g} s{often}")
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
            )
        except OSError as error:
            return f"cannot be started: {error}"
        else:
            self._reaper.watch(self._process.pid)
            if self._stopping.is_set():
                self._terminate()  # Told to stop while it started.
            code = await self._process.wait()
            self.kill()  # What it leaves behind.
            self._reaper.forget(self._process.pid)
            self._process = None  # Its number may be another's soon.
        finally:
            os.close(write_end)
            # Something that has left the program's session may hold the pipe open for ever.
            await asyncio.wait([reader], timeout=LAST_WORDS)
            reader.cancel()
        return how_it_ended(code)

    async def _hand_on(self, read_end: int) -> None:
        """Write each line that comes through a pipe, the last one even if it is unfinished."""
        output = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb")
        )
        rest = b""
        try:
            while chunk := await output.read(65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._write(self._program.name, line.decode("utf-8", "replace").rstrip("\r"))
            if rest:
                self._write(self._program.name, rest.decode("utf-8", "replace"))
        finally:
            transport.close()


def how_it_ended(code: int) -> str:
    """Say in words what a process's return code means."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # A real-time signal has no name.
        return f"was ended by signal {-code}"
