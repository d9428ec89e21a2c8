"""One performance: start everything, disturb it, let it settle, and count."""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import psycopg

from tests.chaos.disturbances import DISTURBANCES
from tests.chaos.stage import SCHEDULER, WORKER, Stage, staged
from tests.checkout import edit
from tests.counting import (
    add_counting_actor,
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)

TODOS = 200_000

#: Todos that are done anew as soon as a sweep has ended.
MORE_TODOS = 20_000

#: How long (seconds) everything may take to settle once nothing is disturbed any more.
SETTLING = 150


@dataclass
class Outcome:
    """What was counted; the three numbers must be 0."""

    seed: int
    seconds: float
    disturbances: Counter[str]
    facts: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, int] = field(default_factory=dict)
    ended_badly: dict[str, int] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        """How many of the disturbances were kills."""
        return sum(
            times
            for name, times in self.disturbances.items()
            if name.startswith(("kill_", "wipe_"))
        )

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, doubled or stuck."""
        return not any((*self.lost.values(), *self.doubled.values(), *self.stuck.values()))


class Sweeps:
    """Has one cleanup after the other run for as long as it lasts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._command: subprocess.Popen[bytes] | None = None
        self.given = TODOS

    def look_after(self) -> None:
        """Ask for the next cleanup when the one before has ended."""
        if self._command and self._command.poll() is None:
            return
        self._command = None
        try:
            with self._stage.connect() as database:
                if number(
                    database,
                    "SELECT count(*) FROM tasks_taskrun WHERE task = 'todo.cleanup'"
                    " AND finished_at IS NULL",
                ):
                    return
                added = database.execute(
                    "INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)"
                    " SELECT min(id), 'Again', '', now(), now() - interval '1 hour'"
                    " FROM accounts_user, generate_series(1, %s) AS number"
                    " WHERE is_active AND auto_cleanup AND keep_completed_days IS NULL"
                    " GROUP BY number",
                    [MORE_TODOS],
                )
                self.given += added.rowcount
        except psycopg.Error:
            return  # The database is away.
        arguments = ("cleanup_todos", "--enqueue", "--batch-size", "50")
        self._command = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=self._stage.tidy.folder,
            env=self._stage.tidy.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """Wait for what has been asked for to be written."""
        if self._command:
            self._command.wait(30)


def perform(folder: Path, *, seed: int, seconds: float) -> Outcome:
    """Run everything in `folder` and disturb it for so many seconds; return what was counted."""
    with staged(folder, seed) as stage:
        tidy = stage.tidy
        with stage.connect() as database:
            add_counting_actor(tidy, database)
        # Long enough to be hit in the middle.
        edit(
            tidy.folder / "tasks/actors.py",
            "# between two steps",
            "__import__('time').sleep(__import__('random').random())",
        )
        for arguments in (("migrate", "-v0"), ("seed_demo", "--force", f"--todos={TODOS}")):
            done = tidy.manage(*arguments)
            assert done.returncode == 0, done.stderr
        for index in range(3):
            stage.add(f"scheduler{index}", SCHEDULER)
            stage.add(f"worker{index}", WORKER)
        sweeps = Sweeps(stage)
        disturbances = disturb(stage, sweeps, seconds)
        unsettled = settle(stage)
        ended_badly = {name: code for name, code in stage.stop().items() if code != 0}
        outcome = Outcome(seed=seed, seconds=seconds, disturbances=disturbances)
        with stage.connect() as database:
            count(stage, database, sweeps.given, outcome)
        outcome.stuck["runs that never ended"] = unsettled
        outcome.stuck["processes that ended badly"] = len(ended_badly)
        outcome.ended_badly = ended_badly
        return outcome


def disturb(stage: Stage, sweeps: Sweeps, seconds: float) -> Counter[str]:
    """Disturb everything, again and again; return how often in which way."""
    happened: Counter[str] = Counter()
    ends = monotonic() + seconds
    next_one = monotonic() + 8  # First everything starts.
    while monotonic() < ends:
        stage.look_after()
        sweeps.look_after()
        if monotonic() >= next_one:
            (chosen,) = stage.chance.choices([*DISTURBANCES], [*DISTURBANCES.values()])
            if stage.named("scheduler") and stage.named("worker"):
                chosen(stage)
                happened[chosen.__name__] += 1
            next_one = monotonic() + stage.chance.uniform(1.5, 4.5)
        sleep(0.1)
    sweeps.end()
    return happened


