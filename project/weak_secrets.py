"""Refuses secrets that can be guessed: a line that names the variable, and nothing of its value."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

from django.contrib.auth.password_validation import CommonPasswordValidator
from environs import ValidationError

from project.addresses import pieces_of

#: Django's own measure of a key, and how many different characters a random one has at least.
MIN_KEY_CHARACTERS = 50
MIN_DIFFERENT_IN_KEY = 10

#: How a key begins that `django-admin startproject` has written.
OF_A_NEW_PROJECT = "django-insecure"

#: Of a token that stands for a right: shorter ones can be guessed.
MIN_TOKEN_CHARACTERS = 16
MIN_DIFFERENT_IN_TOKEN = 6

MIN_PASSWORD_CHARACTERS = 12
MIN_DIFFERENT_IN_PASSWORD = 6

#: What everybody tries first, whatever digits and signs are around it, also several of them.
KNOWN_WORDS = re.compile(
    r"(?:abc|admin|administrator|change|changeit|changeme|database|default|django|example|guest|"
    r"hunter|letmein|master|me|my|pass|passwd|password|passwort|pg|postgres|postgresql|qwerty|"
    r"qwertyuiop|redis|root|secret|sql|test|the|tidy|user|valkey|welcome|your)*"
)
DIGITS_IN_ORDER = "01234567890123456789"
IN_ORDER = "0123456789abcdefghijklmnopqrstuvwxyz"

#: A shorter one stands in many a random secret, too.
MIN_COMMON_CHARACTERS = 5

#: What people write for letters.
LEET = str.maketrans("@4835$07+1!|", "aabessottiii")


def strong_key(value: str) -> None:
    """Raise ValidationError unless a key looks random."""
    if (
        len(once(value)) < MIN_KEY_CHARACTERS
        or len(set(value)) < MIN_DIFFERENT_IN_KEY
        or value.startswith(OF_A_NEW_PROJECT)
    ):
        raise ValidationError(f"must be random, and have at least {MIN_KEY_CHARACTERS} characters.")


def strong_token(value: str) -> None:
    """Raise ValidationError unless a token looks random and can stand in a header; none may do."""
    if value and (
        len(once(value)) < MIN_TOKEN_CHARACTERS
        or len(set(value)) < MIN_DIFFERENT_IN_TOKEN
        or value.lower() in IN_ORDER
    ):
        raise ValidationError(
            f"must be random, and have at least {MIN_TOKEN_CHARACTERS} characters."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValidationError("must consist of letters, digits and punctuation.")


def check_passwords(variable: str, *passwords: str) -> None:
    """Raise ValueError, naming the variable, if one can be guessed; an empty one is none."""
    if any(password and is_weak(password) for password in passwords):
        raise ValueError(
            f"{variable}: its password must be random, and have at least"
            f" {MIN_PASSWORD_CHARACTERS} characters."
        )


def once(value: str) -> str:
    """Return what a text repeats, if it is nothing but that, with signs between; else the text."""
    found = re.fullmatch(r"(.+?)(?:[\W_]*\1)+[\W_]*", value, re.DOTALL)
    return found[1] if found else value


@cache
def common_passwords() -> frozenset[str]:
    """Return the 20,000 that are used most, of Django's own list."""
    return frozenset(CommonPasswordValidator().passwords)


def is_common(password: str) -> bool:
    """Say whether it is one of them, with digits and signs around it or in the place of letters."""
    written = password.lower()
    for text in (written, written.translate(LEET)):
        word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)
        found = {text, word, once(text), once(word)} & common_passwords()
        if any(len(each) >= MIN_COMMON_CHARACTERS for each in found):
            return True
    return False


def is_weak(password: str) -> bool:
    letters = re.sub("[^a-z]", "", password.lower())
    digits = re.sub(r"\D", "", password)
    is_counted = not letters and (digits in DIGITS_IN_ORDER or digits in DIGITS_IN_ORDER[::-1])
    is_word = bool(letters and KNOWN_WORDS.fullmatch(letters))
    return (
        len(once(password)) < MIN_PASSWORD_CHARACTERS
        or len(set(password)) < MIN_DIFFERENT_IN_PASSWORD
        or is_counted
        or is_word
        or is_common(password)
    )


def passwords_of(database: Mapping[str, Any]) -> list[str]:
    """Return the passwords of an entry of Django's DATABASES: its own, and that of an option."""
    option = database.get("OPTIONS", {}).get("password", "")
    return [database.get("PASSWORD", ""), str(option)]


def passwords_in(address: str) -> list[str]:
    """Return the passwords in the address of a broker, its Sentinels' among them."""
    _, credentials, _, rest = pieces_of(address)
    options = parse_qs(rest.partition("?")[2])
    return [
        unquote(credentials.partition(":")[2]),
        *options.get("password", []),
        *options.get("sentinel_password", []),
    ]
