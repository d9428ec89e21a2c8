"""Stands between Tidy and Valkey, and loses what it is told to lose."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread

#: What a worker's fetch has in it, as RESP writes an argument.
FETCH = b"$5\r\nfetch\r\n"


class LossyProxy:
    """A proxy of a server at a Unix socket.

    Attributes:
        address: what to connect to instead of the server.
        cuts: how often it has kept a reply and cut the connection.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        """Listen at `proxy.sock` in a folder, for the server at a socket."""
        self.address = f"unix://{folder}/proxy.sock"
        self.cuts = 0
        self._server = server
        self._lock = Lock()
        self._to_cut = 0
        self._ended = Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "proxy.sock"))
        self._listener.listen(64)
        self._listener.settimeout(0.1)
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut_fetches(self, number: int) -> None:
        """Keep the replies to so many fetches that bring something, and cut their connections."""
        with self._lock:
            self._to_cut += number

    def close(self) -> None:
        """End it, and every connection through it."""
        self._ended.set()
        self._thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server))
            except OSError:
                client.close()
                continue
            fetching = Event()
            for side in (self._carry_requests, self._carry_replies):
                Thread(target=side, args=(client, server, fetching), daemon=True).start()

    def _carry_requests(
        self, client: socket.socket, server: socket.socket, fetching: Event
    ) -> None:
        for data in self._received(client, server):
            if FETCH in data:
                fetching.set()
            else:
                fetching.clear()
            server.sendall(data)

    def _carry_replies(self, client: socket.socket, server: socket.socket, fetching: Event) -> None:
        for data in self._received(server, client):
            # An empty reply brings nothing that could be lost.
            if fetching.is_set() and data != b"*0\r\n" and self._takes_a_cut():
                return
            client.sendall(data)

    def _received(self, source: socket.socket, other: socket.socket) -> Iterator[bytes]:
        """Yield what comes from one side; when it ends, or the proxy does, end both."""
        source.settimeout(0.1)
        try:
            while not self._ended.is_set():
                try:
                    data = source.recv(65_536)
                except TimeoutError:
                    continue
                if not data:
                    return
                yield data
        except OSError:
            return
        finally:
            for side in (source, other):
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
                side.close()

    def _takes_a_cut(self) -> bool:
        with self._lock:
            if not self._to_cut:
                return False
            self._to_cut -= 1
            self.cuts += 1
            return True


@contextmanager
def lossy_proxy(folder: Path, server: Path) -> Iterator[LossyProxy]:
    """Run a proxy until the block ends."""
    proxy = LossyProxy(folder, server)
    try:
        yield proxy
    finally:
        proxy.close()
