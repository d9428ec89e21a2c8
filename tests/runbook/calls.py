"""Answers the stand-ins that a host's shells call."""

import socketserver
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from tests.runbook.services import Failed, Services


class Calls:
    """Listens at an address for calls of `systemctl`, until the block ends."""

    def __init__(self, address: Path, services: Services, here: Callable[[str], str]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words = self.rfile.readline().decode().split()
                try:
                    systemctl(services, words, here)
                except (Failed, FileNotFoundError, OSError) as error:
                    self.wfile.write(f"1 {error}".encode())
                else:
                    self.wfile.write(b"0")

        self._server = socketserver.UnixStreamServer(str(address), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Calls":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def systemctl(services: Services, words: list[str], here: Callable[[str], str]) -> None:
    """Do what `systemctl` is asked to.

    Raises:
        Failed: a unit cannot be started.
        FileNotFoundError: there is no such unit.
    """
    verb, *names = words
    if verb == "daemon-reload":
        for file in services.units.iterdir():
            file.write_text(here(file.read_text(encoding="utf-8")), encoding="utf-8")
        return
    act = {
        "start": services.start,
        "stop": services.stop,
        "restart": services.restart,
        "enable": services.start,
    }[verb]
    for name in names:
        if name != "--now":
            act(name)
