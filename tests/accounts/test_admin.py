"""The admin of people."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from tests.admin_pages import Page, log_in_staff
from tests.factories import new_todos
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

LIST = "/admin/accounts/user/"


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything; its user is called admin."""
    return admin_client


def names(client: Client, query: str = "") -> set[str]:
    """Return the usernames that the list shows for a query string, except the boss's."""
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {row[1] for row in Page(response.content.decode()).rows[1:]} - {"admin"}


def change(user: User) -> str:
    """Return the address of a person's form."""
    return reverse("admin:accounts_user_change", args=[user.pk])


def new_user(**fields: str) -> dict[str, str]:
    """Return what a browser sends for the form of a new person, with other values for `fields`."""
    password = {
        "usable_password": "true",
        "password1": "c0rrect horse",
        "password2": "c0rrect horse",
    }
    return {"username": "dora", "keep_completed_days": "", **password, **fields}


def changed(user: User, **fields: str) -> dict[str, str]:
    """Return what a browser sends for a person's form, with other values for `fields`."""
    joined = timezone.localtime(user.date_joined)
    return {
        "username": user.username,
        "is_active": "on",
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
        **fields,
    }


def test_list_asks_as_many_questions_for_thirty_people_as_for_three(boss: Client) -> None:
    asked, shown = [], []
    for first, last in ((0, 3), (3, 30)):
        for number in range(first, last):
            user = User.objects.create_user(f"user{number}")
            new_todos(user, each=number, completed_at=None)
        with CaptureQueriesContext(connection) as queries:
            page = boss.get(LIST).content.decode()
        asked.append(len(queries))
        shown.append(len(Page(page).rows) - 2)

    assert shown == [3, 30]
    assert asked[0] == asked[1] <= 5, "session, user, one count, one page, one count of todos"


def test_list_counts_open_and_completed_todos_and_links_to_them(
    boss: Client, alice: User, bob: User
) -> None:
    for number in range(3):
        done_at = timezone.now() if number else None
        Todo.objects.create(user=alice, title=f"Alice's {number}", completed_at=done_at)
    Todo.objects.create(user=bob, title="Bob's")

    html = boss.get(LIST).content.decode()
    counts = {row[1]: (row[5], row[6]) for row in Page(html).rows}
    assert counts == {
        "Username": ("Open todos", "Completed todos"),
        "admin": ("0", "0"),
        "alice": ("1", "2"),
        "bob": ("1", "0"),
    }
    link = f"/admin/todos/todo/?user__id__exact={alice.pk}&state=completed"
    assert f'<a href="{link.replace("&", "&amp;")}">2</a>' in html
    listed = Page(boss.get(link).content.decode()).rows[1:]
    assert {row[2] for row in listed} == {"Alice's 1", "Alice's 2"}


def test_counts_lead_nowhere_for_staff_who_may_not_see_todos(client: Client, alice: User) -> None:
    log_in_staff(client, "view_user")
    Todo.objects.create(user=alice, title="Private")

    html = client.get(LIST).content.decode()

    assert ("alice", "1") in {(row[0], row[4]) for row in Page(html).rows}
    assert "/admin/todos/" not in html


def test_search_and_filters(boss: Client, alice: User, bob: User, carol: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False, email="a@example.com")
    User.objects.filter(pk=bob.pk).update(auto_cleanup=False)
    User.objects.filter(pk=carol.pk).update(keep_completed_days=0, is_staff=True)

    assert names(boss) == {"alice", "bob", "carol"}
    assert names(boss, "q=ALI") == {"alice"}
    assert names(boss, "q=a@example") == {"alice"}
    assert names(boss, "is_active__exact=0") == {"alice"}
    assert names(boss, "auto_cleanup__exact=0") == {"bob"}
    assert names(boss, "keep_completed_days__isempty=0") == {"carol"}
    assert names(boss, "is_staff__exact=1") == {"carol"}


def test_person_added_has_the_preferences_of_the_form(boss: Client) -> None:
    response = boss.post(f"{LIST}add/", new_user(keep_completed_days="30"))

    assert response.status_code == 302
    dora = User.objects.get(username="dora")
    assert (dora.auto_cleanup, dora.keep_completed_days) == (False, 30)
    assert dora.check_password("c0rrect horse")


def test_form_for_a_new_person_offers_to_take_part(boss: Client) -> None:
    page = boss.get(f"{LIST}add/").content.decode()
    assert '<input type="checkbox" name="auto_cleanup"' in page
    boss.post(f"{LIST}add/", new_user(auto_cleanup="on"))
    assert User.objects.get(username="dora") in User.objects.taking_part()


def test_preferences_can_be_changed(boss: Client, alice: User) -> None:
    response = boss.post(change(alice), changed(alice, auto_cleanup="on", keep_completed_days="7"))
    assert response.status_code == 302
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (True, 7)

    boss.post(change(alice), changed(alice, keep_completed_days=""))
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (False, None)


def test_name_that_differs_from_another_in_capitals_alone_is_refused(
    boss: Client, alice: User, bob: User
) -> None:
    for page, form in (
        (f"{LIST}add/", new_user(username="BOB")),
        (change(alice), changed(alice, username="BOB")),
    ):
        answer = boss.post(page, form)
        assert "A user with that username already exists." in answer.content.decode()
    assert boss.post(change(bob), changed(bob, username="Bob")).status_code == 302


