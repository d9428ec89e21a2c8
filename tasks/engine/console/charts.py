"""The charts of the console, and their words: one value a day, drawn without a script.

A task's extension hands charts in (`tasks/engine/extension.py`). `daily.py` measures the days,
`drawing.py` says where the bars stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Aggregate, BigIntegerField, Case, DurationField, Max, Q, Sum, When
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from tasks.engine import words
from tasks.engine.console.drawing import FRAME, Box, Frame, axis_end, boxes, seconds_axis_end

#: What a number must look like, in JSON, to be added up.
WHOLE_NUMBER = r"^[0-9]{1,15}$"


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day by the site's clock, and a value for each chart: None if no run was measured.

    Durations are in seconds.
    """

    day: date
    values: Sequence[float | None]

    def __str__(self) -> str:
        return f"{self.day:%b} {self.day.day}"


@dataclass(frozen=True)
class Bar:
    """A bar, or two, one before the other.

    Attributes:
        name: what it is of, in the table: `2026-11-03`.
        amounts: the values of each column of the table: `90,000`.
        label: all of it in words: `Nov 3: 90,000 rows deleted`.
        box: the first value.
        front: the second one, which stands before it; None if there is none.
    """

    name: str
    amounts: tuple[str, ...]
    label: str
    box: Box
    front: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart, ready to be drawn.

    Attributes:
        summary: what it shows, in a sentence.
        end: the value at the end of its axis, in words.
        kind: how it is coloured: `lengths`, `failures`, or as others.
        bars: the oldest first; none if there is nothing to draw.
        unit: what each bar is of, such as `Day`.
        columns: what the values of a bar are, such as `Runs`.
    """

    title: str
    summary: str
    unit: str = "Day"
    columns: tuple[str, ...]
    kind: str = ""
    end: str
    first: str
    last: str
    bars: tuple[Bar, ...]
    frame: Frame = FRAME


@dataclass(frozen=True, kw_only=True)
class DailyChart:
    """A chart of one value a day: counts of the runs that ended on it, or their longest duration.

    Attributes:
        runs: the runs that are measured.
        value: what is measured of each run: a number, or a duration.
        counted: what is counted, in the singular and the plural, such as `("mail sent", "mails
            sent")`; a day's numbers are added up.
        longest: if durations are measured instead, the words before a day's longest, such as `the
            longest report took`.
        nothing: the words before `in these 30 days` if no run was measured.
        zero: the words there if runs were measured that counted nothing, unless they are the same.
    """

    title: str
    runs: Q
    value: Combinable
    counted: tuple[str, str] | None = None
    longest: str = ""
    nothing: str
    zero: str = ""

    def aggregate(self) -> Aggregate:
        if self.counted:
            return Sum(self.value, filter=self.runs)
        return Max(self.value, filter=self.runs, output_field=DurationField())

    def draw(self, days: Sequence[Day], number: int) -> Drawing:
        """Draw the values that have this number among those of a day."""
        values = [day.values[number] for day in days]
        heights = [value or 0 for value in values]
        end = (axis_end if self.counted else seconds_axis_end)(max(heights))
        bars = [
            Bar(f"{day.day}", (self._amount(value),), f"{day}: {self._label(value)}", box)
            for day, value, box in zip(days, values, boxes(heights, end=end), strict=bool(end))
        ]
        return Drawing(
            title=self.title,
            summary=self._summary(days, values),
            columns=(self.title,),
            end=self._amount(end),
            first=str(days[0]),
            last=str(days[-1]),
            bars=tuple(bars),
        )

    def _amount(self, value: float | None) -> str:
        if self.counted:
            return f"{value or 0:,.0f}"
        return "none" if value is None else words.duration(value, tenths=True)

    def _label(self, value: float | None) -> str:
        if self.counted:
            return words.count(round(value or 0), *self.counted)
        return self._amount(value)

    def _summary(self, days: Sequence[Day], values: Sequence[float | None]) -> str:
        measured = [(v, day) for v, day in zip(values, days, strict=True) if v is not None]
        most, day = max(measured, key=lambda pair: pair[0], default=(0, days[0]))
        if not measured or (self.counted and not most):
            nothing = (measured and self.zero) or self.nothing
            return f"{nothing} in these {len(days)} days."
        if self.counted:
            total = self._label(sum(value for value, _ in measured))
            text = f"{total}, most on {day} ({self._amount(most)})"
        else:
            text = f"{self.longest} {self._amount(most)}, on {day}"
        return f"Between {days[0]} and {days[-1]}: {text}."


def json_number(path: str) -> Case:
    """Return the whole number at a path such as `result__rows_deleted`; NULL if none is there."""
    return Case(
        When(Q((f"{path}__regex", WHOLE_NUMBER)), then=Cast(KT(path), BigIntegerField())),
        output_field=BigIntegerField(),
    )
