"""Nobody reads or changes what is somebody else's: on any page, by any form or address.

Alice's pages are read as her browser does, from one link to the next, and the addresses of the site
are walked. Then Bob asks for each of them and sends each of her forms: a page that is added later
is in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model, QuerySet
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern

from accounts.models import Session, User
from tests.factories import new_run, new_todo, new_todos, trash
from tests.forms import Form, crawl, read

type Pattern = RegexPattern | RoutePattern | LocalePrefixPattern

#: What only Alice may read.
SECRET = "Alice's secret"

#: Where Alice's browser begins.
STARTS = ("/", "/trash/", "/preferences/")

#: Ends the visit; and the admin, which others test.
LEFT_OUT = ("/accounts/logout/", "/admin/", "/static/")

#: Written by each visit.
VISITS = (Session._meta.label, "usersessions.UserSession", "accounts.User")


@dataclass
class Alice:
    """Alice, with todos, trash, and a browser.

    Attributes:
        ids: of all that is hers.
    """

    user: User
    client: Client
    ids: list[int] = field(default_factory=list)


@pytest.fixture
def her(db: None) -> Alice:
    alice = User.objects.create_user("alice", "alice@example.org", "pass word 1")
    run = new_run()
    todos = [
        new_todo(alice, title=SECRET, description=SECRET, completed_at=None),
        *new_todos(alice, each=3, title=SECRET),
    ]
    swept = trash(alice, SECRET, SECRET, run_id=run.pk)
    deleted = trash(alice, SECRET)
    client = Client()
    client.force_login(alice)
    return Alice(alice, client, [*(todo.pk for todo in todos), *swept, *deleted, run.pk, alice.pk])


@pytest.fixture
def bobs_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("bob"))
    return client


def rows_of(user: User) -> dict[str, list[dict[str, Any]]]:
    """Return all rows that belong to a user, by their model."""
    rows: dict[str, list[dict[str, Any]]] = {User._meta.label: values(User, pk=user.pk)}
    for model in apps.get_models():
        for one in model._meta.concrete_fields:
            if one.related_model is User:
                rows[f"{model._meta.label}.{one.name}"] = values(model, **{one.name: user.pk})
    return rows


def values(model: type[Model], **condition: Any) -> list[dict[str, Any]]:
    return list(QuerySet(model).filter(**condition).order_by("pk").values())


def without_visits(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Leave out what looking at a page may write."""
    return {name: rows[name] for name in rows if not name.startswith(VISITS)}


def patterns(
    resolver: URLResolver, before: tuple[Pattern, ...] = ()
) -> Iterator[tuple[Pattern, ...]]:
    """Yield the parts of each address of people's pages."""
    for pattern in resolver.url_patterns:
        parts = (*before, pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield parts
        elif not str(pattern.pattern).startswith("admin/"):
            yield from patterns(pattern, parts)


def addresses(ids: list[int]) -> Iterator[str]:
    """Yield each address of people's pages, with each id that its number may be."""
    for parts in patterns(get_resolver()):
        route = "/" + "".join(str(part).replace("^", "").replace("$", "") for part in parts)
        # What differs, in Django's own form or in that of a regular expression.
        filled = (re.sub(r"<(?:\w+:)?\w+>|\(\?P<\w+>[^)]*\)", str(pk), route) for pk in ids)
        yield from dict.fromkeys(filled)


def forms_of(client: Client) -> list[Form]:
    return [form for _, page in crawl(client, *STARTS, skip=LEFT_OUT) for form in page.forms]


def test_addresses_with_a_number_are_walked_with_hers(her: Alice) -> None:
    walked = list(addresses(her.ids))
    assert f"/todos/{her.ids[0]}/edit/" in walked
    assert not any(mark in address for address in walked for mark in "<>(")


def test_alices_pages_have_forms_for_all_of_her_todos(her: Alice) -> None:
    forms = [form for form in forms_of(her.client) if form.method == "post"]
    assert len({form.action for form in forms}) > 10
    found = str([(form.action, form.fields) for form in forms])
    assert all(str(pk) in found for pk in her.ids[:-1])


def test_another_person_reads_none_of_it(her: Alice, bobs_client: Client) -> None:
    links = {address for address, _ in crawl(her.client, *STARTS, skip=LEFT_OUT)}
    assert len(links) > 10
    for address in {*links, *addresses(her.ids)}:
        response = bobs_client.get(address)
        assert response.status_code < 500, address
        body = b"".join(response) if response.streaming else response.content
        assert SECRET.encode() not in body, address
        assert b"alice@" not in body, address


def test_another_person_changes_none_of_it(her: Alice, bobs_client: Client) -> None:
    forms = [form for form in forms_of(her.client) if form.method == "post"]
    before = rows_of(her.user)
    tampered = {
        **dict.fromkeys(("id", "ids", "todo", "todos", "run", "user"), her.ids),
        "title": "Bob's",
        "next": "/",
    }
    for form in forms:
        fields = {**tampered, **form.fields, "title": "Bob's"}
        assert bobs_client.post(form.action, fields).status_code < 500, form
    for address in addresses(her.ids):
        if not address.startswith(LEFT_OUT):
            assert bobs_client.post(address, tampered).status_code < 500, address
    assert rows_of(her.user) == before


def test_looking_at_a_page_changes_nothing(her: Alice) -> None:
    list(crawl(her.client, *STARTS, skip=LEFT_OUT))  # What is said once, is said now.
    before = rows_of(her.user)
    for address in {*(link for link, _ in crawl(her.client, *STARTS)), *addresses(her.ids)}:
        her.client.get(address)
        assert without_visits(rows_of(her.user)) == without_visits(before), address
    assert rows_of(her.user)[User._meta.label] == before[User._meta.label]


def test_a_form_from_another_site_changes_nothing(her: Alice) -> None:
    forms = [form for form in forms_of(her.client) if form.method == "post"]
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(her.user)
    before = without_visits(rows_of(her.user))
    for form in forms:
        fields = {name: value for name, value in form.fields.items() if "csrf" not in name}
        assert careful.post(form.action, fields).status_code == 403, form
    assert without_visits(rows_of(her.user)) == before


def test_somebody_who_is_not_logged_in_gets_nothing(her: Alice) -> None:
    links = {address for address, _ in crawl(her.client, *STARTS, skip=LEFT_OUT)}
    stranger = Client()
    for address in {*links, *addresses(her.ids)}:
        response = stranger.get(address)
        assert response.status_code < 500, address
        body = b"".join(response) if response.streaming else response.content
        assert SECRET.encode() not in body, address


def test_the_forms_of_a_page_are_read_as_a_browser_reads_them(her: Alice) -> None:
    forms = read(her.client, "/preferences/").forms
    assert any(form.method == "post" and "csrfmiddlewaretoken" in form.fields for form in forms)
