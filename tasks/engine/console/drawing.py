"""The geometry of the charts: where the bars stand, and where the axis ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

HOUR_SECONDS, DAY_SECONDS = 60 * 60, 24 * 60 * 60

#: Axes end at one of these, times a power of ten.
ROUND = (1, 2, 5, 10)

#: Axes of up to an hour end at one of these.
ROUND_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30, 60)),
)

#: Longer axes end at a round number of hours; from here on, of days.
DAYS_FROM_SECONDS = 20 * HOUR_SECONDS


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A drawing in units of its own: bars stand on its floor and end below its ceiling."""

    width: int = 640
    height: int = 220
    left: int = 24
    right: int = 630
    ceiling: int = 30
    floor: int = 190


FRAME = Frame()


@dataclass(frozen=True, kw_only=True)
class Box:
    """A bar, in the drawing's units."""

    x: float
    y: float
    width: float
    height: float


def boxes(values: Sequence[float], *, end: float) -> list[Box]:
    """Return a bar for each value, from left to right, on an axis that ends at `end`; none if 0."""
    step = (FRAME.right - FRAME.left) / len(values)
    heights = [value / end * (FRAME.floor - FRAME.ceiling) for value in values] if end else []
    return [
        Box(
            x=round(FRAME.left + (number + 0.1) * step, 2),
            y=round(FRAME.floor - height, 2),
            width=round(0.8 * step, 2),
            height=round(height, 2),
        )
        for number, height in enumerate(heights)
    ]


def axis_end(largest: float) -> float:
    """Return a round number that is not less than the largest value; 0 for 0."""
    if largest <= 0:
        return 0
    power = 10.0 ** floor(log10(largest))
    return next((r * power for r in ROUND if r * power >= largest), largest)


def seconds_axis_end(longest: float) -> float:
    """Return a number of seconds that is round in its unit and not less than the longest."""
    if longest <= 0:
        return 0
    for unit, least in ((DAY_SECONDS, DAYS_FROM_SECONDS), (HOUR_SECONDS, HOUR_SECONDS)):
        if longest > least:
            return unit * axis_end(longest / unit)
    return next(end for end in ROUND_SECONDS if end >= longest)
