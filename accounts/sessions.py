"""Sessions in the database, each with the user who is logged in by it.

Django's own table holds the user in encoded data only: to end the sessions of a deleted user, all
sessions would have to be decoded.
"""

from typing import Any, ClassVar, cast

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare

#: Sessions of one person that are looked at; more than a person has.
MAX_SESSIONS = 200


class SessionManager(BaseSessionManager["Session"]):
    """Django's own manager, with our query vocabulary."""

    use_in_migrations = False

    def live(self, user: AbstractBaseUser) -> list["Session"]:
        """Return the sessions in which somebody is logged in, those that expire last first.

        Where the password has changed since, they are not.
        """
        found = self.filter(user_id=user.pk, expire_date__gt=timezone.now())
        stamp = user.get_session_auth_hash()
        return [
            session
            for session in found.order_by("-expire_date")[:MAX_SESSIONS]
            if constant_time_compare(session.get_decoded().get(HASH_SESSION_KEY, ""), stamp)
        ]


class Session(AbstractBaseSession):
    """A session, which is deleted with its user."""

    objects: ClassVar[SessionManager] = SessionManager()

    # Without a constraint in the database: if the account were deleted during a login, Django would
    # try that again and again, as it takes the error for a session key in use.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="+",
        help_text="Empty if nobody is logged in.",
    )

    class Meta(AbstractBaseSession.Meta):
        # There is no page for sessions.
        default_permissions = ()

    @classmethod
    def get_session_store_class(cls) -> type["SessionStore"]:
        return SessionStore


class SessionStore(db.SessionStore):
    """Django's own store on our table. `SESSION_ENGINE` names this module."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """Return the row of a session, with its user."""
        row = cast("Session", super().create_model_instance(data))
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        return row
