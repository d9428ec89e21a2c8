"""Writes the lines of several programs to one stream; makes command lines to paste."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TextIO

#: ANSI colors of the names on a terminal.
COLORS = {"valkey": 36, "worker": 35, "scheduler": 33, "web": 32}

#: How long to wait at the end for somebody to read the last lines.
LAST_LINES_SECONDS = 1.0


@contextmanager
def prefixed_output(stream: TextIO) -> Iterator[Callable[[str, str], None]]:
    """Write lines to a stream, each behind its program's name.

    A thread of its own writes, so that programs run on while a reader pauses, or after it has left.
    Names have colors on a terminal, unless NO_COLOR is set.

    Yields:
        A function that takes a program's name and a line; without a name, a text as it is.
    """
    stream.flush()
    descriptor, encoding = stream.fileno(), stream.encoding
    colored = stream.isatty() and not os.environ.get("NO_COLOR")
    queue: SimpleQueue[str | None] = SimpleQueue()

    def write(name: str, line: str) -> None:
        prefix = f"{name:<9}│"
        if colored:
            prefix = f"\x1b[{COLORS.get(name, 34)}m{prefix}\x1b[0m"
        queue.put(f"{prefix} {line}" if name else line)

    def write_queue() -> None:
        with suppress(OSError):  # The pipe or the terminal is closed.
            for text in iter(queue.get, None):
                rest = f"{text}\n".encode(encoding, "replace")
                while rest:  # Past the stream's buffer, whose lock would hold up the end.
                    rest = rest[os.write(descriptor, rest) :]
            return
        for _ in iter(queue.get, None):
            pass  # Nobody reads what follows.

    writer = Thread(target=write_queue, daemon=True)
    writer.start()
    try:
        yield write
    finally:
        queue.put(None)
        writer.join(LAST_LINES_SECONDS)


def command_line(folder: Path, *arguments: str) -> str:
    """Return a line that runs `manage.py` in the project's folder, for a person to paste."""
    python = os.path.relpath(sys.executable, folder)
    if python.startswith(".."):
        python = sys.executable
    return shlex.join([python, "manage.py", *arguments])
