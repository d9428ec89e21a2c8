"""One HTTP request to a checked address: in time, without redirects and proxies."""

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from time import monotonic
from typing import override

from tasks.engine.alerts.deadline import within
from tasks.engine.alerts.targets import PrivateTarget, Target, parse_target, resolve

#: For everything: the name, the connection, the request and the head of the answer.
EXCHANGE_SECONDS = 20.0

#: For each address of the host, and for each wait after that.
WAIT_SECONDS = 8.0


class NotDelivered(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """It did not arrive; the text says why, and never names an address or quotes an answer."""


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    private_targets: bool,
) -> None:
    """Send a request; it was accepted, with a status from 200 to 299, when this returns.

    The body of the answer is not read.

    Raises:
        NotDelivered: it was not, or that is not known.
    """
    try:
        connection = PinnedConnection(parse_target(url), private_targets=private_targets)
    except ValueError as error:
        raise NotDelivered(f"its address {error}") from None

    def exchange() -> int:
        connection.request(method, connection.target.path, body, dict(headers))
        return connection.getresponse().status

    try:
        status = within(EXCHANGE_SECONDS, exchange)
    except (OSError, HTTPException, PrivateTarget, ValueError) as error:
        raise NotDelivered(in_words(error)) from None
    finally:
        connection.cut()
    if not HTTPStatus(200) <= status < HTTPStatus(300):
        redirect = HTTPStatus(300) <= status < HTTPStatus(400)
        raise NotDelivered(f"HTTP {status}{', and redirects are not followed' if redirect else ''}")


def in_words(error: Exception) -> str:
    if isinstance(error, PrivateTarget):
        return "its host has an address in a private network"
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid for it"
    if isinstance(error, TimeoutError):
        return "timed out"
    return type(error).__name__


class PinnedConnection(HTTPConnection):
    """A connection to an address that was checked, and to no other that the name may lead to."""

    def __init__(self, target: Target, *, private_targets: bool) -> None:
        super().__init__(target.host, target.port, timeout=WAIT_SECONDS)
        self.target = target
        self.default_port = 443 if target.scheme == "https" else 80
        self._private_targets = private_targets
        self._ends = monotonic() + EXCHANGE_SECONDS

    @override
    def connect(self) -> None:
        addresses = resolve(self.target, private_too=self._private_targets)
        self.sock = self._connect_to_one_of(addresses)
        if self.target.scheme == "https":
            # The certificate is checked for the name, not for the address.
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(
                self.sock, server_hostname=self.target.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def _connect_to_one_of(self, addresses: list[str]) -> socket.socket:
        failure: OSError = TimeoutError()
        for address in addresses:
            seconds = min(WAIT_SECONDS, self._ends - monotonic())
            if seconds <= 0:  # Nobody waits for it any more.
                raise TimeoutError
            try:
                return socket.create_connection((address, self.target.port), seconds)
            except OSError as error:
                failure = error
        raise failure

    def cut(self) -> None:
        """Close it, also under a thread that still reads what comes drop by drop."""
        if self.sock:
            with suppress(OSError):
                # Not the SSLSocket's own method, which is for the thread that uses it.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.close()
