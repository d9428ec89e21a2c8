"""What a sweep costs as the table grows: a model, made from small tables and tried on a large one.

    python -m tests.benchmarks.scaling
    python -m tests.benchmarks.scaling --todos 100000

The model is a fixed cost and a cost for each completed todo that the sweep passes: the straight
line through the medians at a tenth, a fifth and two fifths of the todos asked for. What it predicts
for all of them stands beside what is measured there, once. `half` has every second todo completed,
as when years of them go in the first night; `night` every hundredth. At the end, how long it takes
to take a month off a partitioned table. All that takes eight minutes; `docs/scaling.md` says what
follows from it.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import linear_regression, median
from time import perf_counter

from tests.benchmarks.figures import Figure, milliseconds, rounded
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say

#: How many todos there are to one that is completed.
TABLES = {"half": 2, "night": 100}

#: How long the trash is kept (days).
TRASHES = {"trash off": 0, "trash on": 30}

#: Not the end of what has been written yet: VACUUM does not wait for that.
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
DISK = "SELECT pg_total_relation_size('todos_todo') + pg_total_relation_size('todos_trashedtodo')"

#: Two months of as many todos. One that is open would have 'infinity' for its completion.
MONTHS = """
    DROP TABLE IF EXISTS months, june;
    CREATE TABLE months (
        LIKE todos_todo INCLUDING GENERATED INCLUDING CONSTRAINTS,
        PRIMARY KEY (id, completed_at), FOREIGN KEY (user_id) REFERENCES accounts_user
    ) PARTITION BY RANGE (completed_at);
    CREATE INDEX ON months (user_id);
    CREATE TABLE may PARTITION OF months FOR VALUES FROM ('2026-05-01') TO ('2026-06-01');
    CREATE TABLE june PARTITION OF months FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
    CREATE TABLE later PARTITION OF months FOR VALUES FROM ('2026-07-01') TO (MAXVALUE);
    SET session_replication_role = replica;
    INSERT INTO months (id, user_id, title, description, created_at, completed_at)
    SELECT number, 1 + number %% %(users)s, 'Todo ' || number, '', '2026-01-01',
           CASE WHEN number %% 2 = 0 THEN timestamptz '2026-05-09' ELSE '2026-06-09' END
    FROM generate_series(1, 2 * %(rows)s) AS number;
    RESET session_replication_role;
