"""A proxy before Valkey that loses replies, as a network does that breaks at the wrong moment."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread

#: How Dramatiq's script is told to fetch: an argument of its own.
FETCH = b"\r\n$5\r\nfetch\r\n"

#: Bytes read at once.
CHUNK_BYTES = 65_536


class Proxy:
    """Passes on what clients and a server on Unix sockets say, but for the replies it is to lose.

    Attributes:
        address: where clients connect, a `unix://` URL.
        lost: fetches whose reply was lost so far. The server has carried them out.
    """

    def __init__(self, socket_path: Path, server: Path) -> None:
        """Listen at `socket_path` for clients of the server whose socket is `server`."""
        self.address = f"unix://{socket_path}"
        self.lost = 0
        self._path = socket_path
        self._server = server
        self._to_lose = 0
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen(128)
        Thread(target=self._accept, daemon=True).start()

    def cut_next_fetch_reply(self, times: int = 1) -> None:
        """Cut the connection instead of passing on the next replies that carry fetched messages.

        Empty replies pass: losing them loses nothing.
        """
        with self._lock:
            self._to_lose += times

    def cut_all(self) -> None:
        """Cut all connections that are open now; new ones are accepted."""
        with self._lock:
            cut = list(self._open)
        for each in cut:
            hang_up(each)

    def close(self) -> None:
        """Cut all connections and accept no more."""
        hang_up(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self.cut_all()

    def _accept(self) -> None:
        # Hanging up on the listener ends this.
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(str(self._server))
                except OSError:  # It is away: so are we, then.
                    client.close()
                    server.close()
                    continue
                Connection(self, client, server).start()

    def keep(self, *sockets: socket.socket) -> None:
        """Count these among those that `cut_all` cuts."""
        with self._lock:
            self._open.update(sockets)

    def drop(self, *sockets: socket.socket) -> None:
        """Close these."""
        with self._lock:
            self._open.difference_update(sockets)
        for each in sockets:
            each.close()

    def loses(self, reply: bytes) -> bool:
        """Say whether this reply to a fetch is to be lost, and count it if so."""
        if not reply.startswith(b"*") or reply.startswith(b"*0\r\n"):
            return False
        with self._lock:
            if self._to_lose == 0:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True


class Connection:
    """One client's connection, and ours to the server for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        """Belong to a proxy."""
        self._proxy = proxy
        self._client = client
        self._server = server
        # A client sends its next command when it has the reply to the last, so the bytes that the
        # server sends after a fetch are the reply to it.
        self._is_fetching = False

    def start(self) -> None:
        """Pass on both ways, in threads of their own, until either side hangs up."""
        self._proxy.keep(self._client, self._server)
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        replies = Thread(target=self._pass_replies, daemon=True)
        replies.start()
        with suppress(OSError):
            seen = b""
            while data := self._client.recv(CHUNK_BYTES):
                # The word may be split between two reads; what is kept is too short to hold it.
                seen = seen[1 - len(FETCH) :] + data
                if FETCH in seen:
                    self._is_fetching = True
                self._server.sendall(data)
        hang_up(self._server)
        hang_up(self._client)
        replies.join()
        self._proxy.drop(self._client, self._server)

    def _pass_replies(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(CHUNK_BYTES):
                if self._is_fetching:
                    self._is_fetching = False
                    if self._proxy.loses(data):
                        break
                self._client.sendall(data)
        hang_up(self._client)
        hang_up(self._server)


def hang_up(connection: socket.socket) -> None:
    """Have both sides see an end, and whoever reads or waits here stop."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(folder: Path, server: Path) -> Iterator[Proxy]:
    """Run a proxy in `folder`, before the server whose socket is `server`, until the block ends."""
    running = Proxy(folder / "proxy.sock", server)
    try:
        yield running
    finally:
        running.close()
