"""The files of docs/monitoring/, as Prometheus and Grafana read them, and the metrics they name."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.checkout import ROOT

FOLDER = ROOT / "docs/monitoring"

#: A name of a metric of ours, in an expression.
METRIC = re.compile(r"\btidy_\w+")

#: What Grafana puts in for its variables.
VARIABLES = {"$job": "tidy", "$__rate_interval": "1m"}


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    content = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    content: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return content


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels, without the rows that group them."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Yield the dashboard's queries, each with the title of its panel, as Grafana sends them."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield panel["title"], expression


def named_metrics() -> set[str]:
    """Return the metrics that the rules and the dashboard name."""
    expressions = [rule["expr"] for rule in rules()] + [query for _, query in queries()]
    return {name for expression in expressions for name in METRIC.findall(expression)}
