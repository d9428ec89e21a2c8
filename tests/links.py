"""A TCP link to a server that can be cut in the ways in which networks and servers are away."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from time import sleep

CHUNK_BYTES = 65_536


class Link:
    """Passes on what clients and a server say.

    Attributes:
        port: where clients connect, on loopback.
    """

    def __init__(self, server: Path) -> None:
        """Listen for clients of the server whose Unix socket this is."""
        self._server = server
        self._flows = Event()
        self._flows.set()
        self._delay = 0.0
        self._accepted = 0
        self._abandoned = 0
        self._lock = Lock()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    def swallow(self) -> None:
        """Answer nothing from now on: connections seem to stand, and nothing arrives."""
        self._flows.clear()

    def abandon(self) -> None:
        """Swallow what is said on connections that stand; new ones work, as after a fail-over."""
        self._abandoned = self._accepted

    def slow_down(self, seconds: float) -> None:
        """Have all that is said arrive so much later, in either direction."""
        self._delay = seconds

    def refuse(self) -> None:
        """Cut all connections and refuse new ones, as where no server runs."""
        hang_up(self._listener)
        self._listener.close()
        self._cut()

    def restore(self) -> None:
        """Pass everything on again, also what was swallowed, as TCP would repeat it."""
        self._flows.set()
        self._delay = 0.0
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept()

    def close(self) -> None:
        """End all."""
        self._flows.set()
        self.refuse()

    def _cut(self) -> None:
        with self._lock:
            ends = list(self._ends)
        for each in ends:
            hang_up(each)

    def _accept(self) -> None:
        Thread(target=self._keep_accepting, args=[self._listener], daemon=True).start()

    def _keep_accepting(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._accepted += 1
                Thread(target=self._connect, args=[client, self._accepted], daemon=True).start()

    def _connect(self, client: socket.socket, number: int) -> None:
        server = socket.socket(socket.AF_UNIX)
        with self._lock:
            self._ends.update((client, server))
        try:
            self._flows.wait()
            server.connect(str(self._server))
            back = Thread(target=self._pump, args=[server, client, number], daemon=True)
            back.start()
            self._pump(client, server, number)
            back.join()
        except OSError:
            hang_up(client)
        finally:
            with self._lock:
                self._ends.difference_update((client, server))
            client.close()
            server.close()

    def _pump(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._flows.wait()
                sleep(self._delay)
                if number > self._abandoned:
                    sink.sendall(data)
        hang_up(sink)
        hang_up(source)


def hang_up(connection: socket.socket) -> None:
    """Have both sides see an end, and whoever reads or waits here stop."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def link_to(server: Path) -> Iterator[Link]:
    """Have a link to the server whose Unix socket this is, until the block ends."""
    link = Link(server)
    try:
        yield link
    finally:
        link.close()
