"""Tidy's own processes, started as an operator starts them, in a copy of the project."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.preforked import Preforked, Running, inherited, run_to_its_end
from tests.seam.injection import VARIABLE, Injection, Patch


@dataclass
class Process:
    """A running process and the file that its output goes to."""

    popen: Running
    log: Path

    def output(self) -> str:
        """Return everything that it has written so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, text: str, *, times: int = 1, seconds: float = 30) -> None:
        """Return when it has written `text` so many times."""
        wait_until(
            lambda: self.output().count(text) >= times or self.popen.poll() is not None,
            seconds=seconds,
            otherwise=lambda: f"{text!r} was not written:\n{self.output()}",
        )
        assert self.output().count(text) >= times, f"it ended:\n{self.output()}"

    def stop(self, *, seconds: float = 15) -> int:
        """Send it SIGTERM, to its own id alone; return its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)


@dataclass
class Tidy:
    """A copy of the project and the environment that its processes get.

    Attributes:
        folder: the copy.
        settings: variables of the environment.
        logs: the folder for what its processes write; the copy itself where none is given.
        injection: what tests change in its processes.
        starts_forks: whether what runs on is forked as commands are, in a fifth of the time. Not
            where the processes themselves are the point.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None
    injection: Injection = field(default_factory=Injection)
    starts_forks: bool = False

    def inject(self, *patches: Patch, actors: str = "", every: Mapping[str, int] = {}) -> None:
        """Change processes that start from now on.

        Args:
            patches: constants and fail points.
            actors: a module of `tests/actors/`.
            every: the intervals (seconds) of schedules, by their tasks.
        """
        modules = (f"tests.actors.{actors}",) if actors else ()
        self.injection += Injection(modules, patches, every)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of its processes."""
        # Required where HTTPS is on, as it is unless DEBUG is.
        environment = {"TRUSTED_PROXIES": "1", **inherited()}
        if self.injection != Injection():
            environment["DJANGO_SETTINGS_MODULE"] = "tests.seam.settings"
            environment[VARIABLE] = self.injection.encode()
        return {**environment, **self.settings}

    def manage(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with these arguments to its end.

        Raises:
            TimeoutExpired: it has not ended after so many seconds; it runs on.
        """
        return run_to_its_end(arguments, self.folder, self.environment, seconds=seconds)

    @contextmanager
    def start(self, *arguments: str, output: int | None = None) -> Iterator[Process]:
        """Run `manage.py` with these arguments; kill what is left of it when the block ends.

        Its output goes to a file, or to the file descriptor `output`.
        """
        log = (self.logs or self.folder) / f"{arguments[0]}.{monotonic()}.log"
        with log.open("wb") as file:
            popen = self._start(arguments, file.fileno() if output is None else output)
        try:
            yield Process(popen, log)
        finally:
            # A test that passed has stopped it; one that failed must not leave it behind.
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait(10)

    def _start(self, arguments: Sequence[str], output: int) -> Running:
        if self.starts_forks:
            with Path(os.devnull).open("rb") as nothing:
                files = (nothing.fileno(), output, output)
                return Preforked.with_libraries().start(
                    arguments, self.folder, self.environment, files, leads_group=True
                )
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def at_terminal(self, *arguments: str) -> tuple[int, str]:
        """Run `manage.py` at a terminal; return its exit code and what the terminal showed."""
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (24, 100))
        shown = b""
        with self.start(*arguments, output=its) as process:
            os.close(its)
            # A terminal that nobody writes to any more ends with an error, not with an empty read.
            with suppress(OSError):
                while part := os.read(ours, 4096):
                    shown += part
            os.close(ours)
            return process.popen.wait(30), shown.decode()


def wait_for_ticks(alive_file: Path, number: int, process: Process) -> None:
    """Return when a scheduler has touched its file so many times more."""
    for _ in range(number):
        last = touched_at(alive_file)
        wait_until(
            lambda last=last: touched_at(alive_file) != last,  # type: ignore[misc]
            seconds=30,
            otherwise=process.output,
        )


def touched_at(file: Path) -> float:
    """Return when a file was last touched; 0 if it is not there."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def without_log(text: str) -> str:
    """Return what a command has written beside its log lines."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith('{"timestamp": '))


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a log in JSON, as production writes it."""
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"timestamp": ')]


def wait_until(
    condition: Callable[[], bool], *, seconds: float, otherwise: Callable[[], str]
) -> None:
    """Return when `condition` holds; fail with the words of `otherwise` after so many seconds."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, otherwise()
        sleep(0.05)
