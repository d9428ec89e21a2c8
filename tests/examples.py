"""How many examples a property is tried with."""

import os

#: `make test-fast` tries this share of them (percent).
PERCENT = int(os.environ.get("TIDY_TEST_EXAMPLES", "100"))


def examples(number: int) -> int:
    """Return how many of so many examples to try in this run."""
    return max(1, number * PERCENT // 100)
