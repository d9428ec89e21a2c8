"""The admin of the trash."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tests.admin_pages import HOSTILE, Page, log_in_staff
from tests.factories import trash
from todos.models import Todo, TrashedTodo

LIST = "/admin/todos/trashedtodo/"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything."""
    return admin_client


def view(pk: int) -> str:
    """Return the address of a page of the trash."""
    return reverse("admin:todos_trashedtodo_change", args=[pk])


def press_restore(pk: int) -> dict[str, str]:
    """Return what a browser sends for the button on a todo's own page."""
    return {"CHANGE_FORM-action": "restore", "_selected_action": str(pk)}


def titles(client: Client, query: str = "") -> set[str]:
    rows = Page(client.get(f"{LIST}?{query}").content.decode()).rows[1:]
    return {row[2] for row in rows}


def restore(client: Client, *pks: int, **more: str) -> str:
    """Restore a selection; return the page that comes then."""
    data = {"action": "restore", "_selected_action": [*pks], **more}
    response = client.post(LIST, data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_list_says_who_removed_a_todo_and_how_many_days_it_has_left(
    boss: Client, alice: User, bob: User
) -> None:
    trash(alice, "By alice")
    trash(alice, "By bob", by=bob)
    (swept,) = trash(alice, "Swept", run_id=17)
    now = timezone.now()
    TrashedTodo.objects.filter(pk=swept).update(trashed_at=now - timedelta(days=29, hours=1))

    header, *rows = Page(boss.get(LIST).content.decode()).rows

    assert [header[3], header[6], header[7]] == ["Owner", "Removed by", "Days left"]
    assert [(row[2], row[3], row[6], row[7]) for row in rows] == [
        ("Swept", "alice", "cleanup, run 17", "1"),
        ("By bob", "alice", "bob", "30"),
        ("By alice", "alice", "alice", "30"),
    ]


def test_todo_past_its_days_is_there_until_the_next_purge(boss: Client, alice: User) -> None:
    trash(alice, "Old")
    TrashedTodo.objects.update(trashed_at=timezone.now() - timedelta(days=31))
    (row,) = Page(boss.get(LIST).content.decode()).rows[1:]
    assert row[7] == "until the next purge"


def test_todo_has_the_days_left_that_it_was_promised_or_more(
    boss: Client, alice: User, settings: Settings
) -> None:
    trash(alice, "Old")
    shown = []
    for days in (0, 30, 90):
        settings.TODO_TRASH_DAYS = days
        (row,) = Page(boss.get(LIST).content.decode()).rows[1:]
        shown.append(row[7])
    assert shown == ["30", "30", "90"]


def test_filters_and_search(boss: Client, alice: User, bob: User) -> None:
    trash(alice, "Plants")
    trash(bob, "Lawn")
    trash(bob, "Swept", run_id=17)

    assert titles(boss, "by=cleanup") == {"Swept"}
    assert titles(boss, "by=person") == {"Plants", "Lawn"}
    assert titles(boss, "q=plants") == {"Plants"}
    assert titles(boss, "q=bob") == {"Lawn", "Swept"}
    assert titles(boss, "q=17") == {"Swept"}


def test_list_asks_as_many_questions_for_thirty_todos_as_for_three(
    boss: Client, alice: User, bob: User
) -> None:
    asked = []
    for count in (3, 27):
        trash(alice, *map(str, range(count)), by=bob)
        with CaptureQueriesContext(connection) as queries:
            boss.get(LIST)
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 6, "session, user, count, page, owners, who deleted them"


def test_selection_is_restored_as_it_was_and_logged(boss: Client, alice: User) -> None:
    first, second, third = trash(alice, "One", "Two", "Three")

    assert "2 todos restored." in restore(boss, first, second)
    assert "0 todos restored." in restore(boss, first)

    assert set(Todo.objects.values_list("pk", "title")) == {(first, "One"), (second, "Two")}
    assert TrashedTodo.objects.get().pk == third
    logged = LogEntry.objects.values_list("object_id", "object_repr", "change_message")
    assert set(logged) == {
        (str(first), f"todo {first}", "Restored."),
        (str(second), f"todo {second}", "Restored."),
    }


def test_todo_whose_number_is_taken_is_not_logged_as_restored(boss: Client, alice: User) -> None:
    first, second = trash(alice, "One", "Two")
    Todo.objects.create(pk=first, user=alice, title="Imported")
    page = restore(boss, first, second)
    assert "1 todo restored." in page
    assert "1 not restored: another todo has its number." in page
    assert [entry.object_repr for entry in LogEntry.objects.all()] == [f"todo {second}"]


def test_all_that_a_search_finds_is_restored(boss: Client, alice: User, bob: User) -> None:
    trash(alice, *map(str, range(120)))
    (kept,) = trash(bob, "Bob's")
    data = {"action": "restore", "select_across": "1", "_selected_action": [kept]}

    page = boss.post(f"{LIST}?q=alice", data, follow=True).content.decode()

    assert "120 todos restored." in page
    assert TrashedTodo.objects.get().pk == kept


def test_todo_is_restored_from_its_own_page(boss: Client, alice: User) -> None:
    (pk,) = trash(alice, "One")
    page = boss.get(view(pk)).content.decode()
    assert "One" in page
    assert "Restore" in page
    assert 'name="_save"' not in page

    page = boss.post(view(pk), press_restore(pk), follow=True).content.decode()
    assert "1 todo restored." in page
    assert "Perhaps" not in page
    assert Todo.objects.get().pk == pk


def test_todo_whose_owner_is_gone_stays_and_is_listed(boss: Client, alice: User) -> None:
    (pk,) = trash(alice, "Orphan")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [alice.pk])

    (row,) = Page(boss.get(LIST).content.decode()).rows[1:]
    assert row[3] == f"user {alice.pk}, deleted"
    page = restore(boss, pk)
    assert "0 todos restored." in page
    assert "1 not restored: account deleted." in page
    assert TrashedTodo.objects.get().pk == pk


