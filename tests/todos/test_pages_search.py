"""Search over a person's list, what they have completed, and their trash."""

import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from tests.factories import new_todo, new_todos, new_trash, trash
from todos.pages.paging import PAGE_SIZE

pytestmark = pytest.mark.django_db


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def look(client: Client, query: str, **more: str) -> str:
    response = client.get("/search/", {"q": query, **more})
    assert response.status_code == 200
    return response.content.decode()


def found(client: Client, query: str, **more: str) -> list[str]:
    """Return the titles that are found."""
    return [unescape(one) for one in re.findall(r"<bdi>(.*?)</bdi>", look(client, query, **more))]


def test_search_finds_titles_and_descriptions_in_list_completed_and_trash(
    hers: Client, alice: User, bob: User
) -> None:
    new_todo(alice, title="Buy milk", completed_at=None)
    new_todo(alice, title="Shop", description="Oat MILK", completed_at=None)
    new_todo(alice, title="Milk the cow")
    new_todo(alice, title="Bread")
    trash(alice, "Old milk")
    trash(alice, "Old bread")
    for completed_at in (None,):
        new_todo(bob, title="His milk", completed_at=completed_at)
    trash(bob, "His old milk")

    assert found(hers, "milk") == ["Shop", "Buy milk", "Milk the cow", "Old milk"]
    headings = re.findall(r"<h2>\s*(.*?)\s*</h2>", look(hers, "milk"))
    assert headings[:3] == ["Open todos", "Completed", "Trash"]


def test_all_of_the_words_are_looked_for_in_any_order(hers: Client, alice: User) -> None:
    new_todo(alice, title="Buy oat milk", description="two bottles", completed_at=None)
    assert found(hers, "  milk   BUY ") == found(hers, "bottles oat") == ["Buy oat milk"]
    assert not found(hers, "milk bread")


def test_no_word_is_left_out_however_many_there_are(hers: Client, alice: User) -> None:
    new_todo(alice, title="a b c d e f g h i", completed_at=None)
    assert found(hers, "a b c d e f g h i") == ["a b c d e f g h i"]
    assert not found(hers, "a b c d e f g h x")
    assert not found(hers, " ".join(map(chr, range(0x4E00, 0x4E00 + 100))))


@pytest.mark.parametrize("text", ["100%", "a_b", "\\", "'", '"', "<b>", "{{ 7 }}", "ü", "\u202e"])
def test_signs_are_looked_for_as_they_are(hers: Client, alice: User, text: str) -> None:
    new_todo(alice, title=f"Some {text} here", completed_at=None)
    new_todo(alice, title="Some 1000 aXb here", completed_at=None)
    assert found(hers, text) == [f"Some {text} here"]
    assert "<b>" not in look(hers, text).partition("<main")[2]


def test_case_does_not_matter(hers: Client, alice: User) -> None:
    new_todo(alice, title="Äpfel", completed_at=None)
    assert found(hers, "Äpfel") == found(hers, "PFEL".lower()) == ["Äpfel"]
    if connection.vendor == "postgresql":  # SQLite knows the case of ASCII letters alone.
        assert found(hers, "äPFEL") == ["Äpfel"]


def test_nothing_is_found_and_nothing_is_asked(hers: Client, alice: User) -> None:
    new_todo(alice, title="Bread")
    assert "Nothing with “milk”." in look(hers, "milk")
    assert not found(hers, "")
    assert not found(hers, "x" * 9999)
    assert hers.get("/search/").status_code == 200


def test_sections_are_bounded_and_lead_on(hers: Client, alice: User) -> None:
    new_todos(alice, each=PAGE_SIZE + 1, title="Open milk", completed_at=None)
    new_todos(alice, each=PAGE_SIZE + 1, title="Done milk")
    new_trash(alice, each=PAGE_SIZE + 1, title="Old milk", trashed_at="2026-01-01T00:00Z")

    page = look(hers, "milk")
    assert len(found(hers, "milk")) == 3 * PAGE_SIZE
    more = [unescape(one) for one in re.findall(r'rel="next" href="([^"]*)"', page)]
    assert len(more) == 3
    for address, title in zip(more, ("Open milk", "Done milk", "Old milk"), strict=True):
        last = hers.get(f"/search/{address}").content.decode()
        assert re.findall(r"<bdi>(.*?)</bdi>", last) == [title]
        assert "Search everywhere" in last


def test_buttons_of_what_was_found_lead_back_to_it(hers: Client, alice: User) -> None:
    todo = new_todo(alice, title="Buy milk", completed_at=None)
    page = look(hers, "milk & more")
    assert 'name="next" value="/search/?q=milk+%26+more"' in page
    response = hers.post("/todos/complete/", {"id": todo.pk, "next": "/search/?q=milk"})
    assert response.headers["Location"] == "/search/?q=milk"


@pytest.mark.parametrize("more", [{"in": "x"}, {"in": ""}, {"in": "trash", "after": "x"}])
def test_what_no_page_asks_for_is_not_found(hers: Client, more: dict[str, str]) -> None:
    assert hers.get("/search/", {"q": "milk", **more}).status_code == 404
