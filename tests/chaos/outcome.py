"""What a performance came to."""

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.disturbances import KILLS
from tests.chaos.recovery import Recoveries


@dataclass
class Outcome:
    """What was counted; all numbers but the facts must be 0.

    Attributes:
        examples: some of the rows behind the numbers.
        failures: the last lines of the errors of runs that should not have failed.
        ended_badly: processes that did, and their exit codes.
    """

    seed: int
    seconds: float
    disturbances: Counter[str]
    recoveries: Recoveries
    facts: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, int] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    ended_badly: dict[str, int] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        """How many processes and servers were killed."""
        return sum(times * KILLS.get(name, 0) for name, times in self.disturbances.items())

    @property
    def wrong(self) -> dict[str, dict[str, int]]:
        """What must be 0, by what it means."""
        return {
            "LOST": self.lost,
            "DOUBLED": self.doubled,
            "STUCK": self.stuck,
            "SILENT": self.silent,
        }

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, doubled, stuck or kept silent about."""
        return not any(number for counted in self.wrong.values() for number in counted.values())
