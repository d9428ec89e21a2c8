"""Put Tidy on many hosts, break what is between them, and count what that did.

    python -m tests.hosts
    python -m tests.hosts --only lose_database --only lose_broker

Two web hosts, two workers, two schedulers, PostgreSQL with a streaming standby, Valkey with a
replica and three Sentinels: each is a host of its own, a network namespace of this machine, and
their clocks are up to ten minutes apart. A task runs every second, one sweep follows the other, and
visitors add and complete todos over HTTP. Links are cut in silence, both ways and one way, for
longer than a process may be silent; all are slowed down; primaries are lost, frozen and replaced.
In the end everything is audited as in `python -m tests.chaos`.

It needs Linux and root, for the namespaces.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.__main__ import report, say
from tests.hosts.faults import faults
from tests.hosts.network import CannotBuild
from tests.hosts.run import HEADER, perform


def main() -> None:
    """Perform, report; exit with 1 unless all is well."""
    names = sorted(faults())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="NAME",
        help=f"this fault alone, or several: {', '.join(names)}",
    )
    options = parser.parse_args()
    # So that whatever was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = options.only or names
    if not options.only:
        random.Random(options.seed).shuffle(chosen)  # noqa: S311  (no secret)
    say(f"Seed {options.seed}; for the same faults again: --seed {options.seed}\n")
    folder = Path(tempfile.mkdtemp(prefix="tidy-"))
    try:
        outcome, rows = perform(folder, seed=options.seed, names=chosen, tell=say)
    except CannotBuild as error:
        shutil.rmtree(folder)
        sys.exit(f"Hosts of their own need Linux, root and /dev/net/tun: {error}")
    say("\n" + "\n".join([HEADER, *map(str, rows)]) + "\n\n" + report(outcome))
    if not outcome.is_well:
        say(f"What the processes wrote is in {folder}\n")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
