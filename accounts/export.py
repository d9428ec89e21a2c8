"""What a person's export says of their account."""

from typing import Any

from allauth.account.models import EmailAddress

from accounts.models import Preferences, User


def account_of(user: User) -> dict[str, Any]:
    """Return who somebody is here, without their password and other secrets."""
    addresses = EmailAddress.objects.filter(user=user).order_by("pk")
    return {
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "email_addresses": list(addresses.values("email", "verified", "primary")),
        "joined_at": user.date_joined,
        "last_login_at": user.last_login,
    }


def preferences_of(user: User) -> dict[str, Any]:
    """Return somebody's preferences, by the names of `User`'s fields."""
    return {name: getattr(user, name) for name in Preferences.__annotations__}
