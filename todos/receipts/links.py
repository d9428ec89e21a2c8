"""The addresses in a receipt, which work from any mail program."""

from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import User
from todos.receipts.models import Receipt

#: A token says whose receipts end, and nothing else. It does not expire, as mails are kept: whoever
#: has one can do nothing with it but end receipts, which their owner switches on again. A new
#: secret key ends all tokens, unless the old one stays in SECRET_KEY_FALLBACKS.
_tokens = signing.Signer(salt="todos.receipts.unsubscribe")


def trash_link(run_id: int | None) -> str:
    """Return where todos can be brought back: one cleanup's, or all that are in the trash."""
    query = "" if run_id is None else f"?{urlencode({'run': run_id})}"
    return f"{absolute('trash')}{query}"


def unsubscribe_link(user: User) -> str:
    """Return where a person ends their receipts without logging in."""
    return absolute("unsubscribe", _tokens.sign(str(user.pk)))


def user_id_in(token: str) -> int:
    """Return whose receipts a token ends.

    Raises:
        BadSignature: nobody's; it was not made here.
    """
    return int(_tokens.unsign(token))


def message_id(receipt: Receipt) -> str:
    """Return what marks each copy of a receipt as the same mail, should it be sent twice."""
    stamp = f"{receipt.until.timestamp():.0f}"
    return f"<receipt.{receipt.pk}.{stamp}@{urlsplit(settings.SITE_URL).hostname}>"


def absolute(page: str, *arguments: str) -> str:
    """Return the whole address of a page for people."""
    return f"{settings.SITE_URL}{reverse(f'todos:{page}', args=arguments)}"
