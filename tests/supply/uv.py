"""The uv that installed the packages."""

import os
import shutil
import subprocess

from tests.checkout import ROOT


def uv(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run uv on the project's lock, which it leaves as it is."""
    ours = ROOT / ".uv/bin/uv"
    # `uv run` says where it is itself.
    program = os.environ.get("UV") or (str(ours) if ours.exists() else shutil.which("uv"))
    assert program, "There is no uv: run `make .venv` first."
    return subprocess.run(
        [program, *arguments, "--frozen"], cwd=ROOT, capture_output=True, text=True, check=False
    )
