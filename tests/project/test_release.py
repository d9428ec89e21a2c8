"""A release: one version, a dated entry in the changelog, a workflow that runs what we run."""

import re
from datetime import date
from typing import Any

import pytest
import yaml

from project.version import VERSION
from tests.checkout import ROOT, tracked_files, walked_files

#: `## 0.2.0 (2026-11-30)`
HEADING = re.compile(r"^## (?:(Unreleased)|(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\))$")
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def headings() -> list[str]:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("## ")]


def test_changelog_names_the_version_and_its_date_before_all_older_ones() -> None:
    found = [HEADING.match(heading) for heading in headings()]
    assert all(found), headings()
    released = [match for match in found if match and not match[1]]
    assert released[0][2] == VERSION
    dates = [date.fromisoformat(match[3]) for match in released]
    assert dates == sorted(dates, reverse=True)
    assert not any(match and match[1] for match in found[1:])


def test_each_version_says_how_to_upgrade() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for entry in text.split("\n## ")[1:]:
        assert "To upgrade" in entry, entry.splitlines()[0]


def test_no_other_file_states_the_version() -> None:
    stated = re.compile(rf"""version\W{{1,4}}{re.escape(VERSION)}\b""", re.IGNORECASE)
    texts = {".py", ".toml", ".yml", ".yaml", ".md", ".json", ""}
    naming = {
        str(path)
        for path in tracked_files(ROOT) or walked_files(ROOT)
        if path.suffix in texts
        and stated.search((ROOT / path).read_text(encoding="utf-8", errors="replace"))
    }
    assert naming == {"pyproject.toml"}


@pytest.fixture
def steps() -> list[dict[str, Any]]:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_workflow_runs_what_continuous_integration_runs(steps: list[dict[str, Any]]) -> None:
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]


def test_workflow_pins_what_it_uses_and_has_the_whole_history(steps: list[dict[str, Any]]) -> None:
    used = [step for step in steps if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
    assert used[0]["with"]["fetch-depth"] == 0
