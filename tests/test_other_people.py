"""Nobody reads or changes what is somebody else's: on any page, by any form or address.

Alice's pages are read as her browser does, from one link to the next, and the addresses of the site
are walked. Then Bob asks for each of them and sends each of her forms: a page that is added later
is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from django.test import Client

from accounts.models import Access, User
from accounts.tokens.services import TokenService
from tests.factories import new_run, new_todo, new_todos, trash
from tests.forms import Form, crawl, read
from tests.routes import filled, routes
from tests.rows import rows_of, without_visits

#: What only Alice may read.
SECRET = "Alice's secret"

#: Where Alice's browser begins.
STARTS = ("/", "/trash/", "/preferences/")

#: Ends the visit; and the admin, which others test.
LEFT_OUT = ("/accounts/logout/", "/admin/", "/static/")


@dataclass
class Alice:
    """Alice, with todos, trash, a token, and a browser.

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
    token = TokenService.create(user=alice, name=SECRET, access=Access.WRITE).token
    client = Client()
    client.force_login(alice)
    pks = [*(todo.pk for todo in todos), *swept, *deleted, token.pk]
    return Alice(alice, client, [*pks, run.pk, alice.pk])


@pytest.fixture
def bobs_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("bob"))
    return client


def addresses(ids: list[int]) -> Iterator[str]:
    """Yield each address of people's pages, with each id that its number may be."""
    for route in routes():
        if not route.startswith("/admin/"):
            yield from dict.fromkeys(filled(route, partial(str, pk)) for pk in ids)


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
