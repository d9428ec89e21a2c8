"""Put the stack of docker-compose.yml up on a Docker engine, and put it to the test.

    python -m tests.compose
    python -m tests.compose --only upgrade --only backup

It builds and starts the stack as the documentation says, uses it over HTTP, kills, freezes and
pauses each container, takes the database away in mid-sweep, upgrades to the next version and to
versions that do not work, goes back, and restores a backup elsewhere. Each line says what was
measured; the exit code is 1 if one is not as promised. It takes about half an hour, and ends with
one line where there is no engine.

Where images cannot be pulled, stand-ins are made of Debian packages and of the wheels that the
other tests use (tests/compose/images.py); that needs root and debootstrap. Everything has a project
name of its own, and is removed in the end; stand-ins stay, for the next time.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.checkout import copy_project
from tests.compose import backups, faults, outage, secrecy, starting, upgrading, versions
from tests.compose.engine import demand, docker
from tests.compose.images import images
from tests.compose.report import Report, say
from tests.compose.stack import Stack

ACTS = ("secrecy", "faults", "outage", "upgrade", "backup")
NAME = "tidy-compose-test"
PEOPLE = 6

#: As behind a proxy that terminates TLS, and with a sweep that takes long enough to be disturbed.
SETTINGS = {"TRUSTED_PROXIES": "1", "TODO_SWEEP_PAUSE": "10", "TODO_SWEEP_BATCH_SIZE": "1000"}


def main() -> None:
    """Perform; exit with 1 unless all is as promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], choices=ACTS)
    parser.add_argument("--keep", action="store_true", help="leave the stack up")
    options = parser.parse_args()
    demand()
    # So that whatever was started is removed, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="tidy-compose-"))
    found = images()
    for variable, stand_in in found.items():
        say(f"{variable}: cannot be pulled; {stand_in} stands in for it.\n")
    version = versions.copy_previous(folder / "site")
    copy_project(folder / "fresh")
    stack = Stack(folder / "site", NAME, found, **SETTINGS)
    fresh = Stack(folder / "fresh", f"{NAME}-fresh", found, **SETTINGS)
    report = Report()
    try:
        perform(stack, fresh, report, options.only or list(ACTS), version)
    finally:
        if options.keep:
            say(f"\nLeft in {folder}, as the project {NAME}, at port {stack.port}.\n")
        else:
            for each in (fresh, stack):
                each.tear_down()
            shutil.rmtree(folder)
            left = remains()
            report.check("left of containers, networks, volumes and images", left, holds=not left)
    report.close()
    sys.exit(1 if report.missed else 0)


def perform(stack: Stack, fresh: Stack, report: Report, acts: list[str], version: str) -> None:
    """Do all acts, one after the other."""
    report.act(f"From nothing, {version}")
    starting.start(stack, report)
    people = starting.log_in_people(stack, PEOPLE)
    starting.use(stack, report, people)
    if "secrecy" in acts:
        report.act("What can be seen and done")
        with report.survives("secrecy"):
            secrecy.look(stack, report)
            secrecy.refuse_weak_ones(stack, report)
            secrecy.change(stack, report, people)
    if "faults" in acts:
        report.act("Each container in turn")
        for fault in (
            faults.kill_each,
            faults.freeze_each,
            faults.pause_each,
            faults.send_slowly,
        ):
            with report.survives(fault.__name__):
                fault(stack, report, people)
        with report.survives("all well again"):
            faults.all_well_again(stack, report)
    if "outage" in acts:
        report.act("The database away in mid-sweep")
        with report.survives("outage"):
            outage.stop_the_database(stack, report, people)
    if "upgrade" in acts:
        report.act(f"Upgrades, from {version}")
        for act in (
            upgrading.upgrade,
            upgrading.fail_to_migrate,
            upgrading.fail_to_start,
            upgrading.go_back,
        ):
            with report.survives(act.__name__):
                act(stack, report, people)
    if "backup" in acts:
        report.act("A backup, restored into a fresh stack")
        with report.survives("backup"):
            completed = backups.back_up(stack, report, fresh)
            backups.restore(fresh, report, completed)


def remains() -> list[str]:
    """Return the names of what this has made and not removed, stand-ins left out."""
    named = ["--filter", f"name={NAME}", "--format"]
    found = docker("ps", "--all", *named, "{{.Names}}")
    found += docker("network", "ls", *named, "{{.Name}}")
    found += docker("volume", "ls", *named, "{{.Name}}")
    found += docker("images", "--filter", f"reference={NAME}*", "--format", "{{.Repository}}")
    return found.split()


if __name__ == "__main__":
    main()
