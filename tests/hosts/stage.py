"""What is where: each process and each server on a host of its own."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, override

import psycopg
import redis

from project.databases import POSTGRESQL_OPTIONS
from tests.chaos.stage import (
    CLOCKS_OFF_SECONDS,
    LIVENESS_SECONDS,
    SCHEDULER,
    SITECUSTOMIZE,
    SLICE_SECONDS,
    WORKER,
    Stage,
)
from tests.checkout import copy_project
from tests.failover import (
    PostgreSQL,
    Sentinel,
    Valkey,
    address_of_databases,
    address_of_sentinels,
)
from tests.hosts.network import Network, network
from tests.hosts.switch import Link
from tests.keys import SECRET_KEY
from tests.processes import Tidy, wait_until
from tests.seam.injection import Value

#: The hosts of each kind. What a broker is, a client only learns from its Sentinels.
KINDS = {
    "web": ("web0", "web1"),
    "workers": ("worker0", "worker1"),
    "schedulers": ("scheduler0", "scheduler1"),
    "database": ("database0", "database1"),
    "broker": ("broker0", "broker1", "sentinel0", "sentinel1", "sentinel2"),
}
HOSTS = tuple(host for hosts in KINDS.values() for host in hosts)

WEB_PORT, DATABASE_PORT, BROKER_PORT, SENTINEL_PORT = 8000, 5432, 6379, 26379

#: How long (seconds) a client waits for a server that went silent: libpq's tcp_user_timeout, and
#: its connect_timeout for that host. Only then does it find the one that took over.
CLIENT_WAITS_SECONDS = (
    POSTGRESQL_OPTIONS["tcp_user_timeout"] / 1000 + POSTGRESQL_OPTIONS["connect_timeout"]
)

#: How long (seconds) servers may take to find each other.
STARTING_SECONDS = 60


@dataclass(kw_only=True)
class Hosts(Stage):
    """All hosts.

    Attributes:
        databases: the primary and its standby.
        brokers: the primary and its replica.
        afterwards: what is to be done when everything has recovered from a fault.
        measured: what was measured of a fault, in words.
    """

    grace_seconds: ClassVar[float] = Stage.grace_seconds + CLIENT_WAITS_SECONDS

    network: Network
    databases: list[PostgreSQL]
    brokers: list[Valkey]
    sentinels: list[Sentinel]
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    @override
    def connect(self) -> psycopg.Connection:
        """Connect to the primary that it is now, past what finds it."""
        conninfo = self.databases[0].conninfo(options="-c lock_timeout=1000")
        return psycopg.connect(conninfo, autocommit=True, tcp_user_timeout=5000)

    @override
    def broker(self) -> "redis.Redis":
        return self.brokers[0].client()

    def silence(self, host: str) -> None:
        """Have nothing come from a host any more, or get there."""
        self.network.connect([host], ["", *HOSTS], Link(loss=1))
        self.network.connect(["", *HOSTS], [host], Link(loss=1))

    def promote(self) -> None:
        """Make the standby the primary."""
        self.databases.reverse()
        self.databases[0].promote()
        self.databases[0].configure(
            synchronous_standby_names="", default_transaction_read_only="off"
        )

    def rejoin(self) -> None:
        """Make a standby of what was the primary, from a fresh copy."""
        primary, standby = self.databases
        standby.kill()
        standby.follow(primary)
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Return when the standby has all that the primary has committed so far."""
        with self.connect() as database:
            wait_until(
                lambda: (
                    database.execute(
                        "SELECT FROM pg_stat_replication WHERE state = 'streaming'"
                        " AND replay_lsn >= pg_current_wal_lsn() - 100000"
                    ).rowcount
                    == 1
                ),
                seconds=STARTING_SECONDS,
                otherwise=lambda: "the standby does not follow",
            )

    def sentinels_agree_on(self, server: Valkey) -> bool:
        """Whether all Sentinels hold this server for the primary."""
        try:
            return all(sentinel.takes_for_primary(server) for sentinel in self.sentinels)
        except redis.RedisError:
            return False

    def follow_sentinels(self) -> None:
        """Take for the broker's primary what the Sentinels do: a slow network makes them change."""
        wait_until(
            lambda: any(self.sentinels_agree_on(server) for server in self.brokers),
            seconds=STARTING_SECONDS,
            otherwise=lambda: "the Sentinels do not agree",
        )
        if self.sentinels_agree_on(self.brokers[1]):
            self.brokers.reverse()
        self.wait_for_replica()

    def wait_for_replica(self) -> None:
        """Return when what was the broker's primary follows the new one."""
        wait_until(
            self.replica_follows,
            seconds=STARTING_SECONDS,
            otherwise=lambda: "the former primary is no replica",
        )

    def replica_follows(self) -> bool:
        """Whether the replica has its primary's data, and the Sentinels know all that there are."""
        try:
            return self.brokers[1].is_replica_in_sync() and all(
                sentinel.knows(sentinels=2, replicas=1) for sentinel in self.sentinels
            )
        except redis.RedisError:
            return False


