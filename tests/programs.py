"""Programs that the tests need: whether they run here, and the commands that get them."""

import os
import subprocess
from collections.abc import Sequence

#: How long (seconds) to wait for a download, or for a step of a package's installation.
TIMEOUT_SECONDS = 240


def runs(
    command: Sequence[str], *, folder: str | None = None, seconds: float = TIMEOUT_SECONDS
) -> bool:
    """Run a command to its end, in silence and asking nobody; say whether it succeeded."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
