"""Tidy's own processes, started as an operator starts them, in a copy of the project."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Lock
from time import monotonic, sleep
from typing import ClassVar

from tests.seam.injection import VARIABLE, Injection, Patch

#: Loads the project once for many commands, and how many such processes there are at a time.
PREFORK = Path(__file__).resolve().parent / "seam/prefork.py"
MOST_PREFORKED = 2

#: What a process needs of the shell; no setting of Tidy's leaks in from there.
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")


@dataclass
class Process:
    """A running process and the file that its output goes to."""

    popen: subprocess.Popen[bytes]
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
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None
    injection: Injection = field(default_factory=Injection)

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
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, "PYTHONUNBUFFERED": "1"}
        if self.injection != Injection():
            environment["DJANGO_SETTINGS_MODULE"] = "tests.seam.settings"
            environment[VARIABLE] = self.injection.encode()
        return {**environment, **self.settings}

    def manage(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with these arguments to its end."""
        loaded = Preforked.of(self.folder, self.environment)
        if loaded is not None:
            return loaded.run(arguments, seconds)
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def start(self, *arguments: str, output: int | None = None) -> Iterator[Process]:
        """Run `manage.py` with these arguments; kill what is left of it when the block ends.

        Its output goes to a file, or to the file descriptor `output`.
        """
        log = (self.logs or self.folder) / f"{arguments[0]}.{monotonic()}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file if output is None else output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Process(popen, log)
        finally:
            # A test that passed has stopped it; one that failed must not leave it behind.
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait(10)

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


class Preforked:
    """Runs commands in forks of one process that has loaded the project (`tests/seam/prefork.py`).

    There is one for each state of a folder's code and each environment, until `end_all` or until
    others have been used more lately.
    """

    #: By state of the code and environment, the one that was used last at the end.
    _all: ClassVar[dict[tuple[Path, int, frozenset[tuple[str, str]]], "Preforked"]] = {}
    _lock: ClassVar = Lock()

    @classmethod
    def of(cls, folder: Path, environment: Mapping[str, str]) -> "Preforked | None":
        """Return the one for a folder and an environment; None where commands must start anew.

        That is where `manage.py` itself sees to the environment, and where the project cannot be
        loaded.
        """
        if "DJANGO_SECRET_KEY" not in environment or (folder / ".env").exists():
            return None
        last_change = max(file.stat().st_mtime_ns for file in folder.rglob("*.py"))
        key = (folder, last_change, frozenset(environment.items()))
        with cls._lock:
            found = cls._all.pop(key, None) or cls(folder, environment)
            cls._all[key] = found
            while len(cls._all) > MOST_PREFORKED:
                cls._all.pop(next(iter(cls._all))).end()
        return found if found.is_loaded else None

    @classmethod
    def end_all(cls) -> None:
        """End them all; commands that still run are not ended."""
        with cls._lock:
            while cls._all:
                cls._all.popitem()[1].end()

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = TemporaryDirectory(prefix="tidy-")
        self._socket = f"{self._folder.name}/socket"
        self._popen = subprocess.Popen(
            [sys.executable, str(PREFORK), self._socket],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._popen.stdout
        #: Whether it can run commands.
        self.is_loaded = self._popen.stdout.readline() == b"loaded\n"

    def run(self, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            TimeoutExpired: it has not ended after so many seconds; it runs on.
        """
        with (
            TemporaryFile() as out,
            TemporaryFile() as errors,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.settimeout(seconds)
            try:
                connection.connect(self._socket)
                request = [json.dumps(arguments).encode()]
                socket.send_fds(connection, request, [out.fileno(), errors.fileno()])
                code = int(connection.recv(20))
            except TimeoutError:
                raise subprocess.TimeoutExpired(list(arguments), seconds) from None
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(
                ["manage.py", *arguments], code, out.read().decode(), errors.read().decode()
            )

    def end(self) -> None:
        """End it."""
        self._popen.communicate()
        self._folder.cleanup()


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
    return "".join(line for line in lines if not line.startswith("timestamp="))


def wait_until(
    condition: Callable[[], bool], *, seconds: float, otherwise: Callable[[], str]
) -> None:
    """Return when `condition` holds; fail with the words of `otherwise` after so many seconds."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, otherwise()
        sleep(0.05)
