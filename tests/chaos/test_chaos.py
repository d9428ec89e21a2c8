"""A short performance of `python -m tests.chaos`."""

import random
from pathlib import Path

import pytest

from tests.chaos.__main__ import report
from tests.chaos.run import perform

SECONDS = 60


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_nothing_is_lost_doubled_stuck_or_kept_silent_about(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    outcome = perform(tmp_path, seed=seed, seconds=SECONDS)
    assert outcome.is_well, f"seed {seed}\n{report(outcome)}"
    assert outcome.disturbances.total() >= 8
    # One has run before each recovery was over; how many more did depends on the machine's speed.
    assert outcome.facts["slots"] >= SECONDS
    assert outcome.facts["slots that ran"] > len(outcome.recoveries.all)
    assert outcome.facts["todos swept"] > 0
    assert outcome.facts["runs whose counts were checked"] >= 2
    assert outcome.facts["verdicts"] >= 5
    assert len(outcome.recoveries.all) >= 2
