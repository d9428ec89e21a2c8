"""What a person's export says of their account."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import BooleanField, DateTimeField, Value
from django.db.models.fields.json import KT

from accounts.models import Preferences, Token, User


def account_of(user: User) -> dict[str, Any]:
    """Return who somebody is here, without their password and other secrets; in one query."""
    addresses, second_factors = _addresses_and_second_factors(user)
    return {
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "email_addresses": addresses,
        "second_factors": second_factors,
        "joined_at": user.date_joined,
        "last_login_at": user.last_login,
    }


def preferences_of(user: User) -> dict[str, Any]:
    """Return somebody's preferences, by the names of `User`'s fields."""
    return {name: getattr(user, name) for name in Preferences.__annotations__}


def sessions_of(user: User) -> list[dict[str, Any]]:
    """Return what is kept of where somebody has logged in: when, by what browser, from where."""
    sessions = UserSession.objects.filter(user=user).order_by("pk")
    return list(sessions.values("created_at", "last_seen_at", "ip", "user_agent"))


def tokens_of(user: User) -> list[dict[str, Any]]:
    """Return what somebody's tokens are called and what for, without what would let them in."""
    columns = ("name", "access", "prefix", "created_at", "expires_at", "last_used_at")
    return list(Token.objects.filter(user=user).order_by("pk").values(*columns))


type Rows = list[dict[str, Any]]


def _addresses_and_second_factors(user: User) -> tuple[Rows, Rows]:
    """Return somebody's addresses, and the kinds and names of their second factors."""
    columns = ("kind", "name", "is_verified", "is_primary", "since", "used_at", "pk")
    no, never = Value(False, BooleanField()), Value(None, DateTimeField())  # noqa: FBT003  (an SQL value has no name)
    addresses = EmailAddress.objects.filter(user=user).values_list(
        Value("address"), "email", "verified", "primary", never, never, "pk"
    )
    factors = Authenticator.objects.filter(user=user).values_list(
        "type", KT("data__name"), no, no, "created_at", "last_used_at", "pk"
    )
    found = [dict(zip(columns, row, strict=True)) for row in addresses.union(factors, all=True)]
    found.sort(key=lambda row: row["pk"])
    return [
        {"email": row["name"], "verified": row["is_verified"], "primary": row["is_primary"]}
        for row in found
        if row["kind"] == "address"
    ], [
        {
            "type": row["kind"],
            "name": row["name"] or "",
            "created_at": row["since"],
            "last_used_at": row["used_at"],
        }
        for row in found
        if row["kind"] != "address"
    ]
