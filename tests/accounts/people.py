"""How people sign up, log in and prove who they are, in a browser without a window."""

import re
from html import unescape
from typing import Any

from django.test import Client

PASSWORD = "c0rrect horse"

LINK = re.compile(r"https?://\S+")


def log_in(client: Client, name: str = "ann", password: str = PASSWORD, **more: Any) -> Any:
    """Send the log-in form."""
    return client.post("/accounts/login/", {"login": name, "password": password}, **more)


def sign_up(
    client: Client, name: str, email: str = "", password: str = PASSWORD, **more: str
) -> Any:
    """Send the sign-up form."""
    form = {"username": name, "email": email, "password1": password, **more}
    return client.post("/accounts/signup/", form)


def confirm_password(client: Client, password: str = PASSWORD) -> None:
    """Give the password once more, as pages ask that change how one logs in."""
    answer = client.post("/accounts/reauthenticate/", {"password": password})
    assert answer.status_code == 302, words(answer)


def words(page: Any) -> str:
    """Return the text of a page, with no tags, and one space where there are more."""
    text = re.sub(r"<(script|title)\b.*?</\1>|<[^>]*>", " ", page.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(text).split())


def link_in(mail: Any) -> str:
    """Return the first link of a mail."""
    found = LINK.search(mail.body)
    assert found, mail.body
    return found[0]


def path_in(mail: Any) -> str:
    """Return the path of the first link of a mail."""
    return "/" + link_in(mail).split("/", 3)[3]
