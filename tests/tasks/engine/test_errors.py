"""Errors as the ledger keeps them: all there is to know, and nothing that a person wrote."""

import pytest
from django.db import IntegrityError, OperationalError, transaction

from accounts.models import User
from tasks.engine.errors import format_error
from todos.models import Todo

SECRET = "Bring the flowers"


def test_error_is_kept_with_what_it_followed_from_and_where() -> None:
    def inner() -> None:
        raise KeyError("the cause")

    try:
        try:
            inner()
        except KeyError as cause:
            raise ValueError("the\neffect") from cause
    except ValueError as error:
        kept = format_error(error)
    assert kept.count("Traceback (most recent call last):") == 2
    assert "in inner" in kept
    assert kept.index("KeyError: 'the cause'") < kept.index("ValueError: the\neffect")
    assert kept.strip().endswith("effect")


@pytest.mark.parametrize("blame", ["title", "description"])
def test_row_that_the_database_quotes_is_not_kept(alice: User, blame: str) -> None:
    values = {"title": SECRET, "description": f"{SECRET}\nand\nmore"}
    todo = Todo.objects.create(user=alice, **{**values, blame: SECRET})
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        Todo.objects.create(pk=todo.pk, user=alice, **values)
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Todo.objects.create(user=alice, title="\n", description=f"{SECRET}\n{SECRET}")
    for error in (raised.value, refused.value):
        kept = format_error(error)
        assert SECRET not in kept
        assert "and\nmore" not in kept
        assert any(kind in kept for kind in ("UniqueViolation", "CheckViolation", "IntegrityError"))


def test_what_the_database_says_of_the_server_is_kept() -> None:
    kept = format_error(OperationalError("the server closed the connection"))
    assert "OperationalError: the server closed the connection" in kept
    assert "the server" not in format_error(IntegrityError("the server"))


def test_last_line_of_a_databases_error_says_what_it_was() -> None:
    error = OperationalError("canceling statement due to lock timeout\nLINE 1: SELECT 1\n        ^")
    last = format_error(error).strip().splitlines()[-1]
    assert last.startswith("OperationalError: canceling statement due to lock timeout")
