"""The common output of several programs."""

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TextIO

import pytest

from project.dev.terminal import command_line, prefixed_output


@contextmanager
def pipe(encoding: str = "utf-8") -> Iterator[tuple[int, TextIO]]:
    """Yield the two ends of a pipe; the reader's is for the test to close."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w", encoding=encoding) as stream:
        yield read_end, stream


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


def test_each_line_begins_with_the_padded_name_of_its_program() -> None:
    with pipe() as (reader, stream), prefixed_output(stream) as write:
        write("web", "GET / 200")
        write("scheduler", "sent")
        write("", "as it is")
    assert read_all(reader) == "web      │ GET / 200\nscheduler│ sent\nas it is\n"


def write_many(write: Callable[[str, str], None], name: str) -> None:
    for _ in range(20):
        write(name, name * 9_000)


def test_lines_of_several_programs_never_mix() -> None:
    read_end: list[str] = []
    with pipe() as (reader, stream):
        collector = Thread(target=lambda: read_end.append(read_all(reader)))
        collector.start()
        with prefixed_output(stream) as write:
            writers = [Thread(target=write_many, args=[write, name]) for name in "abc"]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
    collector.join()
    lines = read_end[0].splitlines()
    assert sorted(lines) == sorted(f"{name:<9}│ {name * 9_000}" for name in "abc" * 20)


@pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("", True), ("1", False)])
def test_names_have_colors_on_a_terminal_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, *, colored: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream, prefixed_output(stream) as write:
        write("web", "hello")
        written = os.read(master, 1_000).decode()
    os.close(master)
    assert ("\x1b[" in written) == colored
    assert written.endswith(" hello\r\n")


def test_reader_who_goes_away_is_no_error() -> None:
    with pipe() as (reader, stream), prefixed_output(stream) as write:
        os.close(reader)
        write("web", "one")
        write("web", "two")


def test_reader_who_pauses_holds_nobody_up_and_misses_nothing() -> None:
    with pipe() as (reader, stream), prefixed_output(stream) as write:
        started = monotonic()
        for number in range(11_000):
            write("web", f"{number} {'x' * 100}")
        assert monotonic() - started < 5
        write("web", "after")
        text = b""
        while not text.endswith(b"after\n"):
            text += os.read(reader, 65_536)
        os.close(reader)
    numbers = [int(line.split()[2]) for line in text.splitlines()[:-1]]
    assert numbers == list(range(11_000))


def test_reader_who_never_reads_on_does_not_hold_the_end_up() -> None:
    with pipe() as (reader, stream):
        started = monotonic()
        with prefixed_output(stream) as write:
            for _ in range(20_000):
                write("web", "x" * 100)
        assert monotonic() - started < 10
        os.close(reader)


def test_what_the_output_cannot_show_does_not_stop_it() -> None:
    with pipe("ascii") as (reader, stream), prefixed_output(stream) as write:
        write("web", "naïve")
    assert read_all(reader) == "web      ? na?ve\n"


def test_command_line_survives_being_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $folder"
    folder.mkdir()
    (folder / "manage.py").write_text("import sys; print(sys.argv[1:])")
    line = command_line(folder, "changepassword", "o'brien")
    pasted = subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, capture_output=True, text=True, check=True
    )
    assert pasted.stdout == "['changepassword', \"o'brien\"]\n"


def test_command_line_names_the_virtual_environment_from_within_the_folder() -> None:
    python = Path(sys.executable)
    assert shlex.split(command_line(python.parents[2], "ping")) == [
        str(python.relative_to(python.parents[2])),
        "manage.py",
        "ping",
    ]
