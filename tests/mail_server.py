"""A mail server on a port of this machine, which refuses, stalls and hangs up as tests want."""

import asyncio
import email
import email.policy
import logging
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from threading import Event, Thread
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

# Its account of every step.
logging.getLogger("mail.log").setLevel(logging.WARNING)

OK = "250 OK"
HANG_UP = "hang up"


class MailServer:
    """What the server has got, and how it is to behave from now on.

    Attributes:
        port: where it listens.
        mails: those that it has accepted, in order.
        connections: how many there were.
        greeting: the answer to MAIL FROM; other than OK for a server that takes nothing.
        refused: the answers to RCPT TO, by addresses; "*" for all others.
        answers: the answers to mails, by addresses; HANG_UP for none.
        hangs_up_after: after so many mails on one connection, it hangs up.
        stalled: set while it has got a mail and does not answer.
        go_on: cleared to let it stall when it has got a mail.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.connections = 0
        self.greeting = OK
        self.refused: Mapping[str, str] = {}
        self.answers: Mapping[str, str] = {}
        self.hangs_up_after: int | None = None
        self.stalled = Event()
        self.go_on = Event()
        self.go_on.set()
        self._taken: dict[int, int] = {}

    @property
    def url(self) -> str:
        """Its address, as EMAIL_URL takes it."""
        return f"smtp+plain://127.0.0.1:{self.port}"

    @property
    def mailers(self) -> dict[str, Any]:
        """Its address, as Django's MAILERS takes it."""
        options = {"host": "127.0.0.1", "port": self.port, "timeout": 10}
        backend = "django.core.mail.backends.smtp.EmailBackend"
        return {"default": {"BACKEND": backend, "OPTIONS": options}}

    def per_person(self) -> Counter[str]:
        """How many mails each person has got."""
        return Counter(mail["To"] for mail in self.mails)

    # What aiosmtpd calls, and its names.

    async def handle_EHLO(  # noqa: N802
        self,
        _server: SMTP,
        session: Session,
        _envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self.connections += 1
        self._taken[id(session)] = 0
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        if self._taken[id(session)] == self.hangs_up_after:
            return "421 Too many mails on one connection"
        if self.greeting == OK:
            envelope.mail_from = address
        return self.greeting

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        answer = self.refused.get(address, self.refused.get("*", OK))
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        answer = self.answers.get(envelope.rcpt_tos[0], OK)
        if answer == HANG_UP:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        elif answer == OK:
            assert isinstance(envelope.content, bytes)
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append(mail)
            self._taken[id(session)] += 1
        while not self.go_on.is_set():
            self.stalled.set()
            await asyncio.sleep(0.02)
        return answer


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mail_server(port: int | None = None) -> Iterator[MailServer]:
    """Run a mail server until the block ends."""
    server = MailServer(port or free_port())
    loop = asyncio.new_event_loop()
    clients: list[SMTP] = []

    def answer_one() -> SMTP:
        clients.append(SMTP(server, loop=loop))
        return clients[-1]

    listening = loop.run_until_complete(loop.create_server(answer_one, "127.0.0.1", server.port))
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        asyncio.run_coroutine_threadsafe(close(listening, clients), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def close(listening: asyncio.Server, clients: list[SMTP]) -> None:
    """Stop to listen, and hang up."""
    listening.close()
    for client in clients:
        if isinstance(client.transport, asyncio.Transport):
            client.transport.abort()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