def settle(stage: Stage) -> int:
    """Let everything come to its end; return the number of runs that do not."""
    stage.calm()
    ends = monotonic() + SETTLING
    unfinished = -1
    everyone_is_there = False
    while monotonic() < ends and (unfinished or not everyone_is_there):
        stage.look_after()
        sleep(0.5)
        try:
            with stage.connect() as database:
                database.execute("UPDATE tasks_schedule SET enabled = false")
                unfinished = number(
                    database, "SELECT count(*) FROM tasks_taskrun WHERE finished_at IS NULL"
                )
                everyone_is_there = stage.is_everyone_there(database)
        except psycopg.Error:
            continue
    return unfinished


def count(stage: Stage, database: psycopg.Connection, given: int, outcome: Outcome) -> None:
    """Count, with queries that know nothing of Tidy's code."""
    runs = "SELECT count(*) FROM tasks_taskrun WHERE"
    gone = given - number(database, "SELECT count(*) FROM todos_todo")
    counted = number(
        database,
        "SELECT sum((result->>'todos_deleted')::int) FROM tasks_taskrun"
        " WHERE task = 'todo.cleanup' AND state = 'succeeded'",
    )
    left = number(
        database,
        "SELECT count(*) FROM todos_todo AS todo JOIN accounts_user AS owner ON owner.id = user_id"
        " WHERE completed_at < (SELECT max(created_at) FROM tasks_taskrun"
        " WHERE task = 'todo.cleanup') AND is_active AND auto_cleanup"
        " AND keep_completed_days IS NULL",
    )
    outcome.facts = {
        "slots": number(database, f"{runs} task = 'count'"),
        "slots that ran": number(database, f"{runs} task = 'count' AND state = 'succeeded'"),
        "slots skipped: the run before was unfinished": number(
            database, f"{runs} task = 'count' AND reason LIKE 'The run of%'"
        ),
        "slots skipped: missed": number(
            database, f"{runs} task = 'count' AND reason LIKE 'Missed%'"
        ),
        "runs taken up more than once": number(database, f"{runs} task = 'count' AND attempts > 1"),
        "messages sent again": number(
            database, "SELECT sum(greatest(sends - 1, 0)) FROM tasks_taskrun"
        ),
        "sweeps": number(database, f"{runs} task = 'todo.cleanup' AND state = 'succeeded'"),
        "times that sweeps were taken up": number(
            database, "SELECT sum(attempts) FROM tasks_taskrun WHERE task = 'todo.cleanup'"
        ),
        "todos swept": gone,
        "todos in the trash": number(database, "SELECT count(*) FROM todos_trashedtodo"),
    }
    outcome.lost = {
        "slots without a row": slots_without_a_row(database),
        "slots missed without an excuse": missed_without_excuse(stage, database),
        "runs without their effect": runs_without_their_effect(database),
        "runs that failed": number(database, f"{runs} state = 'failed'"),
        "todos that went uncounted": max(0, gone - counted),
        "todos that are nowhere": gone - number(database, "SELECT count(*) FROM todos_trashedtodo"),
        "todos that were left": left,
    }
    outcome.doubled = {
        "effects too many": effects_too_many(database),
        "todos counted twice": max(0, counted - gone),
        "todos that are in two places": number(
            database, "SELECT count(*) FROM todos_todo JOIN todos_trashedtodo USING (id)"
        ),
        "todos in the trash under no run": number(
            database,
            "SELECT count(*) FROM todos_trashedtodo WHERE run_id IS NULL"
            " OR run_id NOT IN (SELECT id FROM tasks_taskrun WHERE task = 'todo.cleanup')",
        ),
    }


def missed_without_excuse(stage: Stage, database: psycopg.Connection) -> int:
    """Count the missed slots that came while database, broker and schedulers were there."""
    rows = database.execute(
        "SELECT extract(epoch FROM scheduled_for) FROM tasks_taskrun"
        " WHERE task = 'count' AND reason LIKE 'Missed%'"
    ).fetchall()
    return sum(
        not any(start <= float(slot) <= end for start, end in stage.excuses) for (slot,) in rows
    )


def failures(stage: Stage) -> list[str]:
    """Return the last lines of the errors of runs that failed."""
    with stage.connect() as database:
        rows = database.execute("SELECT task, error FROM tasks_taskrun WHERE state = 'failed'")
        return [f"{task}: {error.strip().splitlines()[-1]}" for task, error in rows]
