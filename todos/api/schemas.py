"""The form of what the API takes and gives of todos."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self, cast, get_args

from django.conf import settings
from pydantic import BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, model_validator

from accounts.api.preconditions import etag
from accounts.api.schemas import NOT_GIVEN, Answer, Changes, Given, as_whole
from todos.bounds import MAX_ID
from todos.leaving import Leaving
from todos.matching import MAX_LENGTH
from todos.models import Todo, TrashedTodo
from todos.validators import MAX_DESCRIPTION, MAX_TITLE

#: No number in an address has so many digits.
MAX_DIGITS = 10

#: Rows of one page, and rows that one request names.
PAGE_SIZE, MAX_PAGE_SIZE = 50, 100
MAX_IDS = 1_000


DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: The years in which a todo can be due: `todos.validators` has them.
YEARS = "^(19|2[0-9])[0-9]{2}-"
#: As RFC 3339 has it, where Python takes other forms, too; without years that no zone may leave.
MOMENT = (
    YEARS + r"[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]+)?"
    "([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)

type Due = Literal["overdue", "today", "later", "never"]
DUES: tuple[Due, ...] = get_args(Due.__value__)


def as_day(value: Any) -> date | None:
    """Take a day from text such as 2026-12-01 alone: not from a number, nor from a moment."""
    if value is None:
        return None
    if isinstance(value, str) and DAY.fullmatch(value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise ValueError("Give a day that there is, such as 2026-12-01.")


def as_moment(value: Any) -> datetime:
    """Take a moment from text with a zone alone."""
    if isinstance(value, str) and re.fullmatch(MOMENT, value):
        with suppress(ValueError):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    raise ValueError("Give a moment with a zone, such as 2026-12-01T02:00:00Z.")


def as_due(value: Any) -> Due | date | None:
    """Take a word or a day."""
    if value in DUES:
        return cast("Due", value)
    with suppress(ValueError):
        return as_day(value)
    raise ValueError(f"Give a day such as 2026-12-01, or one of {', '.join(DUES)}.")


def as_bool(value: Any) -> bool:
    """Take true and false, as an address has them, and no other words for these."""
    if value in {"true", "false"}:
        return bool(value == "true")
    raise ValueError("Give true or false, in small letters.")


def as_number(value: Any) -> int:
    """Take decimal digits alone."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < MAX_DIGITS:
        return int(value)
    raise ValueError("Give a whole number.")


RowId = Annotated[int, Field(ge=0, le=MAX_ID)]
#: No NUL, which no database stores.
TEXT = r"^[^\x00]*$"
#: Also something besides space: by Python, whose `\s` is another than that of other languages.
SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
LINE = rf"^[^\x00]*[^\x00{SPACE}][^\x00]*$"
Title = Annotated[StrictStr, Field(min_length=1, max_length=MAX_TITLE, pattern=LINE)]
Description = Annotated[StrictStr, Field(max_length=MAX_DESCRIPTION, pattern=TEXT)]
DueDay = Annotated[date, Field(json_schema_extra={"pattern": YEARS})]
DueOn = Annotated[DueDay | None, BeforeValidator(as_day)]
Moment = Annotated[
    datetime, Field(json_schema_extra={"pattern": MOMENT}), BeforeValidator(as_moment)
]
GivenId = Annotated[StrictInt, Field(ge=1, le=MAX_ID), BeforeValidator(as_whole)]
Ids = Annotated[list[GivenId], Field(min_length=1, max_length=MAX_IDS)]
NextCursor = Annotated[
    str | None, Field(description="Where the next page begins; null: there is none.")
]


class TodoIn(Given):
    """A todo to create."""

    title: Title
    description: Description = ""
    due_on: DueOn = Field(NOT_GIVEN, description="The day on which it is due; null if never.")


class TodoChanges(Changes):
    """What to change of a todo; what is not given stays as it is."""

    title: Title = Field(NOT_GIVEN)
    description: Description = Field(NOT_GIVEN)
    due_on: DueOn = Field(NOT_GIVEN, description="null takes the day away.")


