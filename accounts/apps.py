"""The app of users: their preferences, and how they log in."""

from allauth.usersessions.apps import UserSessionsConfig
from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default = True

    def ready(self) -> None:
        """Have log-ins logged, and their sessions remembered."""
        from accounts.pages import receivers  # noqa: F401, PLC0415  (models are loaded by now)


class SessionDetailsConfig(UserSessionsConfig):  # type: ignore[misc]  # It ships no types.
    """The app of what is known of sessions, without its receivers.

    At each log-in, they would load all sessions of a person one by one. Ours do not.
    """

    default = False

    def ready(self) -> None:
        """Connect nothing."""
