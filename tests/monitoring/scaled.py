"""The alert rules with their times and thresholds scaled down, here and nowhere else.

All else is as in docs/monitoring/rules.yml: a value that is not found there is an error.
"""

from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.files import FOLDER

#: Seconds after which a silent process counts as gone: a minute, scaled down.
LIVENESS_SECONDS = 8

#: How often (seconds) Prometheus looks. It gives up a scrape after as long, which must be more than
#: one takes while the database is frozen.
SCRAPE_SECONDS = 3

#: How often (seconds) the tasks run that would do so each minute or each night.
EVERY = {"ping": 2, "todo.cleanup": 3}

#: How long a condition lasts before an alert fires, for each that waits at all.
FOR = "3s"

#: Where the rules look back.
RANGES = {"[5m]": "[12s]"}

#: The thresholds that are times.
THRESHOLDS = {
    "TidyHeartbeatOld": ("> 30", f"> {LIVENESS_SECONDS / 2 + 0.5}"),
    "TidyQueueOld": ("> 120", "> 5"),
    "TidyNightNotSucceeded": ("> 26 * 3600", "> 15"),
}


def scaled(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule whose times are seconds."""
    expression = rule["expr"]
    for before, after in RANGES.items():
        expression = expression.replace(before, after)
    if rule["alert"] in THRESHOLDS:
        before, after = THRESHOLDS[rule["alert"]]
        assert expression.count(before) == 1, f"{rule['alert']} has another threshold: {expression}"
        expression = expression.replace(before, after)
    times = {"for": FOR} if "for" in rule else {}
    return {**rule, **times, "expr": expression}


def write_scaled_rules(path: Path) -> None:
    """Write them to a file."""
    content = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    for group in content["groups"]:
        group["rules"] = [scaled(rule) for rule in group["rules"]]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
