"""Actors with parameters of every kind, which forms are made of."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dramatiq

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(StrEnum):
    RED = "r"
    BLUE = "b"


@dramatiq.actor(actor_name="test.typed", max_retries=0, time_limit=20_000)
def typed(  # noqa: PLR0913  (one of each)
    number: int,
    /,
    text: str = "world",
    *,
    part: float = 0.5,
    flag: bool = True,
    day: date | None = None,
    at: datetime | None = None,
    size: Literal["S", "L", 3] = "S",
    colour: Colour | None = None,
    limit: Annotated[int | None, "rows"] = None,
    maybe: int | None = 5,
    anything: list[int] | None = None,
) -> None:
    """Take one of each.

    Args:
        number: how many there are,
            in all.
        text: whom to greet.
        part: a share.

    Raises:
        Nothing: at all.
    """


@dramatiq.actor(actor_name="test.loose", max_retries=0, time_limit=20_000)
def loose(first="x", *rest, **more):  # type: ignore[no-untyped-def]
    """Take whatever comes."""


@dramatiq.actor(actor_name="test.quoted", max_retries=0, time_limit=20_000)
def quoted(price: Decimal, number: int = 1) -> None:
    """Have a type that is known to type checkers alone."""


def refuse_odd(*, even: int = 0, note: Any = None) -> None:
    """Refuse an odd number."""
    if even % 2:
        raise ValueError(f"even must be even, not {even}.")
    if note == "no":
        raise ValueError("This note is not taken.")


@dramatiq.actor(actor_name="test.checked", max_retries=0, time_limit=20_000, check=refuse_odd)
def checked(*, even: int = 0, note: str | None = None) -> None:
    """Take an even number."""
