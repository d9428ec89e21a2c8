"""One performance: start everything, disturb it, let it settle, and count."""

from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep

import psycopg

from tests.chaos.audit import begin_audit
from tests.chaos.counts import count
from tests.chaos.disturbances import ALONE, STORM, Disturbance
from tests.chaos.operators import Operators, tidy_up
from tests.chaos.outcome import Outcome
from tests.chaos.recovery import Looker, Recoveries, Tell, recover
from tests.chaos.stage import CLOCKS_OFF_SECONDS, PEOPLE, SCHEDULER, WORKER, OneHost, Stage, staged
from tests.chaos.sweeps import Sweeps
from tests.chaos.verdicts import Verdicts
from tests.counting import add_counting_actor, number
from tests.seam.injection import Pause

TODOS = 60_000

#: A storm, and the time between two disturbances in it (seconds).
STORM_SECONDS = 90.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.7, 2.5

#: How long (seconds) everything may take to settle once nothing is disturbed any more: the running
#: sweep and one more, each of up to 1,600 steps (see `STEPS`), of which a second sees some five.
SETTLING_SECONDS = 700

#: How long (seconds) everything may take to start.
STARTING_SECONDS = 60


def perform(
    folder: Path,
    *,
    seed: int,
    seconds: float,
    only: Sequence[Disturbance] = (),
    tell: Tell = lambda _: None,
) -> Outcome:
    """Run everything in `folder` and disturb it for so many seconds; return what was counted.

    Args:
        folder: an empty one.
        seed: of all choices.
        seconds: how long to disturb.
        only: no storms, but these alone, one after the other.
        tell: called with a line for each thing that has recovered.
    """
    with staged(folder, seed) as stage:
        prepare(stage)
        operators, sweeps, verdicts = Operators(stage), Sweeps(stage), Verdicts(stage)
        play = Play(stage, [stage, sweeps, operators, verdicts], tell)
        play.perform(seconds, only)
        # Nobody who acts now would be told from what settles.
        outcome = Outcome(seed, seconds, play.happened, play.recoveries)
        outcome.lost["errors that people met"] = sum(
            kept.crashes for kept in stage.kept if kept.name.startswith("people")
        )
        ended_badly = stage.stop("people")
        operators.end()
        outcome.stuck["runs that never ended"] = settle(stage, sweeps)
        verdicts.end()
        ended_badly |= stage.stop()
        outcome.ended_badly = {name: code for name, code in ended_badly.items() if code != 0}
        outcome.stuck["processes that ended badly"] = len(outcome.ended_badly)
        with stage.connect() as database:
            count(stage, database, verdicts, outcome)
        outcome.facts |= {f"operators: {name}": times for name, times in operators.done.items()}
        return outcome


def prepare(stage: Stage) -> None:
    """Make the tables and the todos, and keep every process running."""
    stage.tidy.inject(actors="poison")
    prepare_database(stage)
    for index, offset in enumerate(CLOCKS_OFF_SECONDS):
        stage.add(f"scheduler{index}", SCHEDULER, clock_offset=offset)
        stage.add(f"worker{index}", WORKER, clock_offset=offset)
    for index in range(2):
        stage.add(f"people{index}", PEOPLE, clock_offset=CLOCKS_OFF_SECONDS[index])


def prepare_database(stage: Stage) -> None:
    """Make the tables and the todos, and a task of every second."""
    tidy = stage.tidy
    with stage.connect() as database:
        add_counting_actor(tidy, database)
        # Long enough to be hit in the middle.
        between_steps = "tests.actors.counting:between_steps"
        tidy.inject(Pause("before", between_steps, seconds=1, at_random=True))
        manage(stage, "migrate", "-v0")
        begin_audit(database)
        manage(stage, "seed_demo", "--force", f"--todos={TODOS}")


def manage(stage: Stage, *arguments: str) -> None:
    """Run `manage.py`, which must end well."""
    done = stage.tidy.manage(*arguments)
    assert done.returncode == 0, done.stderr


class Play:
    """What is disturbed, and when."""

    def __init__(self, stage: OneHost, lookers: Sequence[Looker], tell: Tell) -> None:
        self._stage = stage
        self._lookers = lookers
        self._tell = tell
        self._began = monotonic()
        self._ends = 0.0
        self.happened: Counter[str] = Counter()
        self.recoveries = Recoveries()

    def perform(self, seconds: float, only: Sequence[Disturbance] = ()) -> None:
        """Let storms, and disturbances that come alone, follow on each other.

        After each, nothing is disturbed until everything has recovered.
        """
        recover(self._stage, look_after=self._lookers, tell=self._tell)  # First everything starts.
        self._ends = monotonic() + seconds
        alone = list(only or ALONE)
        if not only:
            self._stage.chance.shuffle(alone)
        for disturbance in cycle(alone):
            if not only:
                self._storm(min(STORM_SECONDS, seconds / 3))
            if self._is_over:
                return
            self._alone(disturbance)
            if self._is_over:
                return

    @property
    def _is_over(self) -> bool:
        return monotonic() >= self._ends

    def _storm(self, seconds: float) -> None:
        ends = monotonic() + seconds
        next_one = monotonic()
        while monotonic() < ends:
            self._look_after()
            if monotonic() >= next_one:
                (chosen,) = self._stage.chance.choices([*STORM], [*STORM.values()])
                if self._stage.named("scheduler") and self._stage.named("worker"):
                    self._do(chosen)
                next_one = monotonic() + self._stage.chance.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)
        self._stage.calm()
        self._recover("storm")

    def _alone(self, disturbance: Disturbance) -> None:
        self._do(disturbance)
        while self._stage.lasting:
            self._look_after()
        self._recover(disturbance.__name__)

    def _do(self, disturbance: Disturbance) -> None:
        disturbance(self._stage)
        self.happened[disturbance.__name__] += 1

    def _recover(self, kind: str) -> None:
        seconds = recover(self._stage, look_after=self._lookers, tell=self._tell)
        self.recoveries.add(kind, seconds)
        minutes = (monotonic() - self._began) / 60
        how = "not recovered" if seconds is None else f"recovered in {seconds:.1f} s"
        self._tell(f"{minutes:6.1f} min  {kind}: {how}\n")

    def _look_after(self) -> None:
        for looker in self._lookers:
            looker.look_after()
        sleep(0.1)


def settle(stage: Stage, sweeps: Sweeps) -> int:
    """Let everything come to its end, and one more sweep; return the runs that do not end."""
    stage.calm()
    ends = monotonic() + SETTLING_SECONDS
    unfinished, everyone_is_there, swept_again = -1, False, False
    while monotonic() < ends and (unfinished or not everyone_is_there):
        stage.look_after()
        tidy_up(stage)
        sleep(0.5)
        try:
            with stage.connect() as database:
                database.execute("UPDATE tasks_schedule SET enabled = false")
                unfinished = number(
                    database, "SELECT count(*) FROM tasks_taskrun WHERE finished_at IS NULL"
                )
                everyone_is_there = stage.is_everyone_there(database)
        except psycopg.OperationalError:
            continue
        if not unfinished and not swept_again:
            sweeps.look_after()
            sweeps.end()
            swept_again, unfinished = True, -1
    return unfinished