"""
#: What is done to them, in this order.
TAKING_OFF = {
    "DELETE of a month": "DELETE FROM months WHERE completed_at < '2026-06-01'",
    "DETACH of a month": "ALTER TABLE months DETACH PARTITION june",
    "DROP of it": "DROP TABLE june",
}


#: What a sweep costs, and in which unit. Disk is what list and trash, with their indexes, grow by.
UNITS = {"time": "s", "WAL": "MB", "disk": "MB", "VACUUM": "s", "WAL of VACUUM": "MB"}


@dataclass(frozen=True)
class Line:
    """A line of the table: what the model says of one kind of cost, and what was measured.

    Attributes:
        each: for a million completed todos; or for one, in millionths.
    """

    what: str
    unit: str
    fixed: float
    each: float
    predicted: float
    measured: float

    def __str__(self) -> str:
        each = f"{rounded(self.each)} {'µs' if self.unit == 's' else 'bytes'}"
        totals = [f"{rounded(one)} {self.unit}" for one in (self.predicted, self.measured)]
        off = f"{self.measured / self.predicted - 1:+.0%}" if self.predicted else ""
        return line(self.what, f"{rounded(self.fixed)} {self.unit}", each, *totals, off)


def line(what: str, *cells: str) -> str:
    """Return a line of the table."""
    return f"{what:<42}" + "".join(f"{cell:>13}" for cell in cells)


def cost(stage: Server, size: Size, days: int) -> dict[str, float]:
    """Sweep a freshly filled table, then vacuum it.

    Args:
        stage: where.
        size: of the table.
        days: how long the trash is kept.
    """
    from tests.benchmarks import measuring, ways  # noqa: PLC0415  (needs the settings)

    stage.fill(size)
    before, disk = stage.number(WAL), stage.number(DISK)
    swept = measuring.timed(stage, ways.sweep, TODO_TRASH_DAYS=days)
    # As there is by the time that autovacuum comes: from then on whole pages are written again.
    stage.execute("CHECKPOINT")
    between = stage.number(WAL)
    vacuum = seconds(stage, "VACUUM todos_todo, todos_trashedtodo")
    after = stage.number(WAL)
    megabytes = (between - before, stage.number(DISK) - disk, after - between)
    wal, grown, wal_of_vacuum = (number / 1e6 for number in megabytes)
    return dict(zip(UNITS, (swept.seconds, wal, grown, vacuum, wal_of_vacuum), strict=True))


def seconds(stage: Server, statement: str) -> float:
    """Return how long a statement takes."""
    started = perf_counter()
    stage.execute(statement)
    return perf_counter() - started


def predicted_and_measured(stage: Server, table: str, trash: str) -> list[Line]:
    """Make the model of one table and one trash, and try it; return a line for each cost."""
    from tests.benchmarks.measuring import in_turns  # noqa: PLC0415  (needs the settings)

    say(f"{table}, {trash}:")
    whole = replace(stage.size, one_in=TABLES[table])
    sizes = [replace(whole, todos=whole.todos * part // 10) for part in (1, 2, 4)]
    small = in_turns(stage.runs, *(partial(cost, stage, size, TRASHES[trash]) for size in sizes))
    [[large]] = in_turns(1, partial(cost, stage, whole, TRASHES[trash]))
    *completed, all_completed = (size.todos // TABLES[table] / 1e6 for size in (*sizes, whole))
    lines = []
    for kind, unit in UNITS.items():
        medians = [median(run[kind] for run in runs) for runs in small]
        each, fixed = linear_regression(completed, medians)
        predicted = fixed + each * all_completed
        what = f"{table}, {trash}: {kind}"
        lines.append(Line(what, unit, fixed, each, predicted, large[kind]))
    return lines


def months(stage: Server) -> list[Figure]:
    """Take a month off a partitioned table, of three sizes."""
    figures = []
    for rows in (stage.size.todos // part for part in (500, 50, 5)):
        runs = []
        for _ in range(stage.runs):
            stage.execute(MONTHS, users=stage.size.users, rows=rows)
            stage.settle()
            runs.append([seconds(stage, statement) for statement in TAKING_OFF.values()])
        for what, took in zip(TAKING_OFF, zip(*runs, strict=True), strict=True):
            figures.append(milliseconds(f"{what}, {rows:,} todos", took))
    return figures


def bytes_per_todo(stage: Server) -> list[Figure]:
    """Say how much a todo takes, with a short title and no description."""
    stage.fill(stage.size)
    parts = {"a todo in the table": "table", "a todo in its indexes": "indexes"}
    return [
        Figure(what=what, runs=[number / stage.size.todos], unit="bytes")
        for what, part in parts.items()
        for number in [stage.number(f"SELECT pg_{part}_size('todos_todo')")]
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--todos", type=int, default=5_000_000, help="in the largest table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    options = parser.parse_args()
    size = Size(users=10_000, todos=options.todos)
    with (
        tempfile.TemporaryDirectory(prefix="tidy-") as folder,
        server(Path(folder), size, runs=3) as stage,
    ):
        pairs = product(TABLES, TRASHES)
        lines = [one for pair in pairs for one in predicted_and_measured(stage, *pair)]
        figures = [*bytes_per_todo(stage), *months(stage)]
    head = line("", "fixed", "each", "predicted", "measured", "difference")
    sys.stdout.write("\n".join([head, *map(str, lines), "", *map(str, figures), ""]))
    if options.json:
        content = {
            "todos": size.todos,
            "lines": [asdict(one) for one in lines],
            "figures": [figure.as_json() for figure in figures],
        }
        options.json.write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
