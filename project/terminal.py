"""Writes the lines of several programs to one output, each with its program's name before it."""

import os
import select
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from types import TracebackType
from typing import Self, TextIO

#: ANSI colours for the names, in turn.
COLORS = (36, 35, 33, 32, 34)

WIDTH = 9

#: Lines that wait while nobody reads (a pager that is paused); further ones are left out.
LONGEST_QUEUE = 10_000

#: Seconds to wait, at the end, for the last lines to be read.
LAST_LINES = 1.0


class PrefixedOutput:
    """A place for lines, which colours names on a terminal (unless NO_COLOR is set).

    A context manager. A thread of its own writes, so that whoever has something to say never waits
    for whoever reads; and when the reader has gone, that stops nobody either.
    """

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._colors = stream.isatty() and not os.environ.get("NO_COLOR")
        self._names: list[str] = []
        self._left_out = 0
        self._queue: Queue[str | None] = Queue(LONGEST_QUEUE)
        self._thread = Thread(target=self._write_queue, name="output", daemon=True)

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what waits, unless nobody reads it."""
        with suppress(Full):
            self._queue.put(None, timeout=LAST_LINES)
        self._thread.join(LAST_LINES)

    def write(self, name: str, line: str) -> None:
        """Write one line of the program called `name`."""
        if name not in self._names:
            self._names.append(name)
        prefix = f"{name:<{WIDTH}}│"
        if self._colors:
            color = COLORS[self._names.index(name) % len(COLORS)]
            prefix = f"\x1b[{color}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {line}")

    def plain(self, text: str) -> None:
        """Write text as it is."""
        try:
            if self._left_out:
                self._queue.put_nowait(f"({self._left_out} lines left out: nobody read them)")
                self._left_out = 0
            self._queue.put_nowait(text)
        except Full:
            self._left_out += 1

    def _write_queue(self) -> None:
        gone = False
        for text in iter(self._queue.get, None):
            rest = b"" if gone else f"{text}\n".encode(self._encoding, "replace")
            try:
                while rest:
                    rest = self._write_some(rest)
            except OSError:
                gone = True  # A closed pipe, a closed terminal.

    def _write_some(self, data: bytes) -> bytes:
        """Write to the descriptor itself, which needs no lock at the end; return the rest."""
        try:
            return data[os.write(self._descriptor, data) :]
        except BlockingIOError:
            # Another program has made the terminal that we share non-blocking.
            select.select([], [self._descriptor], [])
            return data


def command_line(folder: Path, *arguments: str) -> str:
    """Return a line that runs `manage.py` in the project's folder, for a person to paste."""
    python = os.path.relpath(sys.executable, folder)
    return shlex.join(
        [sys.executable if python.startswith("..") else python, "manage.py", *arguments]
    )
