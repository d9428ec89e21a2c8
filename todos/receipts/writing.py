"""Writes receipts: whom a night has taken something from, and how many todos.

Whoever still has a receipt that waits, as the mail server is away for example, gets no second one:
the night is added to the first. So nobody has a heap of mails when the server is back.
"""

from datetime import date, datetime, timedelta

from django.db.models import Count, DateField, DateTimeField, Exists, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from accounts.models import User, UserQuerySet
from todos.bulk.sql import execute, quoted
from todos.bulk.store import CheckpointStore
from todos.models import TrashedTodo
from todos.receipts.models import Receipt

#: People who want receipts, in one transaction.
BATCH_PEOPLE = 2_000

#: Receipts that are deleted in one transaction, and the nights after which they are.
BATCH_OLD = 5_000
KEPT_NIGHTS = 30


def write_receipts(*, night: date, until: datetime, store: CheckpointStore) -> None:
    """Write the receipts of a night, for everyone who wants one, from the checkpoint on.

    A person's window begins where their last receipt ended, at the earliest when they asked for
    receipts. Whoever has been sent a receipt of this night already gets no second one: what was
    swept since is told the next night.

    Args:
        night: the date of the receipts.
        until: all sweeps up to this moment are committed.
    """
    while not store_batch(night=night, until=until, store=store):
        pass


def store_batch(*, night: date, until: datetime, store: CheckpointStore) -> bool:
    """Write the receipts of the next people; return whether they were the last."""
    with store.step() as stored:
        if stored.get("all_written"):
            return True
        people = User.objects.wanting_receipts().filter(pk__gt=stored["person"])
        ids = people.order_by("pk").values_list("pk", flat=True)
        through = ids[BATCH_PEOPLE - 1 : BATCH_PEOPLE].first()
        if through is None:
            stored["all_written"] = True
        else:
            people = people.filter(pk__lte=through)
            stored["person"] = through
        stored["written"] += extend(people, night=night, until=until)
        stored["written"] += insert(people, night=night, until=until)
    return through is None


def extend(people: UserQuerySet, *, night: date, until: datetime) -> int:
    """Add a night to the receipts of some people that wait still; return to how many.

    Another run may be sending one of them. It marks up to when it has told, see `end`.
    """
    new = TrashedTodo.objects.swept_between(OuterRef("until"), until)
    waiting = Receipt.objects.waiting().filter(user__in=people, until__lt=until)
    more = waiting.filter(Exists(new.filter(user=OuterRef("user"))))
    # In one order, so that two runs at once do not wait for each other.
    ids = list(more.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    told = TrashedTodo.objects.swept_between(OuterRef("since"), until)
    theirs = told.filter(user=OuterRef("user")).order_by().values("user")
    return Receipt.objects.filter(pk__in=ids).update(
        night=Greatest("night", Value(night, DateField())),
        until=until,
        todos=Subquery(theirs.annotate(number=Count("pk")).values("number")),
    )


def insert(people: UserQuerySet, *, night: date, until: datetime) -> int:
    """Write the receipts of some people in one statement; return how many."""
    last = Receipt.objects.filter(user=OuterRef("pk")).order_by("-since").values("until")[:1]
    swept = TrashedTodo.objects.swept_between(OuterRef("since"), until)
    theirs = swept.filter(user=OuterRef("pk")).order_by().values("user")
    windows = people.annotate(
        since=Greatest("receipt_since", Coalesce(Subquery(last), "receipt_since"))
    )
    told = windows.annotate(
        night=Value(night, DateField()),
        until=Value(until, DateTimeField()),
        taken=Subquery(theirs.annotate(number=Count("pk")).values("number")),
    )
    rows = told.order_by("pk").values_list("pk", "night", "since", "until", "taken")
    select, params = rows.query.sql_with_params()
    table = quoted(Receipt._meta.db_table)
    return execute(
        f"INSERT INTO {table} (user_id, night, since, until, todos)"  # noqa: S608  (no input in it)
        # Materialized, so that nothing is counted twice.
        f" WITH told (user_id, night, since, until, todos) AS MATERIALIZED ({select})"
        " SELECT * FROM told WHERE todos > 0 ON CONFLICT DO NOTHING",
        params,
    )


def delete_old_receipts(*, night: date, store: CheckpointStore) -> None:
    """Delete the receipts of nights long past, but for each person's last: windows begin there."""
    while not delete_batch(before=night - timedelta(days=KEPT_NIGHTS), store=store):
        pass


def delete_batch(*, before: date, store: CheckpointStore) -> bool:
    """Delete some old receipts; return whether they were the last."""
    with store.step() as stored:
        if not stored.get("old_deleted"):
            later = Receipt.objects.filter(user=OuterRef("user"), since__gt=OuterRef("since"))
            old = Receipt.objects.filter(Exists(later), night__lt=before).order_by("pk")
            ids = list(old.values_list("pk", flat=True)[:BATCH_OLD])
            Receipt.objects.filter(pk__in=ids).delete()
            stored["old_deleted"] = len(ids) < BATCH_OLD
        return bool(stored["old_deleted"])
