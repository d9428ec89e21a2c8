"""Finds who wants to log in, by user name or address."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.http import HttpRequest

from accounts.models import User
from accounts.services import UserService


class Backend(AuthenticationBackend):  # type: ignore[misc]  # It ships no types.
    """Hashes one password at each attempt, whoever is meant, and if nobody is.

    django-allauth hashes one for each account that has an address, confirmed or not: the time would
    tell whether there is an account, and with many of them it would be long.
    """

    def _authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # noqa: ARG002  (allauth's own signature)
        person = person_meant(credentials)
        found: User | None = self._check_password(person, credentials["password"])
        return found


def person_meant(credentials: dict[str, Any]) -> User | None:
    """Return who may log in with these: the `person` in them, or whose name or address it is."""
    if "person" in credentials:
        person: User | None = credentials["person"]
        return person
    return person_called(credentials.get("username") or credentials.get("email") or "")


def attempts_key(person: User) -> str:
    """Return what the failed attempts at a person are counted by, however they were named."""
    return f"id {person.pk}"


def person_called(name: str) -> User | None:
    """Return who is meant by what somebody typed to log in: an address or a user name.

    The owner of an address comes before somebody who has chosen it as a user name. A name is found
    in other capitals too, unless two differ in them alone.
    """
    if "@" in name and (owner := UserService.owner_of(address=name)):
        return owner
    found = User.objects.get_queryset().called(name)
    named = [user for user in found if user.username.lower() == name.lower()]
    if len(named) > 1:
        named = [user for user in named if user.username == name]
    return named[0] if named else None
