"""Writes a scrape in Prometheus's format."""

from collections.abc import Iterator
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from project.metrics.reading import Part, read_parts
from project.metrics.requests import request_counts
from project.version import VERSION
from tasks.engine.metrics.families import AnyMetric, HistogramMetric

logger = structlog.get_logger(__name__)

PREFIX = "tidy_"


class Scrape:
    """Collects everything once."""

    def collect(self) -> Iterator[Family]:
        build = GaugeMetricFamily(
            f"{PREFIX}build_info", "The version of the web server.", labels=["version"]
        )
        build.add_metric([VERSION], 1)
        yield build
        requests, families = read_requests()
        yield from families
        parts = {**read_parts(), "requests": requests}
        for part in parts.values():
            yield from map(family_of, part.metrics or ())
        yield from families_of_parts(parts)


def read_requests() -> tuple[Part, list[Family]]:
    """Return what web processes have counted, and whether that could be read."""
    began = monotonic()
    try:
        families = list(request_counts().collect())
    except (OSError, RuntimeError):  # A full disk, or a file that was damaged.
        logger.exception("metrics failed", part="requests")
        return Part(None, monotonic() - began), []
    return Part((), monotonic() - began), families


def families_of_parts(parts: dict[str, Part]) -> Iterator[Family]:
    success = GaugeMetricFamily(
        f"{PREFIX}scrape_part_success",
        "1 if a part of this scrape could be read, 0 if not: its metrics are then missing.",
        labels=["part"],
    )
    duration = GaugeMetricFamily(
        f"{PREFIX}scrape_part_duration_seconds",
        "How long it took to read a part of this scrape.",
        labels=["part"],
    )
    for name, part in parts.items():
        success.add_metric([name], part.metrics is not None)
        duration.add_metric([name], part.seconds)
    yield success
    yield duration


def family_of(metric: AnyMetric) -> Family:
    """Return a metric of the engine as prometheus-client has it."""
    name = PREFIX + metric.name
    if isinstance(metric, HistogramMetric):
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels, observed in metric.samples:
            histogram.add_metric(labels, observed.buckets, observed.total)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for labels, value in metric.samples:
        family.add_metric(labels, value)
    return family


def scrape(accept: str) -> tuple[bytes, str]:
    """Return a scrape, and its content type, in the format that an Accept header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Scrape())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
