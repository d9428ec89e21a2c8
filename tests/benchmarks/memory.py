"""How much memory this process takes (Linux)."""

import re
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")


def growth(action: Callable[[], object]) -> float:
    """Return by how many MB this process grew, at its largest, while it did something."""
    # Has the system forget how large it has been before.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _megabytes("VmRSS")
    action()
    return _megabytes("VmHWM") - before


def _megabytes(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found
    return int(found[1]) / 1024
