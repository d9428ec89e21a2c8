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

#: Loads the libraries once for many commands; and how many processes have loaded the project, too.
PREFORK = Path(__file__).resolve().parent / "seam/prefork.py"
MOST_PREFORKED = 2

#: What a process that has loaded the project depends on: the folder, when its code was changed
#: last, and the environment.
type State = tuple[Path, int, frozenset[tuple[str, str]]]

type Running = "subprocess.Popen[bytes] | Forked"

#: What a process needs of the shell; no setting of Tidy's leaks in from there.
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")


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
        environment = inherited()
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


class Forked:
    """A command in a fork of `Preforked`, to be handled as `subprocess.Popen` is."""

    def __init__(self, arguments: Sequence[str], connection: socket.socket) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._connection = connection
        self._told = b""
        self._lock = Lock()
        self.pid = int(self._next_line(None))

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended.

        Raises:
            TimeoutExpired: it has not ended after so many seconds; it runs on.
        """
        with self._lock:
            if self.returncode is None:
                self.returncode = int(self._next_line(timeout))
                self._connection.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _next_line(self, timeout: float | None) -> bytes:
        """Return what we are told next, within so many seconds."""
        self._connection.settimeout(timeout)
        while b"\n" not in self._told:
            try:
                part = self._connection.recv(100)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            assert part, "what it was forked from has ended"
            self._told += part
        line, self._told = self._told.split(b"\n", 1)
        return line


class Preforked:
    """Runs commands in forks of one process that has loaded the libraries, or the project, too.

    See `tests/seam/prefork.py`. The one with the libraries starts with the first command; those
    with the project, with the second command of the same code and environment, until others have
    been used more lately. All last until `end_all`.
    """

    _libraries: ClassVar["Preforked | None"] = None
    #: By state of the code and environment, the one that was used last at the end.
    _projects: ClassVar[dict[State, "Preforked"]] = {}
    _seen: ClassVar[set[State]] = set()
    _lock: ClassVar = Lock()

    @classmethod
    def with_libraries(cls) -> "Preforked":
        """Return the one that has loaded the libraries."""
        with cls._lock:
            cls._libraries = cls._libraries or cls(start_prefork)
            return cls._libraries

    @classmethod
    def of(cls, folder: Path, environment: Mapping[str, str]) -> "Preforked":
        """Return the one that has loaded the most of what commands here need."""
        libraries = cls.with_libraries()
        # Else `manage.py` itself sees to the environment.
        if "DJANGO_SECRET_KEY" not in environment or (folder / ".env").exists():
            return libraries
        state = state_of(folder, environment)
        with cls._lock:
            if state not in cls._seen:
                cls._seen.add(state)
                return libraries
            project = cls._projects.pop(state, None) or cls(
                lambda address, end, told: libraries.start(
                    (), folder, environment, (end, told, told), serves_at=address
                )
            )
            cls._projects[state] = project
            while len(cls._projects) > MOST_PREFORKED:
                cls._projects.pop(next(iter(cls._projects))).end()
        return project if project.is_loaded else libraries

    @classmethod
    def end_all(cls) -> None:
        """End them all; commands that still run are not ended."""
        with cls._lock:
            while cls._projects:
                cls._projects.popitem()[1].end()
            if cls._libraries:
                cls._libraries.end()
            cls._libraries = None

    def __init__(self, start: Callable[[str, int, int], Running]) -> None:
        self._folder = TemporaryDirectory(prefix="tidy-")
        self._socket = f"{self._folder.name}/socket"
        end, self._lifeline = os.pipe()
        told, telling = os.pipe()
        self._process = start(self._socket, end, telling)
        os.close(end)
        os.close(telling)
        with os.fdopen(told, encoding="utf-8", errors="replace") as lines:
            #: Whether it can run commands.
            self.is_loaded = lines.readline() == "loaded\n"

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        files: tuple[int, int, int],
        *,
        leads_group: bool = False,
        serves_at: str = "",
    ) -> "Forked":
        """Start a command.

        Args:
            arguments: of `manage.py`.
            folder: the copy of the project.
            environment: the whole of it.
            files: what it reads from, and writes output and errors to.
            leads_group: whether it leads a session, and so a process group, of its own.
            serves_at: the socket to serve at, with the project loaded, instead.
        """
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "leads_group": leads_group,
            "serves_at": serves_at,
        }
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._socket)
        socket.send_fds(connection, [json.dumps(request).encode()], files)
        return Forked(["manage.py", *arguments], connection)

    def end(self) -> None:
        """End it."""
        os.close(self._lifeline)
        self._process.wait(10)
        self._folder.cleanup()


def start_prefork(address: str, end: int, told: int) -> "subprocess.Popen[bytes]":
    """Start the process that loads the libraries.

    Args:
        address: the socket to serve at.
        end: the file descriptor that it ends with.
        told: the one to which it writes when it serves.
    """
    return subprocess.Popen(
        [sys.executable, str(PREFORK), address], env=inherited(), stdin=end, stdout=told
    )


def state_of(folder: Path, environment: Mapping[str, str]) -> State:
    """Return what a process that has loaded the project depends on."""
    last_change = max(file.stat().st_mtime_ns for file in folder.rglob("*.py"))
    return (folder, last_change, frozenset(environment.items()))


def run_to_its_end(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` in a copy of the project, with this environment and no other.

    Raises:
        TimeoutExpired: it has not ended after so many seconds; it runs on.
    """
    # What a command replaces itself by begins without the project.
    replaces_itself = arguments[0] == "rundramatiq"
    loaded = Preforked.with_libraries() if replaces_itself else Preforked.of(folder, environment)
    with TemporaryFile() as out, TemporaryFile() as errors, Path(os.devnull).open("rb") as nothing:
        files = (nothing.fileno(), out.fileno(), errors.fileno())
        command = loaded.start(arguments, folder, environment, files)
        code = command.wait(seconds)
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(
            command.args, code, out.read().decode(), errors.read().decode()
        )


def inherited() -> dict[str, str]:
    """Return the environment of a process that no test has settings for."""
    found = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**found, "PYTHONUNBUFFERED": "1"}


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