class TodoOut(Answer):
    """A todo on your list."""

    id: int
    title: str
    description: str
    due_on: date | None
    created_at: datetime
    completed_at: datetime | None = Field(description="null: it is open.")
    restored_at: datetime | None = Field(description="When it came back from the trash.")
    leaves_at: datetime | None = Field(
        description="When the cleanup is due that takes it, as `/cleanup/next` has it; null: none."
    )
    etag: str = Field(description="The same as in the header `ETag`, for `If-Match`.")

    @classmethod
    def of(cls, todo: Todo, leaving: Leaving) -> Self:
        """Return a todo as the API gives it."""
        return cls(
            id=todo.pk,
            title=todo.title,
            description=todo.description,
            due_on=todo.due_on,
            created_at=todo.created_at,
            completed_at=todo.completed_at,
            restored_at=todo.restored_at,
            leaves_at=leaving.of(todo),
            etag=etag(todo.state),
        )


class TrashedTodoOut(Answer):
    """A todo in your trash."""

    id: int
    title: str
    description: str
    due_on: date | None
    created_at: datetime
    completed_at: datetime | None
    trashed_at: datetime
    run_id: int | None = Field(description="The cleanup that took it; null if somebody deleted it.")
    kept_until: datetime = Field(description="Until then it can be restored; later it is purged.")

    @classmethod
    def of(cls, todo: TrashedTodo) -> Self:
        """Return a trashed todo as the API gives it."""
        days = max(settings.TODO_TRASH_DAYS, todo.trash_days)
        return cls(
            id=todo.pk,
            title=todo.title,
            description=todo.description,
            due_on=todo.due_on,
            created_at=todo.created_at,
            completed_at=todo.completed_at,
            trashed_at=todo.trashed_at,
            run_id=todo.run_id,
            kept_until=todo.trashed_at + timedelta(days=days),
        )


class TodoPage(Answer):
    """Todos of your list, those that were added last first."""

    items: list[TodoOut]
    next_cursor: NextCursor


class TrashPage(Answer):
    """Todos in your trash, those that were added last to the list first."""

    items: list[TrashedTodoOut]
    next_cursor: NextCursor


class NextCleanup(Answer):
    """What the next cleanup would take of your list, as things are."""

    due_at: datetime | None = Field(description="When it is due; null while none is to run.")
    takes_part: bool = Field(description="false: you have switched cleaning off.")
    count: int = Field(description="How many todos it would take.")
    items: list[TodoOut]
    next_cursor: NextCursor


class Cursor(Given):
    """Which part of a list."""

    cursor: Annotated[str, Field(max_length=100, json_schema_extra={"format": "cursor"})] = Field(
        NOT_GIVEN, description="The `next_cursor` of the page before; without one, the first page."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE), BeforeValidator(as_number)] = Field(
        PAGE_SIZE, description="The most items of a page."
    )


class TodoFilter(Cursor):
    """Which todos."""

    completed: Annotated[bool, BeforeValidator(as_bool)] = Field(
        NOT_GIVEN, description="true: only completed ones; false: only open ones."
    )
    due: Annotated[Due | date, BeforeValidator(as_due)] = Field(
        NOT_GIVEN,
        description="By the day on which it is due, in your time zone: a day such as 2026-12-01,"
        " or `overdue`, `today`, `later`, `never`.",
    )
    q: Annotated[str, Field(max_length=MAX_LENGTH, pattern=TEXT)] = Field(
        NOT_GIVEN, description="Words, each of which is in the title or the description."
    )


class Selection(Given):
    """Todos in the trash, by their ids."""

    ids: Ids


class ClearedOrSelection(Given):
    """Todos in the trash: by their ids, or those that were cleared from the list at one moment."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    ids: Ids = Field(NOT_GIVEN)
    cleared_at: Moment = Field(NOT_GIVEN, description="As clearing has returned it.")

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        """Refuse both at once, and neither."""
        if len(self.model_fields_set) != 1:
            raise ValueError("Give either ids or cleared_at.")
        return self


class Cleared(Answer):
    """What was cleared from the list, and when: by that it can be restored."""

    todos_cleared: int
    cleared_at: datetime


class Restored(Answer):
    """What was restored. What is not in your trash is in neither number."""

    todos_restored: int
    todos_left: int = Field(description="How many could not come back now, and are still there.")
    reasons: list[str] = Field(description="Why, in words for people.")


class Purged(Answer):
    """How many todos were deleted for good."""

    todos_purged: int
