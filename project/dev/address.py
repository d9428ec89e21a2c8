"""The address at which the development site listens."""

import os
import socket

from django.core.management.base import CommandError


def check_free(host: str, port: int) -> None:
    """Check that the site can listen here; raise CommandError if not."""
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port or -1))  # 0 would be any port.
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(
            f"The site cannot listen on {host}:{port} ({reason}): choose another port with "
            "`make run PORT=8001` or --port, another host with --host."
        ) from error


def site_at(host: str, port: int) -> str:
    """Return the address of a site that listens here, as people visit it."""
    # Browsers keep passkeys for names, not for numbers.
    visited = "localhost" if host in {"0.0.0.0", "127.0.0.1"} else host  # noqa: S104  (named, not bound)
    return f"http://{visited}:{port}"


def hand_on(site: str) -> None:
    """Have the programs that start from now on link to this address, if no setting names one."""
    if not (os.environ.get("SITE_URL") or os.environ.get("SITE_URL_FILE")):
        os.environ["SITE_URL"] = site


def is_open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
