"""Whoever is no superuser gains no rights by way of the people and groups that they look after."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.services import UserService
from tests.admin_pages import log_in_staff
from tests.examples import examples
from todos.models import Todo

LIST = "/admin/accounts/user/"
GROUPS = "/admin/auth/group/"
PASSWORD = {"usable_password": "true", "password1": "c0rrect horse", "password2": "c0rrect horse"}

#: Everything that looks after people and groups, short of being a superuser.
SUPPORT = (
    *("view_user", "add_user", "change_user", "delete_user"),
    *("view_group", "add_group", "change_group", "delete_group", "view_permission"),
)

type Rights = tuple[bool, bool, set[int], set[int]]


def rights(user: User) -> Rights:
    """Return what decides over what somebody may do."""
    user.refresh_from_db()
    groups, permissions = (
        set(many.values_list("pk", flat=True)) for many in (user.groups, user.user_permissions)
    )
    return user.is_staff, user.is_superuser, groups, permissions


def form(user: User, **fields: object) -> dict[str, object]:
    """Return a crafted form for a person that claims every right there is, with other `fields`."""
    everything = list(Permission.objects.values_list("pk", flat=True))
    return {
        "username": user.username,
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00:00",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": list(Group.objects.values_list("pk", flat=True)),
        "user_permissions": everything,
        **fields,
    }


@pytest.fixture
def support(client: Client, db: None) -> User:
    """Somebody who looks after people and groups and is no superuser; `client` is theirs."""
    group = Group.objects.create(name="support")
    user = log_in_staff(client, *SUPPORT)
    user.groups.add(group)
    Group.objects.create(name="everything").permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss", password="the boss's own")


@pytest.fixture
def operator(db: None) -> User:
    """A member of staff who is no superuser and may do what support may not."""
    user = User.objects.create_user("operator", password="operator's own", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="tasks"))
    return user


def test_support_still_looks_after_people(client: Client, support: User, alice: User) -> None:
    page = client.get(f"{LIST}{alice.pk}/change/").content.decode()
    assert 'name="email"' in page
    assert "Superuser status" in page
    for name in ("is_staff", "is_superuser", "groups", "user_permissions"):
        assert f'name="{name}"' not in page, "shown, not to be changed"

    client.post(f"{LIST}{alice.pk}/change/", form(alice, email="alice@example.com"))
    client.post(f"{LIST}{alice.pk}/password/", PASSWORD)

    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert alice.check_password("c0rrect horse")
    assert rights(alice) == (False, False, set(), set())


def test_person_whose_password_staff_have_set_gets_a_mail(
    client: Client, support: User, alice: User, mail_server: list[Any]
) -> None:
    UserService.set_address(user=alice, address="alice@example.com")
    client.post(f"{LIST}{alice.pk}/password/", PASSWORD)
    (mail,) = mail_server
    assert mail.to == ["alice@example.com"]
    assert "password" in mail.subject.lower()


def test_nobody_sets_their_own_password_without_knowing_it(client: Client, support: User) -> None:
    before = support.password
    answer = client.post(f"{LIST}{support.pk}/password/", PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/password/change/")
    support.refresh_from_db()
    assert support.password == before


def test_nobody_gives_themselves_rights(client: Client, support: User) -> None:
    before = rights(support)
    response = client.post(f"{LIST}{support.pk}/change/", form(support, first_name="Sue"))
    assert response.status_code == 302
    assert rights(support) == before
    assert support.first_name == "Sue", "their own name is theirs to change"


@pytest.mark.parametrize("whose", ["boss", "operator"])
@pytest.mark.parametrize("more", [{}, {"_saveasnew": "1"}, {"_continue": "1"}])
def test_staff_are_for_superusers_alone_to_change(
    client: Client,
    support: User,
    whose: str,
    more: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    target: User = request.getfixturevalue(whose)
    before, password = rights(target), target.password
    taken_over = form(target, username="mine", email="support@example.com", is_active="", **more)

    client.post(f"{LIST}{target.pk}/change/", taken_over)
    client.post(f"{LIST}?_to_field=username", taken_over)

    assert rights(target) == before
    kept = (target.username, target.email, target.is_active, target.password)
    assert kept == (whose, "", True, password)
    assert not User.objects.filter(is_superuser=True).exclude(username="boss").exists()


@pytest.mark.parametrize("whose", ["boss", "operator"])
@pytest.mark.parametrize("data", [PASSWORD, {"usable_password": "false", "unset-password": "1"}])
def test_passwords_of_staff_are_for_superusers_alone_to_set(
    client: Client,
    support: User,
    whose: str,
    data: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    target: User = request.getfixturevalue(whose)
    password = target.password
    assert client.get(f"{LIST}{target.pk}/password/").status_code == 403
    assert client.post(f"{LIST}{target.pk}/password/", data).status_code == 403
    target.refresh_from_db()
    assert target.password == password


def test_deactivated_staff_are_not_taken_over_either(
    client: Client, support: User, operator: User
) -> None:
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert client.post(f"{LIST}{operator.pk}/password/", PASSWORD).status_code == 403
    client.post(f"{LIST}{operator.pk}/change/", form(operator, is_active="on"))
    operator.refresh_from_db()
    assert not operator.is_active


@pytest.mark.parametrize("whose", ["boss", "operator"])
def test_staff_are_not_deleted_alone_or_among_others(
    client: Client, support: User, alice: User, whose: str, request: pytest.FixtureRequest
) -> None:
    target: User = request.getfixturevalue(whose)
    support.user_permissions.add(Permission.objects.get(codename="delete_todo"))
    assert client.get(f"{LIST}{target.pk}/delete/").status_code == 403
    assert client.post(f"{LIST}{target.pk}/delete/", {"post": "yes"}).status_code == 403

    selected = {"action": "delete_selected", "_selected_action": [alice.pk, target.pk]}
    for more in ({}, {"post": "yes"}, {"post": "yes", "select_across": "1"}):
        response = client.post(LIST, {**selected, **more})
        assert response.status_code == 302
        *_, said = map(str, get_messages(response.wsgi_request))
        assert target.username in said
        assert "Deactivate" in said
    assert User.objects.filter(pk__in=[alice.pk, target.pk]).count() == 2


def test_new_people_have_no_rights(client: Client, support: User) -> None:
    for address in (f"{LIST}add/", f"{LIST}{support.pk}/change/"):
        name = f"dora{len(address)}"
        data = form(support, **PASSWORD, username=name, _saveasnew="1")
        assert client.post(address, data).status_code == 302
        assert rights(User.objects.get(username=name)) == (False, False, set(), set())


def test_groups_are_for_superusers_alone_to_change(client: Client, support: User) -> None:
    group = Group.objects.get(name="support")
    claimed = {"name": "mine", "permissions": [Permission.objects.all()[0].pk]}
    selected = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}

    assert client.get(f"{GROUPS}{group.pk}/change/").status_code == 200, "they may look"
    assert client.post(f"{GROUPS}{group.pk}/change/", claimed).status_code == 403
    assert client.post(f"{GROUPS}add/", claimed).status_code == 403
    assert client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(GROUPS, selected)

    assert set(Group.objects.values_list("name", flat=True)) == {"support", "everything"}
    assert not group.permissions.exists()


def test_superuser_gives_and_takes_rights(admin_client: Client, operator: User) -> None:
    group = Group.objects.create(name="night shift")
    few = list(Permission.objects.values_list("pk", flat=True)[:2])
    data = form(operator, groups=[group.pk], user_permissions=few)
    del data["is_superuser"]
    assert admin_client.post(f"{LIST}{operator.pk}/change/", data).status_code == 302
    assert rights(operator) == (True, False, {group.pk}, set(few))

    admin_client.post(f"{LIST}{operator.pk}/password/", PASSWORD)
    operator.refresh_from_db()
    assert operator.check_password("c0rrect horse")
    admin_client.post(f"{GROUPS}{group.pk}/change/", {"name": "night", "permissions": few})
    assert set(group.permissions.values_list("pk", flat=True)) == set(few)


#: Every name that a form of the admin of people knows, and values that mean something to some.
NAMES = (
    *("username", "password", "first_name", "last_name", "email", "is_active", "is_staff"),
    *("is_superuser", "groups", "user_permissions", "last_login_0", "last_login_1"),
    *("date_joined_0", "date_joined_1", "auto_cleanup", "keep_completed_days", "id", "pk"),
    *("usable_password", "password1", "password2", "unset-password", "_saveasnew", "_continue"),
    *("_addanother", "_popup", "_to_field", "action", "_selected_action", "select_across", "post"),
    *("form-TOTAL_FORMS", "form-INITIAL_FORMS", "form-0-id", "form-0-is_superuser", "_save"),
    *("form-0-is_staff", "change-form-action", "permissions", "name"),
)
VALUES = ("on", "1", "2", "3", "true", "", "boss", "staff", "delete_selected", "yes", "2026-01-01")


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=st.data())
def test_no_form_that_anybody_crafts_changes_rights_or_staff(
    client: Client, support: User, boss: User, operator: User, drawn: st.DataObject
) -> None:
    client.force_login(support)  # Whatever an earlier example did to their password.
    target = drawn.draw(st.sampled_from([support, boss, operator]))
    where = drawn.draw(
        st.sampled_from(["", "add/", "{pk}/change/", "{pk}/password/", "{pk}/delete/"])
    )
    data = drawn.draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)))
    valid = drawn.draw(st.sampled_from([{}, form(target)]))
    before = {user.pk: rights(user) for user in (support, boss, operator)}
    passwords = {user.pk: user.password for user in (boss, operator)}

    response = client.post(LIST + where.format(pk=target.pk), {**valid, **data})

    assert response.status_code < 500
    assert {user.pk: rights(user) for user in (support, boss, operator)} == before
    assert {user.pk: user.password for user in (boss, operator)} == passwords
    others = User.objects.exclude(pk__in=before)
    for new in others:
        assert rights(new) == (False, False, set(), set())
    others.delete()


@pytest.mark.parametrize(
    "act",
    [
        lambda client, user: client.post(f"{LIST}{user.pk}/delete/", {"post": "yes"}),
        lambda client, user: client.post(
            LIST, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
        ),
    ],
    ids=["alone", "selected"],
)
@pytest.mark.parametrize("now", ["staff", "staff no more"])
def test_account_that_stands_in_the_log_is_kept(
    admin_client: Client,
    client: Client,
    now: str,
    act: Callable[[Client, User], object],
) -> None:
    staff = log_in_staff(client, "view_todo", "add_todo", "view_user", "change_user")
    data = {"user": str(staff.pk), "title": "Ask", "due_on": ""}
    assert client.post("/admin/todos/todo/add/", data).status_code == 302
    User.objects.filter(pk=staff.pk).update(is_staff=now == "staff")

    act(admin_client, staff)

    page = admin_client.get(f"{LIST}{staff.pk}/change/").content.decode()
    assert "staff must stay: staff, or named in the log of what staff did" in page
    assert "Deactivate such an account instead" in page
    assert Todo.objects.get().title == "Ask"
    assert staff.logentry_set.count() == 1


def test_staff_account_made_by_mistake_can_go_once_it_is_staff_no_more(
    admin_client: Client, operator: User
) -> None:
    address = f"{LIST}{operator.pk}/delete/"
    assert admin_client.get(address).status_code == 302
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    assert admin_client.get(address).status_code == 200
    admin_client.post(address, {"post": "yes"})
    assert not User.objects.filter(pk=operator.pk).exists()
