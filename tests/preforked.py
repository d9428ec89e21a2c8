"""Commands of `manage.py` in forks of a process that has loaded what they need."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Lock
from typing import ClassVar

#: Loads the libraries once for many commands; and how many processes have loaded the project, too.
PREFORK = Path(__file__).resolve().parent / "seam/prefork.py"
MOST_PREFORKED = 2

#: What a process that has loaded the project depends on: the folder, when its code was changed
#: last, and the environment.
type State = tuple[Path, int, frozenset[tuple[str, str]]]

type Running = "subprocess.Popen[bytes] | Forked"

#: What a process needs of the shell; no setting of Tidy's leaks in from there.
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")


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
