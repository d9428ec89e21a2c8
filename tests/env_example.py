"""What .env.example says."""

import re
from itertools import pairwise
from typing import NamedTuple

from tests.checkout import ROOT

#: Read by docker-compose.yml, not by the settings.
FOR_COMPOSE = {
    "POSTGRES_IMAGE",
    "PROXY_IMAGE",
    "PYTHON_IMAGE",
    "TIDY_ADDRESS",
    "TIDY_EXTRAS",
    "TIDY_IMAGE",
    "VALKEY_IMAGE",
}


class Example(NamedTuple):
    """A variable as .env.example shows it."""

    line_before: str
    commented_out: bool
    value: str


def examples() -> dict[str, Example]:
    """Return the variables of .env.example by name."""
    found: dict[str, Example] = {}
    for line_before, line in pairwise((ROOT / ".env.example").read_text().splitlines()):
        if match := re.fullmatch(r"(#?)(\w+)=(.*)", line):
            assert match[2] not in found, f"{match[2]} stands there twice"
            found[match[2]] = Example(line_before, bool(match[1]), match[3])
    return found
