"""The page on the API says all that its document says, to whoever reads it."""

import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.api.errors import Refusal
from accounts.models import Access, User
from accounts.tokens.services import TokenService
from project.api.codes import all_codes
from project.api.document import FILE
from project.api.reference import Reference
from project.api.views import reference_html
from tests.factories import new_todos, trash
from todos import services

PAGE = "/api/v1/docs"

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))

OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}

#: What a schema may say that the page has words for, or that is no limit.
SAID = {
    *("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "pattern"),
    *(
        "default",
        "enum",
        "format",
        "type",
        "anyOf",
        "items",
        "$ref",
        "title",
        "description",
        "const",
    ),
}


def text_of(piece: str) -> str:
    """Return what a reader sees of some HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", piece)).split())


def articles(page: str) -> dict[str, str]:
    """Return the part of each operation, by its name."""
    found = re.findall(r'<article[^>]* aria-labelledby="(\w+)">(.*?)</article>', page, re.DOTALL)
    return dict(found)


def limits(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a schema says, and what is inside of it."""
    for name, value in schema.items():
        yield name, value
        for inner in value if name == "anyOf" else [value] if name == "items" else []:
            yield from limits(inner)


def test_anonymous_reads_it_in_a_page_of_the_site(client: Client, db: None) -> None:
    assert reverse("api:docs") == PAGE
    answer = client.get(PAGE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = answer.content.decode()
    assert 'lang="en"' in page
    assert 'href="/api/v1/openapi.json"' in page
    assert 'href="/accounts/login/"' in page


def test_german_reader_is_told_that_this_part_is_in_english(client: Client, db: None) -> None:
    page = client.get(PAGE, headers={"accept-language": "de"}).content.decode()
    assert '<html lang="de"' in page
    assert '<div class="reference" lang="en">' in page


def test_it_is_made_once_and_asks_no_database(
    client: Client, db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        client.get(PAGE)
        client.get(PAGE)
    assert reference_html.cache_info().misses <= 1


def test_every_operation_is_on_it_with_all_that_the_document_says(client: Client) -> None:
    page = client.get(PAGE).content.decode()
    found = articles(page)
    assert found.keys() == OPERATIONS.keys()
    for name, (method, path, operation) in OPERATIONS.items():
        text = text_of(found[name])
        assert f"{method} {path}" in text
        said = [operation["summary"], operation.get("description", "")]
        said += [given["name"] for given in operation["parameters"]]
        said += [given.get("description", "") for given in operation["parameters"]]
        for words in said:
            assert words.replace("`", "").split() == [] or flat(words) in flat(text), words
        for status in operation["responses"]:
            assert re.search(rf"\b{status}\b", text), (name, status)
        assert f'href="#{name}"' in page.partition("</nav>")[2]


def flat(text: str) -> str:
    """Return a text without what differs between Markdown and HTML."""
    return re.sub(r"[\s`]+", "", text)


def test_every_limit_of_what_is_sent_is_on_it(client: Client) -> None:
    found = articles(client.get(PAGE).content.decode())
    for name, (_, _, operation) in OPERATIONS.items():
        text = text_of(found[name])
        content = operation.get("requestBody", {}).get("content", {})
        bodies = [given["schema"]["$ref"].rpartition("/")[2] for given in content.values()]
        fields = [
            *((given["name"], given["schema"]) for given in operation["parameters"]),
            *(
                field
                for body in bodies
                for field in DOCUMENT["components"]["schemas"][body]["properties"].items()
            ),
        ]
        for field, schema in fields:
            assert field in text
            for keyword, value in limits(schema):
                assert keyword in SAID, keyword
                if keyword.startswith(("min", "max", "pattern")):
                    assert str(value) in text, (name, field, value)


def test_every_form_and_status_that_it_leads_to_is_there_once(client: Client) -> None:
    page = client.get(PAGE).content.decode()
    anchors = re.findall(r' id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert {*re.findall(r'href="#([^"]+)"', page)} <= {*anchors}
    for response in DOCUMENT["components"]["responses"].values():
        assert flat(response["description"]) in flat(text_of(page))


def test_every_example_is_a_request_that_its_operation_takes(
    client: Client, alice: User, settings: Settings
) -> None:
    made = TokenService.create(user=alice, name="examples", access=Access.WRITE)
    found = articles(client.get(PAGE).content.decode())
    # The last one: from then on, the token is none.
    for name in sorted(OPERATIONS, key=lambda name: name == "revokeToken"):
        method, path, operation = OPERATIONS[name]
        (example,) = re.findall(r"<code>(curl .*?)</code></pre>", found[name], re.DOTALL)
        words = shlex.split(html.unescape(example).replace("\\\n", " "))
        given = dict(zip(words[1:-1:2], words[2::2], strict=False))
        assert words[-1].startswith(settings.SITE_URL + path.partition("{")[0])
        assert given.get("--request", "POST" if "--data" in given else "GET") == method
        answer = client.generic(
            method,
            words[-1].removeprefix(settings.SITE_URL),
            given.get("--data", ""),
            "application/json" if "Content-Type: application/json" in words else "",
            headers={"authorization": f"Bearer {made.secret}"},
        )
        assert str(answer.status_code) in operation["responses"]
        # There is no todo 42.
        assert answer.status_code in ({404} if "{" in path else {200, 201, 204}), (name, answer)


def test_texts_of_the_document_are_escaped() -> None:
    document = json.loads(FILE.read_text(encoding="utf-8").replace("Add a todo", "<script>1"))
    document["info"]["description"] = "`<b>` & <i>"
    reference = Reference(document, "https://tidy.example")
    page = render_to_string("api/reference.html", {"reference": reference})
    assert "<p><code>&lt;b&gt;</code> &amp; &lt;i&gt;</p>" in page
    assert page.count("&lt;script&gt;1") == 2
    assert "<script" not in page
    assert "style=" not in page


def test_every_code_is_told_with_the_status_that_it_comes_with(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {(status, code) for status, code, _ in all_codes()}
    assert {code for _, code in told} >= set(Refusal.values)
    page = client.get(PAGE).content.decode()
    for status, code in told:
        (part,) = re.findall(rf'<div id="status-{status}">(.*?)</div>', page, re.DOTALL)
        assert f"<code>{code}</code>" in part

    seen = set(refused_in_every_way(client, alice, monkeypatch))
    assert seen <= told
    assert {code for _, code in seen} >= set(Refusal.values)
    assert told - seen <= {
        (400, "bad-request"),
        (409, "conflict"),
        (500, "internal-server-error"),
        (503, "service-unavailable"),
    }


def refused_in_every_way(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, str]]:
    """Yield the status and the code of each answer to requests that are wrong in various ways."""
    writes, reads = (
        f"Bearer {TokenService.create(user=person, name=access, access=access).secret}"
        for access in (Access.WRITE, Access.READ)
    )
    (todo,) = new_todos(person)
    (gone,) = trash(person, "Gone")

    def ask(method: str, path: str, body: str = "", by: str = writes, **headers: str) -> Any:
        kind = "application/json" if body else ""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["authorization"] = by
        return client.generic(method, f"/api/v1{path}", body, kind, headers=named)

    def refusal(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    add = '{"title": "Buy milk"}'
    made = ask("POST", "/todos", add, idempotency_key="once").json()["id"]
    yield refusal(ask("POST", "/todos", '{"title": "Tea"}', idempotency_key="once"))
    ask("DELETE", f"/todos/{made}")
    yield refusal(ask("POST", "/todos", add, idempotency_key="once"))
    yield refusal(ask("GET", "/me", by="Bearer tidy_none"))
    yield refusal(ask("POST", "/todos", add, by=reads))
    yield refusal(ask("GET", f"/todos/{gone}"))
    yield refusal(ask("PUT", "/todos", add))
    yield refusal(ask("GET", "/me", "[]"))
    yield refusal(ask("POST", "/todos", "{"))
    yield refusal(ask("POST", "/todos", '{"title": ""}'))
    yield refusal(ask("POST", "/todos"))
    yield refusal(ask("POST", "/todos", json.dumps({"title": "x" * 200_000})))
    yield refusal(ask("POST", "/todos", add, transfer_encoding="chunked"))
    yield refusal(ask("GET", "/todos?cursor=none"))
    yield refusal(ask("GET", "/todos?colour=red"))
    yield refusal(ask("DELETE", f"/todos/{todo.pk}", if_match='"0123456789abcdef"'))
    yield refusal(ask("DELETE", f"/todos/{todo.pk}", if_match="0123456789abcdef"))
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person)
    yield refusal(browser.generic("POST", "/api/v1/todos/clear-completed", "", ""))
    with monkeypatch.context() as patch:
        patch.setattr(services, "MAX_TODOS", 1)
        yield refusal(ask("POST", "/todos", add))
    with override_settings(SECURE_SSL_REDIRECT=True):
        yield refusal(ask("POST", "/todos", add))
    with monkeypatch.context() as patch:
        patch.setattr("accounts.api.callers.REQUESTS_A_MINUTE", 0)
        yield refusal(ask("GET", "/me"))
