"""What a case finds out: figures, the bars they are held to, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

WIDTHS = (62, 11, 10, 8)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        what: what was measured.
        runs: the value of each run; their median counts.
        unit: of the values; a ratio has none.
        at_least: the bar, where more is better.
        at_most: the bar, where less is better.
        note: what else there is to know.
    """

    what: str
    runs: Sequence[float]
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    @property
    def bar(self) -> str:
        """The bar, for a person to read; empty if there is none."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    @property
    def missed(self) -> bool:
        """Whether there is a bar that was missed."""
        too_little = self.at_least is not None and self.value < self.at_least
        return too_little or (self.at_most is not None and self.value > self.at_most)

    def __str__(self) -> str:
        number = len(self.runs)
        runs = f"{number} runs, {rounded(min(self.runs))} to {rounded(max(self.runs))}"
        notes = [runs if number > 1 else "1 run", self.note]
        verdict = "MISSED" if self.missed else "ok" if self.bar else ""
        measured = f"{rounded(self.value)} {self.unit}"
        return line(self.what, measured, self.bar, verdict) + "; ".join(filter(None, notes))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "what": self.what,
            "median": round(self.value, 4),
            "runs": [round(value, 4) for value in self.runs],
            "unit": self.unit,
            "bar": self.bar,
            "missed": self.missed,
            "note": self.note,
        }


def ratios(what: str, over: Sequence[float], under: Sequence[float], **more: Any) -> Figure:
    """Return the figure of ratios, run by run."""
    return Figure(what=what, runs=[a / b for a, b in zip(over, under, strict=True)], **more)


def milliseconds(what: str, seconds: Sequence[float], **more: Any) -> Figure:
    """Return the figure of times (seconds)."""
    return Figure(what=what, runs=[1000 * one for one in seconds], unit="ms", **more)


def took(candidate: Sequence[float], reference: Sequence[float]) -> str:
    """Say how long two contestants took (seconds)."""
    return f"{median(candidate):.2f} s beside {median(reference):.2f} s"


def header() -> str:
    """Return the head of the table."""
    return f"{line('', 'measured', 'bar', '')}runs\n{'-' * 120}"


def line(*cells: str) -> str:
    """Return the cells of a line of the table, each as wide as its column."""
    return "".join(f"{text:<{width}}" for text, width in zip(cells, WIDTHS, strict=True))


def rounded(value: float) -> str:
    """Return a number with about three digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
