"""Hands mails to the mail server, and says what became of each."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from smtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from traceback import extract_tb

from django.core import mail
from django.core.mail.backends import smtp
from django.core.mail.backends.base import BaseEmailBackend

#: How long to wait for each answer of the mail server, once it is connected. Whoever gives up early
#: does not know whether a mail was accepted, and sends it twice: RFC 5321 asks for minutes.
ANSWER_SECONDS = 300.0

#: SMTP: from here on, an answer holds for good. With the other code, the server hangs up.
PERMANENT = 500
HANGS_UP = 421


class Unmailable(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """The address is none that mail can be sent to."""


class Unsendable(Exception):  # noqa: N818
    """Something unexpected is wrong with this mail; the text says what, and where in the code."""

    def __init__(self, error: Exception) -> None:
        # Never the error's text, which may hold a title.
        place = extract_tb(error.__traceback__)[-1]
        super().__init__(f"{type(error).__name__} in {place.filename}:{place.lineno}")


class RefusedForGood(Exception):  # noqa: N818
    """The server will not take this mail."""


class RefusedForNow(Exception):  # noqa: N818
    """The server does not take this mail now, and may later."""


class ServerAway(Exception):  # noqa: N818
    """The mail server cannot be reached, or has hung up.

    Attributes:
        in_doubt: whether the mail in hand may have been accepted.
    """

    def __init__(self, error: Exception, *, in_doubt: bool) -> None:
        # Never the error's text, which may hold an address.
        super().__init__(type(error).__name__)
        self.in_doubt = in_doubt


@contextmanager
def connection() -> Iterator[BaseEmailBackend]:
    """Connect to the mail server of the settings until the block ends.

    Raises:
        ServerAway: it cannot be reached, or refuses us.
    """
    backend = mail.mailers.default
    try:
        backend.open()
        if isinstance(backend, smtp.EmailBackend) and backend.connection:
            backend.connection.sock.settimeout(ANSWER_SECONDS)  # type: ignore[union-attr]
    except (SMTPException, OSError) as error:
        raise ServerAway(error, in_doubt=False) from None
    try:
        yield backend
    finally:
        with suppress(SMTPException, OSError):
            backend.close()


def hand_over(backend: BaseEmailBackend, message: mail.EmailMessage) -> None:
    """Send a mail to its one address; the server has accepted it when this returns.

    Raises:
        Unmailable, Unsendable, RefusedForGood, RefusedForNow, ServerAway: it has not; see there.
    """
    try:
        backend.send_messages([message])
    except ValueError:  # As it stands, the address or a header is none.
        raise Unmailable from None
    except SMTPRecipientsRefused as error:
        code = max(code for code, _ in error.recipients.values())
        raise refusal(code, error) from None
    except SMTPDataError as error:
        forget_mail(backend)
        raise refusal(error.smtp_code, error) from None
    except SMTPResponseException as error:  # Not about the mail: about us.
        raise ServerAway(error, in_doubt=False) from None
    except (SMTPException, OSError) as error:
        raise ServerAway(error, in_doubt=True) from None
    except Exception as error:  # noqa: BLE001  (see Unsendable)
        forget_mail(backend)
        raise Unsendable(error) from None


def refusal(code: int, error: Exception) -> Exception:
    """Return what an answer of the server about one mail means."""
    if code == HANGS_UP:
        return ServerAway(error, in_doubt=False)
    return RefusedForGood() if code >= PERMANENT else RefusedForNow()


def forget_mail(backend: BaseEmailBackend) -> None:
    """Have the server forget a mail that it has refused halfway, so that it takes the next one."""
    if isinstance(backend, smtp.EmailBackend) and backend.connection:
        with suppress(SMTPException, OSError):  # If it has hung up, the next mail will notice.
            backend.connection.rset()
