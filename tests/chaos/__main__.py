"""Break Tidy on purpose, and count what was lost, doubled or stuck.

    python -m tests.chaos --minutes 10

Three schedulers and three workers run on a real Valkey and a real PostgreSQL: a task every second,
and one sweep after the other. Every few seconds a process or a server is killed or held up, or
messages are taken from the broker. In the end each slot must have had its effect once.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Outcome, perform


def main() -> None:
    """Perform, report; exit with 1 unless all is well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    say(f"Seed {options.seed}; for the same choices again: --seed {options.seed}\n")
    folder = Path(tempfile.mkdtemp(prefix="tidy-"))
    outcome = perform(folder, seed=options.seed, seconds=60 * options.minutes)
    say(report(outcome))
    if not outcome.is_well:
        say(f"What the processes wrote is in {folder}\n")
        sys.exit(1)
    shutil.rmtree(folder)


def report(outcome: Outcome) -> str:
    """Return what was counted, for a person to read."""
    total = outcome.disturbances.total()
    lines = [f"{outcome.seconds / 60:g} minutes, {total} disturbances, {outcome.kills} kills:"]
    lines += [f"  {times:>6}  {name}" for name, times in sorted(outcome.disturbances.items())]
    lines += ["", *(f"  {fact:>6}  {name}" for name, fact in outcome.facts.items())]
    for title, counted in (
        ("LOST", outcome.lost),
        ("DOUBLED", outcome.doubled),
        ("STUCK", outcome.stuck),
    ):
        lines += ["", f"{sum(counted.values()):>8}  {title}"]
        lines += [f"  {how_many:>6}  {name}" for name, how_many in counted.items()]
    lines += [f"{name} ended with {code}" for name, code in outcome.ended_badly.items()]
    return "\n".join(lines) + "\n"


def say(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