@contextmanager
def staged(folder: Path, seed: int) -> Iterator[Hosts]:
    """Put everything on its host; whatever happens, nothing runs when the block has ended."""
    folder.chmod(0o755)  # For the system user of the databases.
    (folder / "clocks").mkdir()
    (folder / "clocks/sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    with network(HOSTS, seed) as between:
        stage = everything(folder, seed, between)
        try:
            start_servers(stage)
            yield stage
        finally:
            between.mend()
            stage.clear()
            for server in (*stage.databases, *stage.brokers, *stage.sentinels):
                server.kill()


def everything(folder: Path, seed: int, between: Network) -> Hosts:
    """Return a stage on which nothing runs yet."""

    def at(name: str) -> tuple[Path, str]:
        return folder / name, between.hosts[name].address

    databases = [
        PostgreSQL(*at(name), DATABASE_PORT, between.hosts[name].prefix)
        for name in KINDS["database"]
    ]
    brokers = [
        Valkey(*at(name), BROKER_PORT, between.hosts[name].prefix) for name in KINDS["broker"][:2]
    ]
    sentinels = [
        Sentinel(*at(name), SENTINEL_PORT, between.hosts[name].prefix)
        for name in KINDS["broker"][2:]
    ]
    settings = {
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": ",".join(between.hosts[name].address for name in KINDS["web"]),
        "DJANGO_HTTPS": "false",
        "DATABASE_URL": address_of_databases(*databases),
        "REDIS_URL": address_of_sentinels(*sentinels),
        "TASKS_LIVENESS_SECONDS": str(LIVENESS_SECONDS),
        # So that a sweep lasts long enough to be hit, in many slices.
        "TODO_SWEEP_PAUSE": "2",
        "PYTHONPATH": str(folder / "clocks"),
    }
    tidy = Tidy(copy_project(folder / "tidy"), settings)
    tidy.inject(Value("tasks.engine.runs.execution:SLICE_SECONDS", SLICE_SECONDS))
    return Hosts(
        folder,
        tidy,
        random.Random(seed),  # noqa: S311  (no secret)
        random.Random(seed),  # noqa: S311  (no secret)
        network=between,
        databases=databases,
        brokers=brokers,
        sentinels=sentinels,
    )


def start_servers(stage: Hosts) -> None:
    """Start the servers, and have them find each other."""
    primary, standby = stage.databases
    primary.create()
    primary.start()
    standby.follow(primary)
    stage.brokers[0].start()
    stage.brokers[1].start(stage.brokers[0])
    for sentinel in stage.sentinels:
        sentinel.start(stage.brokers[0])
    stage.wait_for_replica()


def start_processes(stage: Hosts) -> None:
    """Keep Tidy's own processes running, on hosts whose clocks are ten minutes apart."""
    for kind, arguments in (("worker", WORKER), ("scheduler", SCHEDULER), ("web", ())):
        for index, offset in zip(range(2), CLOCKS_OFF_SECONDS, strict=False):
            name = f"{kind}{index}"
            host = stage.network.hosts[name]
            command = arguments or gunicorn(host.address)
            stage.add(name, command, clock_offset=offset, prefix=host.prefix)


def gunicorn(address: str) -> tuple[str, ...]:
    return (
        *("-m", "gunicorn", "project.wsgi", "--bind", f"{address}:{WEB_PORT}"),
        *("--workers", "1", "--threads", "4", "--no-control-socket"),
        *("--worker-tmp-dir", "/dev/shm"),  # noqa: S108  (as the image has it)
    )
