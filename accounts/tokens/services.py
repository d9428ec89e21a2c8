"""The verbs of tokens.

A secret is `tidy_`, eight characters by which its row is found, and 32 that nobody can guess.
"""

import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, get_random_string
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import UserService
from accounts.tokens.models import Access, Token

#: Tokens that a person may have: more than anybody can tell apart.
MAX_TOKENS = 50

#: The last use is noted once in so long, so that not each request writes.
NOTED_EVERY = timedelta(minutes=5)

SECRET = re.compile(r"tidy_([0-9A-Za-z]{8})_[0-9A-Za-z]{32}", re.ASCII)


class TokenNotFound(Exception):  # noqa: N818  (named like Django's own ObjectDoesNotExist)
    """The person has no such token."""


class NewToken(NamedTuple):
    """A token that was just made, with its secret, which is kept nowhere."""

    token: Token
    secret: str


class TokenService:
    """The verbs of tokens."""

    @staticmethod
    def create(
        *, user: User, name: str, access: Access, expires_at: datetime | None = None
    ) -> NewToken:
        """Make a token.

        Args:
            user: whose.
            name: what they call it.
            access: what it is for.
            expires_at: until when it works; for ever if None.

        Raises:
            ValidationError: names each field that is wrong, and why; or says that they have a token
                of this name, or MAX_TOKENS.
        """
        prefix = get_random_string(8)
        secret = f"tidy_{prefix}_{get_random_string(32)}"
        token = Token(
            user=user,
            name=" ".join(name.split()),
            access=access,
            prefix=prefix,
            digest=_digest(secret),
            expires_at=expires_at,
        )
        token.clean_fields(exclude={"user", "expires_at", "last_used_at"})
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError({"expires_at": _("Choose a day in the future.")})
        with transaction.atomic():
            UserService.lock(user=user)  # Of two at once, one is there before the other.
            TokenService.check_name(user=user, name=token.name)
            if Token.objects.filter(user=user).count() >= MAX_TOKENS:
                raise ValidationError(
                    _("You have %(count)d tokens. Revoke one first.") % {"count": MAX_TOKENS}
                )
            token.save(force_insert=True)
        return NewToken(token, secret)

    @staticmethod
    def check_name(*, user: User, name: str) -> None:
        """Check that a name tells a new token from the person's others, such as one just made.

        Raises:
            ValidationError: they have a token of this name.
        """
        if Token.objects.filter(user=user, name=name).exists():
            raise ValidationError(
                _("You have a token of this name. If you did not copy it, revoke it first.")
            )

    @staticmethod
    def find(*, secret: str) -> Token | None:
        """Return the live token with this secret, and its user, in one query; None if none is.

        Text that is no secret costs no query.
        """
        found = SECRET.fullmatch(secret)
        if found is None:
            return None
        try:
            token = Token.objects.live().select_related("user").get(prefix=found[1])
        except Token.DoesNotExist:
            return None
        return token if constant_time_compare(token.digest, _digest(secret)) else None

    @staticmethod
    def note_use(*, token: Token) -> None:
        """Note that a token is used now, unless that was noted a short while ago."""
        now = timezone.now()
        if token.last_used_at is None or token.last_used_at < now - NOTED_EVERY:
            Token.objects.filter(pk=token.pk).update(last_used_at=now)

    @staticmethod
    def revoke(*, user: User, token_id: int) -> None:
        """Delete a token: it works no more.

        Raises:
            TokenNotFound: it is somebody else's, or has been revoked.
        """
        if not Token.objects.filter(user=user, pk=token_id).delete()[0]:
            raise TokenNotFound


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
