"""A metric and its samples, in no exporter's format."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: The values of a metric's labels, in their order.
type Labels = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric by its name, without the exporter's prefix and without `_total`.

    Attributes:
        help: what it says, in a sentence.
        samples: a value for each set of the labels' values.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()
    samples: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a histogram has observed with the same labels.

    Attributes:
        buckets: for each upper bound (seconds, as text), how many values were up to that. The last
            bound is `+Inf`.
        total: all values added up (seconds).
    """

    buckets: tuple[tuple[str, float], ...]
    total: float


@dataclass(frozen=True, kw_only=True)
class HistogramMetric:
    """A metric of durations; see `Metric`."""

    name: str
    help: str
    labels: Labels
    samples: tuple[tuple[Labels, Observed], ...]


type AnyMetric = Metric | HistogramMetric


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return Metric(name=name, kind="gauge", help=help_text, samples=(((), value),))


def gauges(
    name: str, help_text: str, labels: Labels, samples: Iterable[tuple[Labels, float]]
) -> Metric:
    return Metric(name=name, kind="gauge", help=help_text, labels=labels, samples=tuple(samples))


def counters(
    name: str, help_text: str, labels: Labels, samples: Iterable[tuple[Labels, float]]
) -> Metric:
    return Metric(name=name, kind="counter", help=help_text, labels=labels, samples=tuple(samples))