def test_staff_who_may_only_look_cannot_restore(client: Client, alice: User) -> None:
    log_in_staff(client, "view_trashedtodo")
    (pk,) = trash(alice, "One")

    (row,) = Page(client.get(LIST).content.decode()).rows[1:]
    assert row[1] == "One"
    assert 'value="restore"' not in restore(client, pk)
    assert "Restore" not in client.get(view(pk)).content.decode()
    assert client.post(view(pk), press_restore(pk)).status_code == 403
    assert TrashedTodo.objects.get().pk == pk


def test_staff_with_the_right_may_restore(client: Client, alice: User) -> None:
    log_in_staff(client, "view_trashedtodo", "restore_trashedtodo")
    (pk,) = trash(alice, "One")
    assert "1 todo restored." in restore(client, pk)


def test_staff_without_the_right_do_not_see_the_trash(client: Client, alice: User) -> None:
    log_in_staff(client, "view_todo", "change_todo", "delete_todo")
    (pk,) = trash(alice, "One")
    assert client.get(LIST).status_code == 403
    assert client.get(view(pk)).status_code == 403


@pytest.mark.parametrize("page", ["add/", "{pk}/delete/"])
def test_nobody_adds_to_the_trash_or_deletes_from_it_by_hand(
    boss: Client, alice: User, page: str
) -> None:
    (pk,) = trash(alice, "One")
    address = LIST + page.format(pk=pk)
    assert boss.get(address).status_code == 403
    assert boss.post(address, {"post": "yes"}).status_code == 403
    assert TrashedTodo.objects.get().pk == pk


def test_hostile_title_is_shown_as_text(boss: Client, alice: User) -> None:
    (pk,) = trash(alice, HOSTILE)
    for address in (LIST, view(pk)):
        html = boss.get(address).content.decode()
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert Page(html).blocked == []
