"""How a message is delivered: by mail, by webhook, or as a check-in at the dead man's switch."""

import base64
import hashlib
import hmac
import json
from smtplib import (
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from time import time
from typing import Protocol
from urllib.parse import urlsplit

from django.core.mail import EmailMessage, mailers

from tasks.engine.alerts import exchange
from tasks.engine.alerts.deadline import within
from tasks.engine.alerts.exchange import NotDelivered
from tasks.engine.alerts.outbox import CHECK_IN
from tasks.engine.alerts.settings import AlertSettings
from tasks.engine.alerts.state import Message
from tasks.engine.alerts.writing import body, payload, site_name, subject

#: For all of a mail's exchange with the mail server.
MAIL_SECONDS = 60.0

USER_AGENT = "alerts"


class Channel(Protocol):
    """A way to deliver messages.

    Attributes:
        name: of all processes with the same settings the same; it holds no address.
        target: the address, for who has it from the settings.
    """

    name: str
    target: str

    def deliver(self, message: Message) -> None:
        """Deliver a message; it has arrived when this returns.

        Raises:
            NotDelivered: it has not, or that is not known.
        """


class Mail:
    """To one address, so that one which is refused takes no other with it."""

    def __init__(self, settings: AlertSettings, address: str) -> None:
        self.name = f"mail:{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self.target = address
        self._settings = settings

    def deliver(self, message: Message) -> None:
        mail = EmailMessage(
            subject=subject(message, self._settings),
            body=body(message, self._settings),
            to=[self.target],
            headers=self._headers(message),
        )
        try:
            within(MAIL_SECONDS, lambda: mailers.default.send_messages([mail]))
        except SMTPRecipientsRefused as error:
            code = max(code for code, _ in error.recipients.values())
            raise NotDelivered(f"SMTP {code} for the address") from None
        except SMTPResponseException as error:
            raise NotDelivered(f"SMTP {error.smtp_code}") from None
        except SMTPNotSupportedError as error:
            # What the server lacks: words of smtplib, or of the site's mailer, which quote nobody.
            raise NotDelivered(str(error).rstrip(".")) from None
        except (SMTPException, OSError, ValueError) as error:
            raise NotDelivered(exchange.in_words(error)) from None

    def _headers(self, message: Message) -> dict[str, str]:
        site = site_name(self._settings)
        first = f"<{message.episode}@alerts.{site}>"
        headers = {
            "Message-ID": f"<{message.id}@alerts.{site}>",
            "Auto-Submitted": "auto-generated",
        }
        # So that mail programs show an episode as one conversation.
        return headers if message.id == message.episode else {**headers, "References": first}


class Webhook:
    """A signed POST, as https://www.standardwebhooks.com describes it."""

    name = "webhook"

    def __init__(self, settings: AlertSettings) -> None:
        self.target = urlsplit(settings.webhook_url).hostname or ""
        self._settings = settings

    def deliver(self, message: Message) -> None:
        content = json.dumps(payload(message, self._settings)).encode()
        sent_at = str(int(time()))
        exchange.send(
            "POST",
            self._settings.webhook_url,
            headers={
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
                "Webhook-Id": message.id,
                "Webhook-Timestamp": sent_at,
                "Webhook-Signature": self._sign(message.id, sent_at, content),
            },
            body=content,
            private_targets=self._settings.private_targets,
        )

    def _sign(self, message_id: str, sent_at: str, content: bytes) -> str:
        signed = f"{message_id}.{sent_at}.".encode() + content
        key = self._settings.webhook_secret.encode()
        return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class CheckIn:
    """A GET that says that all is well; the other end tells people when it does not come."""

    name = CHECK_IN

    def __init__(self, settings: AlertSettings) -> None:
        self.target = urlsplit(settings.check_in_url).hostname or ""
        self._settings = settings

    def deliver(self, message: Message) -> None:  # noqa: ARG002  (its address says it all)
        exchange.send(
            "GET",
            self._settings.check_in_url,
            headers={"User-Agent": USER_AGENT},
            private_targets=self._settings.private_targets,
        )


def channels_of(settings: AlertSettings) -> list[Channel]:
    """Return the channels that the settings name."""
    channels: list[Channel] = [Mail(settings, address) for address in settings.emails]
    if settings.webhook_url:
        channels.append(Webhook(settings))
    if settings.check_in_url:
        channels.append(CheckIn(settings))
    return channels
