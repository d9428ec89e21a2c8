"""One program that is kept running.

It leads a session of its own, so a terminal's Ctrl-C does not reach it. It is stopped with one
SIGTERM, sent to it alone: a Dramatiq worker that gets a second one, from its parent or its process
group, drops its message.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import IO

#: The pause before a program that has ended starts again.
PAUSE_SECONDS = 3.0

#: How long a program has to stop before it is killed.
GRACE_SECONDS = 10.0

#: How long to wait for the last output of a program that has ended: a process that has left its
#: session may keep the pipe open.
OUTPUT_GRACE_SECONDS = 2.0

#: Takes a program's name and one line that it has written; called from several threads.
Write = Callable[[str, str], None]


class Program:
    """A program and its current process.

    Attributes:
        name: what its lines begin with.
        ready: returns whether it is up; the next program starts after that.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: Callable[[], bool] = lambda: True,
        code_changed: Callable[[], bool] = lambda: False,
    ) -> None:
        """Describe a program; `code_changed` returns, once a change, that it must restart."""
        self.name = name
        self.ready = ready
        self._command = command
        self._code_changed = code_changed
        self._process: subprocess.Popen[bytes] | None = None
        self._due_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def keep_running(self, write: Write) -> bool:
        """Start the program if it is due or its code has changed; to be called in a loop.

        Returns:
            Whether its process has started, ended or been replaced.
        """
        before, changed = self._process, self._code_changed()
        if self._process and (code := self._process.poll()) is not None:
            self.stop(write)
            ended = f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"
            self._try_again_later(write, ended)
        elif self._process and changed:
            write(self.name, "the code has changed: restarts")
            self.stop(write)
        if not self._process and (changed or monotonic() >= self._due_at):
            self._start(write)
        return self._process is not before

    def stop(self, write: Write) -> None:
        """Stop the process; kill it after GRACE_SECONDS, and always what it leaves behind."""
        if not (process := self._process):
            return
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            write(self.name, f"did not stop within {GRACE_SECONDS:g} s: killed")
        # Nothing may be left of the group; macOS says so with a PermissionError.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None
        self._reader.join(OUTPUT_GRACE_SECONDS)

    def _start(self, write: Write) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603  (the commands are ours)
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._try_again_later(write, f"cannot be started: {error}")
            return
        self._process = process
        self._reader = Thread(target=self._pass_on, args=[process.stdout, write], daemon=True)
        self._reader.start()

    def _pass_on(self, output: IO[bytes], write: Write) -> None:
        with output:
            for line in output:
                write(self.name, line.decode("utf-8", "replace").rstrip("\r\n"))

    def _try_again_later(self, write: Write, reason: str) -> None:
        write(self.name, f"{reason}; starts again in {PAUSE_SECONDS:g} s")
        self._due_at = monotonic() + PAUSE_SECONDS
