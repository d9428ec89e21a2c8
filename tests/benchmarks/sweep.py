"""What the sweep costs, beside other ways to do the same, and whether it keeps what it promises.

    python -m tests.benchmarks.sweep
    python -m tests.benchmarks.sweep --only delete --only move --runs 9
    python -m tests.benchmarks.sweep --small

Each figure is the median of some runs, and most are ratios to a reference of the same run. Where
there is a bar, a figure that misses it is marked, and the program ends with 1. The sweep runs as in
a worker, on the run's row, on PostgreSQL (one case: on SQLite). In full it takes half an hour and
10 GB of disk. `--small` only shows in a minute that everything works: its figures mean nothing.
"""

import argparse
import json
import sys
import tempfile
import traceback
from pathlib import Path
from time import monotonic

from tests.benchmarks.figures import Figure, header
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say


def main() -> None:
    """Measure, print, and exit with 1 if a bar was missed or a case failed."""
    options = arguments()
    size = Size(users=options.users, todos=options.todos)
    with (
        tempfile.TemporaryDirectory(prefix="tidy-") as folder,
        server(Path(folder), size, options.runs) as stage,
    ):
        well = measure(stage, options)
    sys.exit(0 if well or options.small else 1)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="CASE", help="one case; repeatable")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--todos", type=int, default=1_000_000, help="half of them completed")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="200 users, 20,000 todos, one run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    options = parser.parse_args()
    if options.small:
        options.users, options.todos, options.runs = 200, 20_000, 1
    return options


def measure(stage: Server, options: argparse.Namespace) -> bool:
    """Run the cases; return whether each ended and no bar was missed."""
    from tests.benchmarks.cases import CASES  # noqa: PLC0415  (needs the settings)

    unknown = set(options.only or ()).difference(CASES)
    if unknown:
        sys.exit(f"No such case: {', '.join(sorted(unknown))}. There are {', '.join(CASES)}.")
    figures: list[Figure] = []
    failed = []
    for name in options.only or CASES:
        say(f"{name}:")
        started = monotonic()
        try:
            figures += CASES[name](stage)
        except Exception:  # noqa: BLE001  (the other cases are worth the time they took)
            traceback.print_exc()
            failed.append(name)
        say(f"  {monotonic() - started:.0f} s")
    report(figures, failed, options)
    return not failed and not any(figure.missed for figure in figures)


def report(figures: list[Figure], failed: list[str], options: argparse.Namespace) -> None:
    """Print the table and, if asked to, write the figures to a file."""
    lines = [header(), *map(str, figures), *(f"{name}: FAILED" for name in failed)]
    sys.stdout.write("\n".join(lines) + "\n")
    if options.json:
        content = {
            "users": options.users,
            "todos": options.todos,
            "figures": [figure.as_json() for figure in figures],
            "failed": failed,
        }
        options.json.write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
