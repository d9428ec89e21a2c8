"""Finds who wants to log in, by user name or address."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.utils import filter_users_by_email
from django.http import HttpRequest

from accounts.models import User


class Backend(AuthenticationBackend):  # type: ignore[misc]  # It ships no types.
    """Checks one password hash for each person who may be meant.

    django-allauth checks that of somebody who gives an address twice, and one hash if nobody is
    meant: the time would tell whether there is an account.
    """

    def _authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # noqa: ARG002  (allauth's own signature)
        name = credentials.get("username") or credentials.get("email") or ""
        for person in people_called(name):
            if user := self._check_password(person, credentials["password"]):
                found: User = user
                return found
        return None


def people_called(name: str) -> list[User]:
    """Return who may be meant by what somebody typed to log in: a user name or an address.

    A name is found in other capitals too, unless two differ in them alone.
    """
    named = [
        user
        for user in User.objects.filter(username__iexact=name)
        if user.username.lower() == name.lower()
    ]
    if len(named) > 1:
        named = [user for user in named if user.username == name]
    addressed = filter_users_by_email(name, prefer_verified=True) if "@" in name else []
    return [*named, *(user for user in addressed if user not in named)]
