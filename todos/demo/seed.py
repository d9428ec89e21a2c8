"""Creates demo people and todos: many, quickly, and as unevenly distributed as real ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, batched
from random import Random
from typing import Any, NamedTuple

from django.contrib.auth.hashers import make_password
from django.db import connection, reset_queries, transaction
from django.db.models import Field
from django.utils import timezone

from accounts.models import User
from todos.demo.words import DESCRIPTIONS, FIRST_NAMES, LAST_NAMES, TITLES
from todos.models import Todo

#: The time up to now in which demo todos were created. Demo people joined before it.
SPAN = timedelta(days=540)

#: Shares of people who are inactive, opted out, chose a keep time, have no todos at all.
INACTIVE, OPTED_OUT, OWN_KEEP_TIME, WITHOUT_TODOS = 1 / 20, 1 / 20, 1 / 10, 1 / 3

#: Keep times that people choose for themselves.
OWN_KEEP_DAYS = (0, 1, 3, 7, 14, 30, 90, 365)

#: Shares of todos that get done (if there is time), have a due date, have a description.
DONE, DUE, DESCRIBED = 0.52, 0.4, 0.25

MEAN_DAYS_TO_DO = 20

#: When open todos are due, seen from today.
DUE_IN = [timedelta(days) for days in range(-3, 40)]

#: The most that one call creates. It holds the ids of the people in memory.
MAX_NUMBERS = {"users": 10_000_000, "todos": 1_000_000_000}

#: Rows in one transaction.
USER_BATCH_ROWS, TODO_BATCH_ROWS = 1_000, 10_000


@dataclass(kw_only=True)
class DemoSummary:
    """How many people and todos one call of `seed_demo` has created."""

    users: int
    todos: int
    inactive: int = 0
    opted_out: int = 0
    own_keep_time: int = 0
    without_todos: int = 0
    completed: int = 0


class TodoRow(NamedTuple):
    """What differs from one demo todo to another. All other fields get their defaults."""

    user_id: int
    title: str
    description: str
    due_on: date | None
    created_at: datetime
    completed_at: datetime | None


def seed_demo(
    *,
    users: int,
    todos: int,
    seed: int,
    password: str | None = None,
    now: datetime | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> DemoSummary:
    """Add demo people and todos to the database.

    Usernames end in a number, counted from the highest one in use.

    Each batch is a transaction of its own. A single long one would make every other writer time out
    on SQLite, and its log would grow to the size of the data. What an interrupted call has created
    stays.

    Args:
        users: how many people.
        todos: how many todos. At least a third of the people get none, a few get very many.
        seed: the same number creates the same people and todos.
        password: of each of the people; by default they have none, so nobody can log in as one.
        now: the moment that all times are counted back from, instead of the present.
        on_progress: called after each batch with the number of todos in it.

    Raises:
        ValueError: a number is negative or beyond MAX_NUMBERS, or todos have no people to own them.
    """
    for name, number in (("users", users), ("todos", todos), ("seed", seed)):
        if number < 0:
            raise ValueError(f"{name} must not be negative, and is {number}")
        if (most := MAX_NUMBERS.get(name, number)) < number:
            raise ValueError(f"{name} must not be more than {most:,}, and is {number:,}")
    if todos and not users:
        raise ValueError("todos need at least one user to have them")
    now = now or timezone.now()
    rng = Random(seed)  # noqa: S311  (nothing secret hangs on demo data)
    ids: list[int] = []
    made = DemoSummary(users=users, todos=todos)
    for people in batched(make_people(rng, users, now, make_password(password)), USER_BATCH_ROWS):
        with transaction.atomic():
            User.objects.bulk_create(people)
        # With DEBUG on, Django keeps the text of every statement, and these are long.
        reset_queries()
        ids += [person.pk for person in people]
        made.inactive += sum(not person.is_active for person in people)
        made.opted_out += sum(not person.auto_cleanup for person in people)
        made.own_keep_time += sum(person.keep_completed_days is not None for person in people)
    owners: set[int] = set()
    for rows in make_todos(rng, ids, todos, now):
        insert_todos(rows)
        owners.update(row.user_id for row in rows)
        made.completed += sum(row.completed_at is not None for row in rows)
        if on_progress:
            on_progress(len(rows))
    made.without_todos = users - len(owners)
    analyze()
    return made


def make_people(rng: Random, count: int, now: datetime, password: str) -> Iterator[User]:
    """Yield people with a hashed password, who joined before the first demo todo was created."""
    inactive, opted_out, own_keep_time = (
        set(rng.sample(range(count), round(count * share)))
        for share in (INACTIVE, OPTED_OUT, OWN_KEEP_TIME)
    )
    first_number = highest_number() + 1
    for index in range(count):
        first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
        username = f"{first}.{last}.{first_number + index}".lower()
        yield User(
            username=username,
            first_name=first,
            last_name=last,
            email=f"{username}@example.com",
            password=password,
            is_active=index not in inactive,
            auto_cleanup=index not in opted_out,
            keep_completed_days=rng.choice(OWN_KEEP_DAYS) if index in own_keep_time else None,
            date_joined=now - SPAN * (1 + rng.random()),
        )


def highest_number() -> int:
    """Return the highest number that a username ends in, after a dot; 0 if none does."""
    numbered = User.objects.filter(username__regex=r"\.[0-9]+$").values_list("username", flat=True)
    return max((int(name.rpartition(".")[2]) for name in numbered.iterator()), default=0)


def make_todos(
    rng: Random, people: Sequence[int], count: int, now: datetime
) -> Iterator[list[TodoRow]]:
    """Yield todos of people, by their ids, in batches; the oldest first, as real tables grow."""
    owners = rng.sample(people, len(people) - round(len(people) * WITHOUT_TODOS))
    # Log-normal: most have a handful, a few have thousands.
    weights = list(accumulate(rng.lognormvariate(0, 2) for _ in owners))
    for batch in batched(range(count), TODO_BATCH_ROWS):
        chosen = zip(
            batch,
            rng.choices(owners, cum_weights=weights, k=len(batch)),
            rng.choices(TITLES, k=len(batch)),
            strict=True,
        )
        yield [
            make_todo(rng, owner, title, now - SPAN * (1 - (index + rng.random()) / count), now)
            for index, owner, title in chosen
        ]


def make_todo(rng: Random, owner: int, title: str, created_at: datetime, now: datetime) -> TodoRow:
    done_at = created_at + timedelta(days=rng.expovariate(1 / MEAN_DAYS_TO_DO))
    is_done = rng.random() < DONE and done_at < now
    # What is done was due at its time; what is open is due about now, as on a list that is used.
    due_on = created_at + timedelta(rng.randint(1, 60)) if is_done else now + rng.choice(DUE_IN)
    return TodoRow(
        user_id=owner,
        title=title,
        description=rng.choice(DESCRIPTIONS) if rng.random() < DESCRIBED else "",
        due_on=due_on.date() if rng.random() < DUE else None,
        created_at=created_at,
        completed_at=done_at if is_done else None,
    )


def insert_todos(rows: Sequence[TodoRow]) -> None:
    """Write todos to the database in its fastest way."""
    stored = {field.attname: field for field in Todo.stored_fields()}
    given = [stored.pop(name) for name in TodoRow._fields]
    # What has no default of Django's is left to the database.
    others = [field for field in stored.values() if field.has_default()]
    complete = ((*row, *(prepared(field, field.get_default()) for field in others)) for row in rows)
    fields = [*given, *others]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    into = f"{connection.ops.quote_name(Todo._meta.db_table)} ({columns})"
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in complete:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(fields))
            values = [[*map(prepared, given, row), *row[len(given) :]] for row in complete]
            cursor.executemany(f"INSERT INTO {into} VALUES ({marks})", values)  # noqa: S608  (ours)


def prepared(field: "Field[Any, Any]", value: object) -> Any:
    return field.get_db_prep_save(value, connection)


def analyze() -> None:
    """Update the planner's statistics now; by itself the database would wait."""
    with connection.cursor() as cursor:
        for model in (User, Todo):
            cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")
