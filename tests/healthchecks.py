"""The health commands, run as a container runs them."""

import subprocess
import sys
from pathlib import Path


def healthcheck(folder: Path, *arguments: object) -> str:
    """Return what a health command of a copy of the project complains of; empty if it is well."""
    asked = subprocess.run(
        [sys.executable, "-m", "project.healthcheck", *map(str, arguments)],
        cwd=folder,
        env={"http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert asked.returncode == bool(asked.stderr), asked.stderr
    assert asked.stderr.count("\n") <= 1, asked.stderr
    return asked.stderr
