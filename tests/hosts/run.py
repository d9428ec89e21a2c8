"""One performance: start everything, cause one fault after the other, let it settle, and count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep, time

from tests.chaos.counts import count
from tests.chaos.operators import LOOK_EVERY, tidy_up
from tests.chaos.outcome import Outcome
from tests.chaos.recovery import Looker, Recoveries, Tell, recover
from tests.chaos.run import manage, prepare_database, settle
from tests.chaos.sweeps import Sweeps
from tests.chaos.verdicts import Verdicts
from tests.hosts.faults import A_MINUTE, faults
from tests.hosts.stage import KINDS, WEB_PORT, Hosts, staged, start_processes
from tests.hosts.visitors import Request, Visitors
from tests.processes import wait_until

#: Faults that visitors must not notice: pages need the database alone.
UNNOTICED = ("broker", "standby", "one_worker", "scheduler", "workers")

#: Faults that may lose what was acknowledged: the standby does not have it.
MAY_LOSE = {"lose_database", "lose_database_far_behind", "lose_database_back_read_only"}

#: Faults that the verdict must speak of within a minute, and that last for one.
MUST_BE_SAID = {"cut_workers_broker", "cut_schedulers_broker"}


@dataclass
class Row:
    """What one fault came to.

    Attributes:
        seconds: how long it lasted.
        recovered: how long everything took after it; None if that was not waited for any longer.
        said_after: when the verdict first spoke of it; None if it never did.
        lost: todos that visitors were told of, and that are nowhere.
        silent: how often the verdict was "All well." later than a minute after the beginning.
    """

    name: str
    seconds: float
    recovered: float | None
    said_after: float | None
    requests: list[Request]
    lost: int
    silent: int
    measured: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(request.failed for request in self.requests)

    @property
    def slowest(self) -> float:
        return max((request.seconds for request in self.requests), default=0.0)

    def __str__(self) -> str:
        recovered = "never" if self.recovered is None else f"{self.recovered:.1f} s"
        said = "-" if self.said_after is None else f"{self.said_after:.0f} s"
        line = (
            f"{self.name:34} {self.seconds:5.0f} s {recovered:>8} {said:>6}"
            f" {self.failed:>4}/{len(self.requests):<5} {self.slowest:5.1f} s {self.lost:>5}"
        )
        failed = Counter(request.answer for request in self.requests if request.failed)
        answers = [f"failed with {answer}: {times}" for answer, times in sorted(failed.items())]
        return "\n".join([line, *(f"    {words}" for words in [*self.measured, *answers])])


HEADER = (
    f"{'fault':34} {'lasted':>7} {'recovered':>8} {'said':>5} {'failed':>9} {'slowest':>8}  lost"
)


class Janitor:
    """Acknowledges failures, so that they hide nothing else from the verdict."""

    def __init__(self, stage: Hosts) -> None:
        self._stage = stage
        self._next = 0.0

    def look_after(self) -> None:
        if time() >= self._next:
            self._next = time() + LOOK_EVERY
            tidy_up(self._stage)


def perform(
    folder: Path, *, seed: int, names: Sequence[str], tell: Tell
) -> tuple[Outcome, list[Row]]:
    """Cause faults, one after the other, in an empty folder; return what was counted."""
    with staged(folder, seed) as stage:
        manage(stage, "collectstatic", "--no-input", "-v0")
        prepare_database(stage)
        start_processes(stage)
        sweeps, verdicts = Sweeps(stage), Verdicts(stage)
        addresses = [stage.network.hosts[name].address for name in KINDS["web"]]
        visitors = Visitors(addresses, WEB_PORT, seed)
        lookers: list[Looker] = [stage, sweeps, verdicts, Janitor(stage)]
        outcome = Outcome(seed, 0, Counter(names), Recoveries())
        begun = time()
        try:
            recover(stage, look_after=lookers, tell=tell)  # First everything starts.
            visitors.start()
            wait_until(
                lambda: all(visitor.added for visitor in visitors.all),
                seconds=120,
                otherwise=lambda: "visitors cannot sign up and add a todo",
            )
            tell(f"{HEADER}\n")
            play = Play(stage, lookers, visitors, verdicts, outcome.recoveries, tell)
            rows = [play.cause(name) for name in names]
        finally:
            visitors.end()
        outcome.stuck["runs that never ended"] = settle(stage, sweeps)
        sweeps.end()
        verdicts.end()
        ended_badly = stage.stop()
        outcome.ended_badly = {name: code for name, code in ended_badly.items() if code != 0}
        outcome.stuck["processes that ended badly"] = len(outcome.ended_badly)
        outcome.seconds = time() - begun
        with stage.connect() as database:
            count(stage, database, verdicts, outcome)
            outcome.doubled["todos of visitors there twice"] = visitors.doubled(database)
        count_rows(rows, visitors, outcome)
        return outcome, rows


@dataclass
class Play:
    """Causes faults while everything is looked after."""

    stage: Hosts
    lookers: Sequence[Looker]
    visitors: Visitors
    verdicts: Verdicts
    recoveries: Recoveries
    tell: Tell

    def cause(self, name: str) -> Row:
        """Cause one fault, wait until all has recovered from it, and bring back what it took."""
        stage = self.stage
        with stage.connect() as database:
            lost_before = self.visitors.lost(database)
        stage.measured, stage.afterwards = [], []
        stage.follow_sentinels()
        began = time()
        faults()[name](stage)
        while stage.lasting:
            for looker in self.lookers:
                looker.look_after()
            sleep(0.1)
        ended = time()
        recovered = self._recover()
        self.recoveries.add(name, recovered)
        over = time()
        for act in stage.afterwards:
            act()
        self._recover()
        with stage.connect() as database:
            lost = set(self.visitors.lost(database)) - set(lost_before)
        row = Row(
            name,
            ended - began,
            recovered,
            self._said_after(began, over),
            self.visitors.requests(began, over),
            len(lost),
            len(self.verdicts.silent_about(began + A_MINUTE, ended)),
            stage.measured,
        )
        self.tell(f"{row}\n")
        return row

    def _recover(self) -> float | None:
        return recover(self.stage, look_after=self.lookers, tell=self.tell)

    def _said_after(self, began: float, over: float) -> float | None:
        answers = [v for v in self.verdicts.given if began <= v.asked_at <= over]
        return min((v.given_at - began for v in answers if not v.is_well), default=None)


def count_rows(rows: Sequence[Row], visitors: Visitors, outcome: Outcome) -> None:
    """Add what the faults came to that must be 0."""
    noticed = {
        row.name: row.failed
        for row in rows
        if any(part in row.name for part in UNNOTICED) and "synchronous" not in row.name
    }
    outcome.lost["requests that failed though the database was there"] = sum(noticed.values())
    outcome.lost["todos lost that a visitor was told of"] = sum(
        row.lost for row in rows if row.name not in MAY_LOSE
    )
    outcome.silent['"All well." a minute after workers or schedulers were cut from the broker'] = (
        sum(row.silent for row in rows if row.name in MUST_BE_SAID)
    )
    outcome.facts["todos that visitors were told of"] = sum(len(v.added) for v in visitors.all)
    outcome.facts["requests of visitors"] = sum(len(v.requests) for v in visitors.all)
