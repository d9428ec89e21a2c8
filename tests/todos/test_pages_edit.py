"""Editing a todo: on a page and in its row, in one window and in two."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from html import unescape
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tasks.actors import requests_prune
from tests.factories import LONG_AGO, new_todo, trash
from tests.todos.locks import in_another_connection, wait_until_blocked
from todos.models import IdempotencyKey, Todo, TrashedTodo
from todos.services import TodoChanged, TodoService

HTMX = {"HX-Request": "true"}


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def milk(alice: User) -> Todo:
    return TodoService.create(
        user=alice, title="Buy milk", description="Two\nbottles", due_on=date(2026, 12, 1)
    )


def address(todo: Todo) -> str:
    return reverse("todos:edit", args=[todo.pk])


def form_of(client: Client, todo: Todo) -> dict[str, str]:
    """Open the form of a todo; return what it would send."""
    return fields_in(client.get(f"{address(todo)}?next=/search/%3Fq%3Dmilk").content.decode())


def fields_in(page: str) -> dict[str, str]:
    form = re.findall(r'<form class="edit-form".*?</form>', page, re.DOTALL)[0]
    inputs = re.findall(r"<input[^>]*>", form)
    fields = {}
    for tag in inputs:
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        assert name
        fields[name[1]] = unescape(value[1]) if value else ""
    (text,) = re.findall(r"<textarea[^>]*>(.*?)</textarea>", form, re.DOTALL)
    fields["description"] = "\r\n".join(unescape(text).removeprefix("\n").splitlines())
    return fields


def read(response: Any) -> str:
    """Return what a reader sees, on one line."""
    text = unescape(re.sub(r"<[^>]*>", " ", response.content.decode()))
    return " ".join(text.translate({0x2068: None, 0x2069: None}).split())


# In one window.


def test_a_todo_is_edited_and_the_page_it_came_from_says_so(hers: Client, milk: Todo) -> None:
    form = form_of(hers, milk)
    assert (form["title"], form["description"]) == ("Buy milk", "Two\r\nbottles")
    assert form["due_on"] == "2026-12-01"

    form |= {"title": "Buy bread", "due_on": ""}
    response = hers.post(address(milk), form)

    assert response.headers["Location"] == "/search/?q=milk"
    assert "Saved “Buy bread”." in read(hers.get("/"))
    milk.refresh_from_db()
    assert (milk.title, milk.description, milk.due_on) == ("Buy bread", "Two\nbottles", None)


def test_the_form_of_a_row_takes_its_place(hers: Client, milk: Todo) -> None:
    response = hers.get(address(milk), headers=HTMX)
    assert (
        response.content.decode().strip().startswith(f'<li class="row editing" id="todo-{milk.pk}"')
    )
    assert response.headers["HX-Retarget"] == f"#todo-{milk.pk}"
    assert response.headers["HX-Reswap"] == "outerHTML"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("title", "", "A todo needs a title."),
        ("title", "x" * 201, "at most 200 characters"),
        ("description", "x" * 10_001, "at most 10000 characters"),
        ("due_on", "1899-12-31", "Choose a year from 1900 to 2999."),
        ("due_on", "3000-01-01", "Choose a year from 1900 to 2999."),
        ("due_on", "tomorrow", "Enter a valid date."),
        ("title", "Buy\0milk", "Null characters are not allowed."),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_cannot_be_saved_says_why_and_keeps_what_was_typed(
    hers: Client, milk: Todo, headers: dict[str, str], field: str, value: str, why: str
) -> None:
    form = {**form_of(hers, milk), "title": "Mine", "description": "My words", field: value}
    response = hers.post(address(milk), form, headers=headers)

    assert response.status_code == 422
    assert why in read(response)
    shown = fields_in(response.content.decode())
    assert shown[field] == value
    assert response.headers.get("HX-Retarget") == (f"#todo-{milk.pk}" if headers else None)
    milk.refresh_from_db()
    assert milk.title == "Buy milk"


@pytest.mark.django_db
def test_a_description_from_a_time_without_limits_stays(hers: Client, alice: User) -> None:
    old = new_todo(alice, title="Old", description="x" * 20_000, completed_at=None)
    form = form_of(hers, old)
    assert hers.post(address(old), {**form, "title": "New"}).status_code == 302
    old.refresh_from_db()
    assert (old.title, len(old.description)) == ("New", 20_000)
    form = form_of(hers, old)
    changed = {**form, "description": form["description"] + "!"}
    assert hers.post(address(old), changed).status_code == 422


def test_somebody_elses_todo_has_no_form(hers: Client, bob: User) -> None:
    his = new_todo(bob, title="His own")
    assert hers.get(address(his)).status_code == 404
    response = hers.post(address(his), {"title": "Mine", "version": his.version})
    assert response.status_code == 404
    his.refresh_from_db()
    assert his.title == "His own"


# In two windows.


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_an_edit_over_a_stale_version_shows_both_texts(
    hers: Client, milk: Todo, headers: dict[str, str]
) -> None:
    here, there = form_of(hers, milk), form_of(hers, milk)
    there |= {"title": "Theirs", "description": "Their words"}
    assert hers.post(address(milk), there).status_code == 302

    response = hers.post(address(milk), {**here, "title": "Mine"}, headers=headers)

    assert response.status_code == 409
    text = read(response)
    assert "edited meanwhile, in another window" in text
    assert "Theirs Their words" in text
    milk.refresh_from_db()
    assert milk.title == "Theirs"
    mine = fields_in(response.content.decode())
    assert (mine["title"], mine["description"]) == ("Mine", "Two\r\nbottles")

    # To save it once more is to choose, or to have merged them.
    assert hers.post(address(milk), {**mine, "title": "Theirs and mine"}).status_code == 302
    milk.refresh_from_db()
    assert milk.title == "Theirs and mine"


def test_a_second_conflict_is_shown_as_the_first(hers: Client, milk: Todo) -> None:
    here = form_of(hers, milk)
    hers.post(address(milk), {**form_of(hers, milk), "title": "Theirs"})
    mine = fields_in(hers.post(address(milk), {**here, "title": "Mine"}).content.decode())
    hers.post(address(milk), {**form_of(hers, milk), "title": "Theirs again"})

    response = hers.post(address(milk), mine)
    assert response.status_code == 409
    assert "Theirs again" in read(response)


def test_the_same_edit_sent_twice_is_no_conflict(hers: Client, milk: Todo) -> None:
    form = {**form_of(hers, milk), "title": "Buy bread"}
    for _ in range(2):
        assert hers.post(address(milk), form).status_code == 302


def test_completing_elsewhere_is_no_conflict(hers: Client, alice: User, milk: Todo) -> None:
    form = form_of(hers, milk)
    TodoService.complete(user=alice, todo_id=milk.pk)
    assert hers.post(address(milk), {**form, "title": "Buy bread"}).status_code == 302
    milk.refresh_from_db()
    assert milk.title == "Buy bread"
    assert milk.completed_at


def test_an_edit_of_what_went_to_the_trash_restores_and_saves(
    hers: Client, alice: User, milk: Todo
) -> None:
    form = {**form_of(hers, milk), "title": "Mine"}
    TodoService.delete(user=alice, todo_id=milk.pk)

    response = hers.post(address(milk), form)
    assert response.status_code == 409
    assert "went to the trash meanwhile. What you wrote is still here." in read(response)
    assert TrashedTodo.objects.get().title == "Buy milk"

    mine = fields_in(response.content.decode())
    assert hers.post(address(milk), {**mine, "restore": "1"}).status_code == 302
    milk.refresh_from_db()
    assert milk.title == "Mine"


def test_an_edit_of_what_is_gone_for_good_is_not_found(hers: Client, milk: Todo) -> None:
    form, path = form_of(hers, milk), address(milk)
    milk.delete()
    assert hers.post(path, form).status_code == 404
    assert hers.post(path, {**form, "restore": "1"}).status_code == 404


def test_somebody_elses_trash_is_not_restored_by_an_edit(hers: Client, bob: User) -> None:
    (pk,) = trash(bob, "His own")
    fields = {"title": "Mine", "restore": "1"}
    assert hers.post(reverse("todos:edit", args=[pk]), fields).status_code == 404
    assert TrashedTodo.objects.get().title == "His own"


def test_the_service_tells_how_the_todo_is_now(alice: User, milk: Todo) -> None:
    seen = milk.version
    TodoService.edit(user=alice, todo_id=milk.pk, title="Theirs")
    with pytest.raises(TodoChanged) as changed:
        TodoService.edit(user=alice, todo_id=milk.pk, expected=seen, title="Mine")
    assert changed.value.todo.title == "Theirs"


def test_keys_of_requests_are_forgotten_after_a_day(alice: User) -> None:
    old = TodoService.create_once(user=alice, key="old", title="Buy milk")
    IdempotencyKey.objects.update(created_at=LONG_AGO)
    new = TodoService.create_once(user=alice, key="new", title="Buy bread")

    assert requests_prune() == {"requests_pruned": 1}
    assert TodoService.create_once(user=alice, key="new", title="Buy bread") == new
    assert TodoService.create_once(user=alice, key="old", title="Buy milk") != old


# At the same moment.


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_edits_at_once_the_second_sees_the_first(alice: User, milk: Todo) -> None:
    seen = milk.version

    def edit() -> Todo:
        return TodoService.edit(user=alice, todo_id=milk.pk, expected=seen, title="Mine")

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            TodoService.edit(user=alice, todo_id=milk.pk, expected=seen, title="Theirs")
            second = pool.submit(in_another_connection, edit)
            wait_until_blocked(second)
        with pytest.raises(TodoChanged):
            second.result()
    milk.refresh_from_db()
    assert milk.title == "Theirs"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_once_with_one_key_one_adds(alice: User) -> None:
    def create() -> Todo:
        return TodoService.create_once(user=alice, key="a form", title="Buy milk")

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first = create()
            second = pool.submit(in_another_connection, create)
            wait_until_blocked(second)
        assert second.result() == first
    assert Todo.objects.get() == first
    assert IdempotencyKey.objects.get().todo_id == first.pk


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_request_with_a_key_whose_first_one_failed_adds(alice: User) -> None:
    def create() -> Todo:
        return TodoService.create_once(user=alice, key="a form", title="Buy milk")

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            create()
            second = pool.submit(in_another_connection, create)
            wait_until_blocked(second)
            transaction.set_rollback(True)
        assert second.result() == Todo.objects.get()


@pytest.mark.django_db(transaction=True)
def test_eight_requests_at_once_with_one_key_add_one_todo(alice: User) -> None:
    def create(_: int) -> Todo:
        return in_another_connection(
            lambda: TodoService.create_once(user=alice, key="a form", title="Buy milk")
        )

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(create, range(8)))) == 1
    assert Todo.objects.count() == IdempotencyKey.objects.count() == 1
