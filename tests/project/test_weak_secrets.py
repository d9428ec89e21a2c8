"""Secrets that can be guessed are refused, and no random one is."""

from secrets import token_urlsafe

import pytest
from environs import ValidationError

from project.weak_secrets import check_passwords, passwords_in, strong_key, strong_token


@pytest.mark.parametrize(
    "password",
    [
        *("iloveyou12345", "passw0rd1234", "P@ssw0rdP@ssw0rd", "monkey123456", "qwertz123456"),
        *("Kf7-ahKf7-ahKf7-ah", "!!dragon-2026!!"),
    ],
)
def test_password_that_many_people_have_is_refused_whatever_is_around_it(password: str) -> None:
    with pytest.raises(ValueError, match=r"^REDIS_PASSWORD: its password must be random"):
        check_passwords("REDIS_PASSWORD", password)


@pytest.mark.parametrize("key", ["0123456789" * 6, "password123-" * 6])
def test_key_that_repeats_itself_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="must be random"):
        strong_key(key)


@pytest.mark.parametrize("token", ["0123456789abcdef", "token-token-token-token"])
def test_token_in_order_or_that_repeats_itself_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="must be random"):
        strong_token(token)


def test_no_random_secret_is_refused() -> None:
    for _ in range(2_000):
        secret = token_urlsafe(12)
        check_passwords("REDIS_PASSWORD", secret)
        strong_token(secret)
        strong_key(token_urlsafe(40))


def test_passwords_of_servers_and_sentinels_are_found_wherever_they_stand() -> None:
    """Also beside an IPv6 address behind a comma, which newer Pythons refuse to split."""
    address = "redis+sentinel://tidy:o%40e@one,two:26380,[::1]/tidy/0?sentinel_password=t%40o"
    assert passwords_in(address) == ["o@e", "t@o"]
