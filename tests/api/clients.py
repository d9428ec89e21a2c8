"""Programs that call the API, and what they are answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.test import Client

from accounts.models import Access, User
from tests.factories import new_token

BASE = "/api/v1"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    """What the API has answered.

    Attributes:
        cookies: the names of those that it sets.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    cookies: tuple[str, ...]

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The reason of a problem, for programs."""
        return str(self.json["code"])

    @property
    def etag(self) -> str:
        return self.headers["ETag"]

    @property
    def lasting_headers(self) -> dict[str, str]:
        """The headers, but for those that are others each time."""
        mine = {"Expires", "X-Request-ID"}
        return {name: value for name, value in self.headers.items() if name not in mine}

    @property
    def fields(self) -> set[tuple[str, str]]:
        """The places and names of what a problem names."""
        return {(error["place"], error["field"]) for error in self.json["errors"]}


class Program:
    """A program that calls the API.

    Attributes:
        secret: of the token that it sends; empty if it sends none.
        client: carries its requests, and its cookies.
    """

    def __init__(self, secret: str = "", client: Client | None = None) -> None:
        self.secret = secret
        self.client = client or Client()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request, with JSON in its body unless `body` is bytes.

        Args:
            method: of HTTP.
            path: below `/api/v1`.
            body: what to send; nothing if None.
            headers: further ones; `If_Match` is the header If-Match.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.secret:
            named.setdefault("Authorization", f"Bearer {self.secret}")
        content_type = named.pop("Content-Type", "application/json")
        response = self.client.generic(
            method, BASE + path, b"" if body is None else data, content_type, headers=named
        )
        if self.secret:
            assert not response.cookies, "a token needs none"
        content = b"".join(response) if response.streaming else response.content
        return Answer(
            response.status_code, response.headers, content, tuple(response.cookies.keys())
        )

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.ask("DELETE", path, **headers)


def program_of(user: User, access: Access = Access.WRITE) -> Program:
    """Return a program with a token of a person's."""
    return Program(new_token(user, access))


def ids_of(answer: Answer) -> list[int]:
    """Return the ids of the todos on a page."""
    assert answer.status == 200, answer.content
    return [item["id"] for item in answer.json["items"]]


def assert_problem(answer: Answer, status: int, code: str = "") -> None:
    """Check that an answer is an error as all of the API's are."""
    assert answer.status == status, answer.content
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json
    assert body["status"] == status
    assert {"type", "title", "code", "detail"} <= body.keys()
    assert body["detail"]
    assert code in {"", body["code"]}
