"""Makes each alert fire once, by the fault that it names, and waits until it resolves.

    python -m tests.monitoring [--only FAULT]

A real Prometheus, with the rules of docs/monitoring/rules.yml, looks at a real system: web server,
worker, scheduler, Valkey and PostgreSQL, with somebody who looks at pages. Only times and
thresholds are scaled down (`scaled.py`). Before each fault no alert fires, and after each is mended
all resolve.
Ends with 1 if one does not fire or resolve in time, or if a rule has no fault here.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.monitoring.faults import FAULTS, Fault
from tests.monitoring.files import rules
from tests.monitoring.stage import Stage, staged
from tests.processes import wait_until

#: How long (seconds) to wait for an alert, and until none is left.
MAX_SECONDS = 120

#: What a scrape may take, with a margin for a busy machine: it answers within two seconds.
MAX_SCRAPE_SECONDS = 3.0


def main() -> None:
    """Bring each fault about, and print what it took."""
    names = {name_of(fault): fault for fault in FAULTS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=sorted(names), metavar="FAULT")
    options = parser.parse_args()
    # So that whatever was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [names[name] for name in options.only or names]
    folder = Path(tempfile.mkdtemp(prefix="tidy-"))
    say(f"{'fault':<20} {'alert':<24} {'fires after':>11} {'resolves after':>15}")
    try:
        with staged(folder) as stage:
            proven = {alert for fault in chosen for alert in prove(stage, fault)}
    except AssertionError as error:
        sys.exit(f"{error}\nWhat the processes wrote is in {folder}")
    shutil.rmtree(folder)
    if not options.only and (missing := {rule["alert"] for rule in rules()} - proven):
        sys.exit(f"No fault makes these fire: {', '.join(sorted(missing))}")


def prove(stage: Stage, fault: Fault) -> tuple[str, ...]:
    """Bring a fault about until its alerts fire, mend it, and wait until none is left."""
    wait_until_quiet(stage)
    alerts = FAULTS[fault]
    fired: dict[str, float] = {}
    began = monotonic()

    def all_fire() -> bool:
        for alert in stage.prometheus.alerts("firing"):
            fired.setdefault(alert, monotonic() - began)
        assert_scrapes_are_quick(stage)
        return set(alerts) <= set(fired)

    with fault(stage):
        wait_until(
            all_fire,
            seconds=MAX_SECONDS,
            otherwise=lambda: f"{name_of(fault)}: not all of {alerts} fire, only {fired}",
        )
    mended = monotonic()
    wait_until_quiet(stage)
    for alert in alerts:
        say(
            f"{name_of(fault):<20} {alert:<24} {fired[alert]:>9.0f} s"
            f" {monotonic() - mended:>13.0f} s"
        )
    return alerts


def wait_until_quiet(stage: Stage) -> None:
    """Return when no alert fires or is about to, and all is well."""

    def is_quiet() -> bool:
        noisy = stage.prometheus.alerts("firing") | stage.prometheus.alerts("pending")
        return not noisy and [value for _, value in stage.prometheus.query("tidy_verdict")] == [1]

    def told() -> str:
        firing = stage.prometheus.alerts("firing") | stage.prometheus.alerts("pending")
        problems = stage.prometheus.query("tidy_problems > 0")
        return f"not quiet: {firing}, {problems}\n{stage.tidy.manage('tasks_status').stdout}"

    wait_until(is_quiet, seconds=MAX_SECONDS, otherwise=told)


def assert_scrapes_are_quick(stage: Stage) -> None:
    """Check that what is away is not waited for: Prometheus itself says how long it took."""
    for labels, seconds in stage.prometheus.query("scrape_duration_seconds"):
        assert seconds < MAX_SCRAPE_SECONDS, f"a scrape took {seconds} s: {labels}"


def name_of(fault: Fault) -> str:
    return getattr(fault, "__name__", "")


def say(line: str) -> None:
    """Tell whoever waits, at once."""
    print(line, flush=True)  # noqa: T201  (it is a command)


if __name__ == "__main__":
    main()
