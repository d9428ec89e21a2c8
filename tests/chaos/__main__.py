"""Break Tidy on purpose, and count what was lost, doubled, stuck or kept silent about.

    python -m tests.chaos --minutes 10
    python -m tests.chaos --minutes 5 --only database_away --only freeze_worker

Three schedulers and three workers, on hosts whose clocks are five minutes apart, run on a real
Valkey and a real PostgreSQL: a task every second, and one sweep after the other, while people and
operators do what they do. In a storm, every second or two a process or a server is killed or held
up, or messages are lost; between storms one fault comes alone, for longer than anything waits. In
the end each slot must have had its effect once, each run's counts must be those that triggers in
the database have counted, and nobody may have been told that all is well while it was not.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.disturbances import ALONE, STORM
from tests.chaos.outcome import Outcome
from tests.chaos.recovery import BOUND_SECONDS
from tests.chaos.run import perform

DISTURBANCES = {disturbance.__name__: disturbance for disturbance in (*STORM, *ALONE)}


def main() -> None:
    """Perform, report; exit with 1 unless all is well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=sorted(DISTURBANCES),
        metavar="NAME",
        help=f"no storms, but this alone, again and again: {', '.join(sorted(DISTURBANCES))}",
    )
    options = parser.parse_args()
    # So that whatever was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(f"Seed {options.seed}; for the same choices again: --seed {options.seed}\n")
    folder = Path(tempfile.mkdtemp(prefix="tidy-"))
    only = [DISTURBANCES[name] for name in options.only]
    outcome = perform(folder, seed=options.seed, seconds=60 * options.minutes, only=only, tell=say)
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
    lines += ["", *recoveries(outcome)]
    for title, counted in outcome.wrong.items():
        lines += ["", f"{sum(counted.values()):>8}  {title}"]
        lines += [f"  {how_many:>6}  {name}" for name, how_many in counted.items()]
    lines += [f"{name}: such as {'; '.join(rows)}" for name, rows in outcome.examples.items()]
    lines += outcome.failures
    lines += [f"{name} ended with {code}" for name, code in outcome.ended_badly.items()]
    return "\n".join(lines) + "\n"


def recoveries(outcome: Outcome) -> list[str]:
    """Return how long recovery took, in lines."""
    recovered = outcome.recoveries
    if not recovered.all:
        return []
    lines = [
        f"Recovery took {recovered.all[-1]:.1f} s at the most, 95 in 100 {recovered.p95:.1f} s"
    ]
    lines[0] += f" (bound {BOUND_SECONDS:g} s); by fault:"
    for kind, seconds in sorted(recovered.seconds.items()):
        lines.append(f"  {max(seconds):>6.1f}  {kind} ({len(seconds)} times)")
    return lines


def say(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
