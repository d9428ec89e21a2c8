"""Whose rows are whose, to see that nobody else has changed them."""

from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model, QuerySet

from accounts.models import Session, User
from accounts.sessions import SessionStore

type Rows = dict[str, list[dict[str, Any]]]

#: Written by each visit.
VISITS = (Session._meta.label, "usersessions.UserSession", "accounts.User")


def rows_of(user: User) -> Rows:
    """Return all rows that belong to a user, by their model."""
    rows: Rows = {User._meta.label: values(User, pk=user.pk)}
    for model in apps.get_models():
        for one in model._meta.concrete_fields:
            if one.related_model is User:
                rows[f"{model._meta.label}.{one.name}"] = values(model, **{one.name: user.pk})
    return rows


def all_rows() -> Rows:
    """Return all rows, by their model."""
    return {model._meta.label: values(model) for model in apps.get_models()}


def values(model: type[Model], **condition: Any) -> list[dict[str, Any]]:
    return list(QuerySet(model).filter(**condition).order_by("pk").values())


def without_visits(rows: Rows) -> Rows:
    """Leave out what looking at a page may write."""
    return {name: rows[name] for name in rows if not name.startswith(VISITS)}


def traces(*words: str) -> list[str]:
    """Return where in the whole database one of these words stands, in any column of any table."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description or ()]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    text = value.tobytes().decode() if isinstance(value, memoryview) else str(value)
                    if column == "session_data":
                        text = str(SessionStore().decode(text))
                    if any(word in text.lower() for word in words):
                        found.append(f"{table}.{column}: {text}")
    return found
