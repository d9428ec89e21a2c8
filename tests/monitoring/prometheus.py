"""Finds Prometheus and promtool for the tests, or gets them.

    python -m tests.monitoring.prometheus

Those on the machine serve; else Debian's package, which is unpacked into `.prometheus/` and not
installed, so that no service starts. `TIDY_PROMETHEUS` names a folder with both to use, and no
other.
Prints what is used, or in one line why there is none.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.checkout import ROOT
from tests.programs import runs

NAMES = ("prometheus", "promtool")

#: Where Debian's package is unpacked.
UNPACKED = ROOT / ".prometheus"


def candidates() -> Iterator[Path]:
    """Yield folders that may have both; only the one that the environment names, if it does."""
    if named():
        yield Path(named())
        return
    if found := shutil.which(NAMES[0]):
        yield Path(found).parent
    yield UNPACKED / "usr/bin"


def named() -> str:
    """Return the folder that the environment names; nothing if it names none."""
    return os.environ.get("TIDY_PROMETHEUS", "")


def find() -> Path | None:
    """Return a folder with both programs; None if there is none."""
    return next((folder for folder in candidates() if starts(folder)), None)


def folder() -> Path:
    """Return a folder with both programs, which `make prometheus` finds or gets."""
    found = find()
    assert found, "There is no Prometheus here: `make prometheus` gets one."
    return found


def starts(folder: Path) -> bool:
    """Say whether both programs are there and run."""
    return all(runs([str(folder / name), "--version"], seconds=30) for name in NAMES)


def get() -> None:
    """Try to get them: Debian's package, without installing it."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return
    with tempfile.TemporaryDirectory() as downloads:
        if not runs(["apt-get", "download", "prometheus"], folder=downloads) and os.geteuid() == 0:
            runs(["apt-get", "update"])
            runs(["apt-get", "download", "prometheus"], folder=downloads)
        for package in Path(downloads).glob("*.deb"):
            runs(["dpkg-deb", "--extract", str(package), str(UNPACKED)])


def main() -> None:
    """Find them, get them if there are none, and say which."""
    found = find()
    if found is None and named():
        sys.exit(
            f"TIDY_PROMETHEUS names {named()}, which has no prometheus and promtool that start."
        )
    if found is None:
        get()
        found = find()
    if found is None:
        sys.exit("No Prometheus could be found or unpacked: install one for the monitoring tests.")
    sys.stdout.write(f"The monitoring tests use the Prometheus in {found}.\n")


if __name__ == "__main__":
    main()
