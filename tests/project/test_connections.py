"""What holds of every connection to PostgreSQL, over TCP: how long it waits, and for whom."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic

import psycopg
import pytest
from django.db.backends.postgresql.base import DatabaseWrapper

from project.databases import database_from

pytestmark = pytest.mark.postgresql


@contextmanager
def over_tcp(host: Path) -> Iterator[int]:
    """Pass TCP connections on to the server's Unix socket; yield the port."""
    pumps: list[Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65_536):
                    sink.sendall(data)
            source.close()
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(str(host / ".s.PGSQL.5432"))
                    for ends in ((client, server), (server, client)):
                        pumps.append(Thread(target=pump, args=ends, daemon=True))
                        pumps[-1].start()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for each in (thread, *pumps):
            each.join()


def connected(address: str) -> psycopg.Connection:
    """Connect as Django does, with what the settings make of an address."""
    wrapper = DatabaseWrapper({"TIME_ZONE": None, "PORT": "", **database_from(address)})
    return psycopg.connect(**wrapper.get_connection_params(), autocommit=True)


def shown(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute(f"SHOW {name}".encode()).fetchone()
    assert row
    return str(row[0])


def test_connection_notices_that_its_server_is_gone(postgresql: Path) -> None:
    with (
        over_tcp(postgresql) as port,
        connected(f"postgresql://postgres@127.0.0.1:{port}/postgres") as connection,
        socket.socket(fileno=socket.dup(connection.fileno())) as wire,
    ):

        def option(name: int) -> int:
            return wire.getsockopt(socket.IPPROTO_TCP, name)

        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert option(socket.TCP_KEEPIDLE) == 10
        assert option(socket.TCP_KEEPINTVL) == 5
        assert option(socket.TCP_KEEPCNT) == 3
        assert option(socket.TCP_USER_TIMEOUT) == 20_000
        assert shown(connection, "lock_timeout") == "10s"


def test_address_has_the_last_word(postgresql: Path) -> None:
    address = (
        "postgresql://postgres@127.0.0.1:{}/postgres?tcp_user_timeout=7000&connect_timeout=2"
        "&options=-c%20lock_timeout%3D3s%20-c%20jit%3Doff"
    )
    with (
        over_tcp(postgresql) as port,
        connected(address.format(port)) as connection,
        socket.socket(fileno=socket.dup(connection.fileno())) as wire,
    ):
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000
        assert (shown(connection, "lock_timeout"), shown(connection, "jit")) == ("3s", "off")


def test_other_options_in_the_address_leave_the_lock_time_out(postgresql: Path) -> None:
    address = f"postgresql://postgres@/postgres?host={postgresql}&options=-c%20jit%3Doff"
    with connected(address) as connection:
        assert (shown(connection, "lock_timeout"), shown(connection, "jit")) == ("10s", "off")


def test_statement_ends_when_its_server_takes_nothing_any_more(postgresql: Path) -> None:
    """The kernel's own wait would be some 15 minutes; Python's time limits do not reach it."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = frozen.getsockname()[1]

        def log_in_and_freeze() -> None:
            client, _ = frozen.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.recv(65_536)
            client.sendall(LOGGED_IN)
            held.append(client)  # Open, and never read again.

        held: list[socket.socket] = []
        Thread(target=log_in_and_freeze, daemon=True).start()
        address = f"postgresql://tidy@127.0.0.1:{port}/tidy?sslmode=disable&tcp_user_timeout=1000"
        with connected(address) as connection:
            started = monotonic()
            with pytest.raises(psycopg.OperationalError):
                connection.execute(b"SELECT '%b'" % (b"x" * 32_000_000))
            assert monotonic() - started < 120
        held[0].close()


#: AuthenticationOk, two parameters that psycopg reads, ReadyForQuery.
LOGGED_IN = (
    b"R\0\0\0\x08\0\0\0\0"
    b"S\0\0\0\x19client_encoding\0UTF8\0"
    b"S\0\0\0\x18server_version\x0018.0\0"
    b"Z\0\0\0\x05I"
)
