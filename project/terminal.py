"""Writes the lines of several programs to one output, each with its program's name before it."""

import os
import sys
from typing import TextIO

#: ANSI colours for the names, in turn.
COLORS = (36, 35, 33, 32, 34)

WIDTH = 9


class PrefixedOutput:
    """A place for lines, which colours names on a terminal (unless NO_COLOR is set)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colors = stream.isatty() and "NO_COLOR" not in os.environ
        self._names: list[str] = []

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
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            # Whoever read along has gone; the programs go on. Python flushes at its end, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def command_line(*arguments: str) -> str:
    """Return a line that runs `manage.py` from the project's folder, for a person to paste."""
    python = os.path.relpath(sys.executable)
    return " ".join([sys.executable if python.startswith("..") else python, *arguments])
