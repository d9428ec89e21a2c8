"""Mail by SMTP: Django's own, but for what it says of a server without STARTTLS."""

from smtplib import SMTPNotSupportedError
from typing import override

from django.core.mail.backends import smtp

NO_STARTTLS = (
    "the mail server offers no STARTTLS: let EMAIL_URL begin with smtps:// (TLS from the beginning)"
    " or with smtp+plain:// (no encryption)"
)


class EmailBackend(smtp.EmailBackend):
    """Says which EMAIL_URL suits a server without STARTTLS."""

    @override
    def open(self) -> bool | None:
        try:
            return super().open()
        except SMTPNotSupportedError as error:
            self.close()  # Django leaves the connection half open.
            if "STARTTLS" in str(error):
                raise SMTPNotSupportedError(NO_STARTTLS) from None
            raise
