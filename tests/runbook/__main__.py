"""Try the runbook: docs/operations.md, command by command.

    python -m tests.runbook

A host is played in a folder (`tests/runbook/host.py`): real PostgreSQL, Valkey, git, uv and
processes; systemd and users are stood in for. Deploys this checkout from nothing as the page says;
upgrades to a version with a migration and goes back, while people use the site and a sweep is in
progress; stops everything in mid-sweep and starts it again; puts up a version that does not load;
restores dumps of a database that had unfinished runs, with their messages still in Valkey and with
an empty one; restores to a moment before a night. Prints what came out; exits with 1 if anything is
not as the page says.
"""

import argparse
import signal
import sys
from contextlib import ExitStack

from tests.runbook.host import new_host
from tests.runbook.proxy import proxy
from tests.runbook.repository import make_repository
from tests.runbook.scenarios import SCENARIOS, Stage
from tests.runbook.site import SITE
from tests.runbook.table import Table


def main() -> None:
    """Try everything; exit with 1 unless all is as the page says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=sorted(SCENARIOS), help="deploy, and try this alone")
    only = parser.parse_args().only
    # So that whatever was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table = Table(say)
    with new_host() as host, ExitStack() as context:
        say(f"The host is in {host.root}; the folder stays if something fails.\n")
        repository = make_repository(host.root / "repository")
        host.variables.update(REPOSITORY=f"file://{repository.folder}", SITE=SITE)
        stage = Stage(host, table, repository)
        stage.deploy()
        stage.proxy_port = context.enter_context(proxy(host))
        table.add("people come by way of nginx", "yes" if stage.proxy_port else "no: not here")
        for name, scenario in SCENARIOS.items():
            if only in {None, name}:
                scenario(stage)
        say("\n".join(["", *table.misses, f"{len(table.misses)} misses", ""]))
        if table.misses:
            sys.exit(1)


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
