"""The files of docs/monitoring/: what Prometheus's own tool and Grafana's schema ask of them."""

import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.monitoring.files import FOLDER, dashboard, panels, rules
from tests.monitoring.prometheus import folder

#: Prometheus's own tests of the rules.
TESTS = sorted((ROOT / "tests/monitoring").glob("*_test.yml"))
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def promtool(*arguments: str, at: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [str(folder() / "promtool"), *arguments],
        cwd=at,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", str(FOLDER / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        (tmp_path / name).write_text((FOLDER / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "tidy-metrics-token").write_text("made up")
    done = promtool("check", "config", "prometheus.yml", at=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_do_what_their_tests_say() -> None:
    done = promtool("test", "rules", *map(str, TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in TESTS)
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels", text))
    assert fired == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_leads_to_what_the_documentation_says_about_it(rule: dict[str, object]) -> None:
    assert isinstance(rule["annotations"], dict)
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert path == "docs/operations.md"
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert f"| `{rule['alert']}` |" in OPERATIONS
    assert isinstance(rule["labels"], dict)
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_documentation_names_no_alert_that_is_no_more() -> None:
    told = set(re.findall(r"^\| `(Tidy\w+)` \|", OPERATIONS, re.MULTILINE))
    assert told == {rule["alert"] for rule in rules()}


# The dashboard, by what Grafana documents of its JSON: it is not there to be asked.


def test_dashboard_can_be_imported_and_asks_for_its_data_source() -> None:
    content = dashboard()
    assert content["title"] == "Tidy"
    assert content["id"] is None  # Grafana gives one.
    assert content["uid"] == "tidy"
    assert content["schemaVersion"] >= 36  # Data sources by uid.
    variables = {variable["name"]: variable for variable in content["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["job"]["datasource"]["uid"] == "${datasource}"


def test_panels_have_what_each_panel_needs() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'job="$job"' in target["expr"]
        assert panel["fieldConfig"]["defaults"]["unit"] in {"short", "s", "reqps", "percentunit"}


def test_panels_lie_within_the_grid_and_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        ), (one, other)
