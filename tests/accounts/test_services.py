"""What can be done with people."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services import UserService


def test_created_user_can_log_in_and_takes_part_in_the_cleanup(db: None) -> None:
    user = UserService.create_user(username="dora", password="correct horse battery")

    assert user.check_password("correct horse battery")
    assert list(User.objects.taking_part()) == [user]
    assert user.keep_completed_days is None


@pytest.mark.parametrize(
    ("username", "password"),
    [("dora", "short"), ("dora", "12345678901"), ("no spaces", "correct horse"), ("", "c0rrect h")],
)
def test_user_with_a_wrong_name_or_a_weak_password_is_refused(
    db: None, username: str, password: str
) -> None:
    with pytest.raises(ValidationError):
        UserService.create_user(username=username, password=password)
    assert not User.objects.exists()


def test_name_that_is_taken_is_refused(alice: User) -> None:
    with pytest.raises(ValidationError) as refused:
        UserService.create_user(username="alice", password="correct horse battery")
    assert set(refused.value.message_dict) == {"username"}


def test_all_users_are_the_active_ones_in_order(alice: User, bob: User, carol: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert list(UserService.list_all_users()) == [alice, carol]


def test_all_users_are_not_read_before_they_are_asked_for(alice: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        users = UserService.list_all_users()
        assert len(queries) == 0
        assert next(users) == alice


def test_preferences_are_kept(alice: User) -> None:
    UserService.set_preferences(user=alice, auto_cleanup=False, keep_completed_days=30)
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (False, 30)

    UserService.set_preferences(user=alice, auto_cleanup=True, keep_completed_days=None)
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (True, None)


@pytest.mark.parametrize("days", [-1, 3651])
def test_keep_time_out_of_bounds_is_refused(alice: User, days: int) -> None:
    with pytest.raises(ValidationError) as refused:
        UserService.set_preferences(user=alice, auto_cleanup=True, keep_completed_days=days)
    assert set(refused.value.message_dict) == {"keep_completed_days"}
    alice.refresh_from_db()
    assert alice.keep_completed_days is None


@pytest.mark.parametrize("days", [-1, 3651])
def test_database_refuses_a_keep_time_out_of_bounds(alice: User, days: int) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(keep_completed_days=days)
