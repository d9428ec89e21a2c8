"""Metrics of the runs that have ended, from the ledger and its totals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from dramatiq.broker import get_broker

from tasks.engine.metrics.families import AnyMetric, HistogramMetric, Labels, Observed, counters
from tasks.engine.metrics.tallies import BUCKETS, all_tallies, exported_counts
from tasks.engine.models import UNFINISHED, State, Tally

#: How a run can end.
RESULTS = tuple(state for state in State if state not in UNFINISHED)

#: Tasks that have runs and no actor any more: so many keep their name, the others share one.
MAX_RETIRED = 20
OTHER = "other"


def run_metrics() -> Iterator[AnyMetric]:
    """Yield what all runs ever add up to, with one query."""
    tallies = all_tallies()
    known = sorted(get_broker().actors)
    name_of = names({tally.task for tally in tallies}, known)
    runs = [tally._replace(task=name_of(tally.task)) for tally in tallies if not tally.counted]
    yield counters(
        "runs",
        "Runs that have ended, by how.",
        ("task", "result"),
        count_runs(runs, known),
    )
    yield HistogramMetric(
        name="run_duration_seconds",
        help="How long a run took, from its first start to its end.",
        labels=("task", "result"),
        samples=tuple(durations(runs, known)),
    )
    yield HistogramMetric(
        name="run_start_delay_seconds",
        help="How long after its slot the run of a schedule started.",
        labels=("task",),
        samples=tuple(delays(runs, known)),
    )
    yield from counted(tallies)


def names(found: Iterable[str], known: Iterable[str]) -> Callable[[str], str]:
    """Return a function from a task to its label, of which there is a bounded number."""
    retired = sorted(set(found) - set(known))[:MAX_RETIRED]
    labels = {*known, *retired}
    return lambda task: task if task in labels else OTHER


def count_runs(runs: Iterable[Tally], known: Iterable[str]) -> Iterator[tuple[Labels, float]]:
    """Yield the numbers of runs. Those of known tasks begin at 0, or the first would go unseen."""
    numbers: dict[Labels, float] = {(task, result): 0 for task in known for result in RESULTS}
    for tally in runs:
        labels = (tally.task, tally.state)
        numbers[labels] = numbers.get(labels, 0) + tally.amount
    yield from numbers.items()


def durations(runs: Iterable[Tally], known: Iterable[str]) -> Iterator[tuple[Labels, Observed]]:
    groups: dict[Labels, list[Tally]] = defaultdict(list)
    for task in known:
        groups[task, State.SUCCEEDED] = []
    for tally in runs:
        if tally.duration_le:
            groups[tally.task, tally.state].append(tally)
    for labels, tallies in groups.items():
        total = sum(tally.duration.total_seconds() for tally in tallies)
        yield labels, observed([(t.duration_le, t.amount) for t in tallies], total)


def delays(runs: Iterable[Tally], known: Iterable[str]) -> Iterator[tuple[Labels, Observed]]:
    groups: dict[Labels, list[Tally]] = {(task,): [] for task in known}
    for tally in runs:
        if tally.delay_le:
            groups.setdefault((tally.task,), []).append(tally)
    for labels, tallies in groups.items():
        total = sum(tally.delay.total_seconds() for tally in tallies)
        yield labels, observed([(t.delay_le, t.amount) for t in tallies], total)


def observed(amounts: Iterable[tuple[str, int]], total: float) -> Observed:
    """Return a histogram of amounts by the bounds under which they were added up."""
    numbers = [(float(bound), amount) for bound, amount in amounts]
    return Observed(
        buckets=tuple(
            (bound, sum(amount for of, amount in numbers if of <= float(bound)))
            for bound in BUCKETS
        ),
        total=total,
    )


def counted(tallies: Iterable[Tally]) -> Iterator[AnyMetric]:
    """Yield what the tasks' extensions export, which begins at 0."""
    sums: dict[str, float] = defaultdict(float)
    for tally in tallies:
        sums[tally.counted] += tally.amount
    helps = {exported.metric: exported.help for _, exported in exported_counts()}
    for metric, help_text in helps.items():
        yield counters(metric, help_text, (), [((), sums[metric])])
