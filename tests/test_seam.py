"""What tests change in Tidy's own processes: by import path, and never in silence."""

from pathlib import Path

import pytest

from tests.processes import Tidy
from tests.seam.injection import Die, Injection, Pause, Value, resolve

CONSTANT = "tasks.engine.scheduler.process:STUCK_SECONDS"


def test_injection_survives_its_way_through_the_environment() -> None:
    injection = Injection(
        ("some.actors",),
        (Value("a:B", 3), Die("before", "a:b", mark="/died"), Pause("after", "a:c", seconds=1)),
        {"ping": 1},
    )
    assert Injection.decode(injection.encode()) == injection


def test_injections_add_up() -> None:
    first = Injection(("a",), (Value("a:B", 1),), {"ping": 1})
    second = Injection(("b",), (Value("a:B", 2),), {"ping": 2, "count": 1})
    assert first + second == Injection(
        ("a", "b"), (Value("a:B", 1), Value("a:B", 2)), {"ping": 2, "count": 1}
    )


@pytest.mark.parametrize(
    "path",
    ["tasks.nowhere:A", "tasks.names:Nothing", "tasks.names:TaskName.NOTHING", CONSTANT[:-1]],
)
def test_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(LookupError, match=path):
        resolve(path)


@pytest.mark.e2e
def test_process_with_a_patch_that_leads_nowhere_ends_and_names_it(
    checkout: Path, tmp_path: Path
) -> None:
    settings = {
        "DJANGO_DEBUG": "true",
        "DJANGO_SECRET_KEY": "x",
        "DATABASE_URL": "sqlite://:memory:",
    }
    tidy = Tidy(checkout, settings, logs=tmp_path)
    tidy.inject(Value(f"{CONSTANT}_NO_MORE", 3))
    ended = tidy.manage("check")
    assert ended.returncode == 1
    assert f"There is nothing to patch at {CONSTANT}_NO_MORE" in ended.stderr
