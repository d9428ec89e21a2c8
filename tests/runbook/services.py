"""Runs units as systemd does: the part of it that Tidy's units need, for a host in a folder.

Sockets are held here and handed on, services are started, told to stop and killed as their units
say. Left out: users, and what shields a service (`systemd-analyze` looks at that).
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.runbook.units import Unit, read_unit

#: Hands sockets on: the files from the third on, and whom they are for.
HAND_ON = """
import os, sys
sockets = [os.dup(int(number)) for number in sys.argv[1].split(",")]
for number, one in enumerate(sockets, start=3):
    os.dup2(one, number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""

#: The longest that a service may take to say that it is ready.
READY_SECONDS = 60.0


class Failed(Exception):  # noqa: N818  (systemd's own word)
    """A unit could not be started, or has ended badly."""


@dataclass
class Service:
    """A service that runs."""

    unit: Unit
    popen: "subprocess.Popen[bytes]"


@dataclass
class Services:
    """What runs on a host.

    Attributes:
        root: the folder that stands for `/`.
        environment: of every service.
        logs: the folder for what services write.
        ours: other services of the host: how each is started, and stopped.
        badly_ended: what had to be killed, or ended with another code than 0.
    """

    root: Path
    environment: Mapping[str, str]
    logs: Path
    ours: dict[str, tuple[Callable[[], None], Callable[[], None]]] = field(default_factory=dict)
    running: dict[str, Service] = field(default_factory=dict)
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    badly_ended: list[str] = field(default_factory=list)

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    def start(self, name: str) -> None:
        """Start a unit and what it wants, and return when it is ready.

        Raises:
            Failed: it cannot be started.
            FileNotFoundError: there is no such unit.
        """
        if name in self.ours:
            self.ours[name][0]()
            return
        name = name if "." in name else f"{name}.service"
        if name in self.running or name in self.sockets:
            return
        unit = read_unit(self.units, name)
        for wanted in unit.words("Requires") + unit.words("Wants"):
            self.start(wanted)
        if name.endswith(".socket"):
            self.sockets[name] = listen(unit)
        elif name.endswith(".service"):
            self._start_service(unit)

    def stop(self, name: str) -> None:
        """Stop a unit and its parts, and return when that is done."""
        if name in self.ours:
            self.ours[name][1]()
            return
        name = name if "." in name else f"{name}.service"
        if name.endswith(".target"):
            parts = [
                other
                for other in [*self.running, *self.sockets]
                if name in read_unit(self.units, other).words("PartOf")
            ]
            with ThreadPoolExecutor() as pool:  # At once, as systemd does.
                list(pool.map(self.stop, parts))
        if name in self.sockets:
            self.sockets.pop(name).close()
        if name in self.running:
            self._stop_service(self.running.pop(name))

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)

    def stop_all(self) -> None:
        for name in [*self.running, *self.sockets]:
            self.stop(name)

    def ended(self) -> list[str]:
        """Return the services that should run and do not."""
        return [name for name, service in self.running.items() if service.popen.poll() is not None]

    def log_of(self, name: str) -> str:
        file = self.logs / f"{name}.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _start_service(self, unit: Unit) -> None:
        for folder in unit.words("RuntimeDirectory"):
            (self.root / "run" / folder).mkdir(parents=True, exist_ok=True)
        for command in unit.commands("ExecStartPre"):
            self._run(unit, command)
        if unit.one("Type") == "oneshot":
            for command in unit.commands("ExecStart"):
                self._run(unit, command)
            return
        (command,) = unit.commands("ExecStart")
        passed = [self.sockets[name].fileno() for name in unit.words("Sockets")]
        if passed:
            numbers = ",".join(map(str, passed))
            command = [sys.executable, "-c", HAND_ON, numbers, *command]
        with tempfile.TemporaryDirectory() as folder, ReadySocket(Path(folder)) as ready:
            notified = {"NOTIFY_SOCKET": str(ready.path)} if unit.one("Type") == "notify" else {}
            with (self.logs / f"{unit.name}.log").open("ab") as log:
                popen = subprocess.Popen(
                    command,
                    cwd=unit.one("WorkingDirectory", "/"),
                    env={**self._environment(unit), **notified},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=passed,
                    start_new_session=True,
                )
            self.running[unit.name] = Service(unit, popen)
            if notified and not ready.wait(popen):
                raise Failed(f"{unit.name} did not get ready:\n{self.log_of(unit.name)}")

    def _run(self, unit: Unit, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=unit.one("WorkingDirectory", "/"),
            env=self._environment(unit),
            capture_output=True,
            text=True,
            timeout=unit.seconds("TimeoutStartSec"),
            check=False,
        )
        if done.returncode:
            raise Failed(f"{unit.name}: {command} ended with {done.returncode}:\n{done.stderr}")

    def _environment(self, unit: Unit) -> dict[str, str]:
        # Who a service is to the database, which on a real host knows the system's users.
        return {**self.environment, "PGUSER": unit.one("User"), **unit.environment()}

    def _stop_service(self, service: Service) -> None:
        unit, popen = service.unit, service.popen
        stop_signal = signal.Signals[unit.one("KillSignal", "SIGTERM")]
        with suppress(ProcessLookupError):
            if unit.one("KillMode", "control-group") == "mixed":
                popen.send_signal(stop_signal)
            else:
                os.killpg(popen.pid, stop_signal)
        try:
            code = popen.wait(unit.seconds("TimeoutStopSec"))
            if code:
                self.badly_ended.append(f"{unit.name} ended with {code}")
        except subprocess.TimeoutExpired:
            self.badly_ended.append(f"{unit.name} did not end in time")
        # What is left of the unit is killed.
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
            self.badly_ended.append(f"{unit.name} left processes behind")
        popen.wait(10)
        for folder in unit.words("RuntimeDirectory"):
            for file in (self.root / "run" / folder).iterdir():
                file.unlink()


class ReadySocket:
    """Where a service of type notify says that it is ready."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(0.1)

    def __enter__(self) -> "ReadySocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait(self, popen: "subprocess.Popen[bytes]") -> bool:
        """Return whether it has said so, before its end and in time."""
        deadline = monotonic() + READY_SECONDS
        while monotonic() < deadline and popen.poll() is None:
            with suppress(TimeoutError):
                if b"READY=1" in self._socket.recv(4096):
                    return True
        return False


def listen(unit: Unit) -> socket.socket:
    """Open the address of a socket unit."""
    host, _, port = unit.one("ListenStream").rpartition(":")
    return socket.create_server((host, int(port)), backlog=int(unit.one("Backlog")))