def test_old_name_that_differs_in_capitals_alone_is_kept(
    boss: Client, alice: User, bob: User
) -> None:
    User.objects.filter(pk=alice.pk).update(username="BOB")
    alice.refresh_from_db()
    assert boss.post(change(alice), changed(alice, auto_cleanup="on")).status_code == 302


@pytest.mark.parametrize("days", ["-1", "3651", "99999999999", "soon", "1.5"])
def test_keep_time_out_of_bounds_is_an_error_of_the_form(
    boss: Client, alice: User, days: str
) -> None:
    for address, data in (
        (f"{LIST}add/", new_user(keep_completed_days=days)),
        (change(alice), changed(alice, keep_completed_days=days)),
    ):
        response = boss.post(address, data)
        assert response.status_code == 200
        assert set(response.context["adminform"].form.errors) == {"keep_completed_days"}

    alice.refresh_from_db()
    assert alice.keep_completed_days is None
    assert not User.objects.filter(username="dora").exists()


def test_person_is_deleted_with_their_todos_after_a_question(boss: Client, alice: User) -> None:
    new_todos(alice, each=30, completed_at=None)
    address = reverse("admin:accounts_user_delete", args=[alice.pk])

    page = boss.get(address).content.decode()
    assert "Todos: 30" in page
    assert "alice" in page

    boss.post(address, {"post": "yes"})
    assert not User.objects.filter(username="alice").exists()
    assert not Todo.objects.exists()


def test_people_are_deleted_with_all_that_is_theirs_in_a_few_statements(boss: Client) -> None:
    asked = []
    for each in (3, 3, 300):  # The first time, it also asks what kinds of rows there are.
        people = [User.objects.create_user(f"person{number}") for number in range(5)]
        for person in people:
            new_todos(person, each=2 * each, completed_at=None)
            some = Todo.objects.filter(user=person)[:each].values("pk")
            TodoService.delete_selected(todos=Todo.objects.filter(pk__in=some), by=person)
        data = {"action": "delete_selected", "_selected_action": [one.pk for one in people]}
        with CaptureQueriesContext(connection) as queries:
            question = boss.post(LIST, data).content.decode()
            page = boss.post(LIST, {**data, "post": "yes"}, follow=True).content.decode()
        asked.append(len(queries))
        assert f"Todos: {5 * each}" in question
        assert f"Trashed todos: {5 * each}" in question
        assert "5 users deleted. Everything that belongs to them is deleted too" in page
        assert not Todo.objects.exists()
        assert not TrashedTodo.objects.exists()
        assert User.objects.count() == 1
    assert asked[1] == asked[2]


def test_trash_of_others_stays_when_whoever_deleted_the_todo_is_deleted(
    boss: Client, alice: User, bob: User
) -> None:
    todo = Todo.objects.create(user=alice, title="Alice's")
    TodoService.delete(user=alice, todo_id=todo.pk, by=bob)

    boss.post(reverse("admin:accounts_user_delete", args=[bob.pk]), {"post": "yes"})

    assert TrashedTodo.objects.get(pk=todo.pk).trashed_by is None


def test_staff_who_may_not_delete_todos_cannot_delete_a_person_who_has_some(
    client: Client, alice: User
) -> None:
    log_in_staff(client, "view_user", "delete_user")
    Todo.objects.create(user=alice, title="Alice's")
    data = {"action": "delete_selected", "_selected_action": [alice.pk]}
    address = reverse("admin:accounts_user_delete", args=[alice.pk])

    assert "todo" in client.post(LIST, data).content.decode()
    assert client.post(LIST, {**data, "post": "yes"}).status_code == 403
    assert client.post(address, {"post": "yes"}).status_code == 403

    Todo.objects.all().delete()
    client.post(address, {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()


def test_staff_who_may_only_look_cannot_change_anybody(client: Client, alice: User) -> None:
    log_in_staff(client, "view_user")

    assert client.get(change(alice)).status_code == 200
    assert client.post(change(alice), changed(alice, keep_completed_days="1")).status_code == 403
    alice.refresh_from_db()
    assert alice.keep_completed_days is None


def test_person_whose_name_is_hostile_is_shown_as_text(boss: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(first_name="<script>alert(1)</script>", email="<b>")
    for address in (LIST, change(alice)):
        html = boss.get(address).content.decode()
        assert "<script>alert" not in html
        assert "<b>" not in html
        assert Page(html).blocked == []


@pytest.mark.parametrize("page", ["", "add/", "{pk}/change/", "{pk}/password/", "{pk}/delete/"])
def test_pages_work_under_the_content_security_policy(boss: Client, alice: User, page: str) -> None:
    response = boss.get(LIST + page.format(pk=alice.pk))
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert Page(response.content.decode()).blocked == []


def test_owner_of_a_new_todo_is_found_by_name(boss: Client, alice: User, bob: User) -> None:
    field = {"app_label": "todos", "model_name": "todo", "field_name": "user"}
    found = boss.get("/admin/autocomplete/", {**field, "term": "ali"}).json()
    assert found["results"] == [{"id": str(alice.pk), "text": "alice"}]
