"""The Docker engine, as its command line shows it."""

import json
import re
import shutil
import subprocess
import sys
from typing import Any

#: The oldest that the stack was run with, which docker-compose.yml names as well.
LOWEST_COMPOSE = (2, 26)
LOWEST_ENGINE = (20, 10)


def docker(*words: str, check: bool = True, seconds: float = 300) -> str:
    """Run a command of Docker's; return what it writes, without the last newline.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(
        ["docker", *words],  # noqa: S607  (as the PATH finds it)
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    if check and done.returncode:
        raise RuntimeError(f"docker {' '.join(words[:3])} ...: {done.stderr.strip()[-2000:]}")
    return done.stdout.removesuffix("\n")


def inspect(container: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return found[0]


def demand() -> None:
    """Exit with one line unless there is an engine, and a Compose, that the stack can run on."""
    if not shutil.which("docker"):
        sys.exit("compose-test: there is no Docker here. It needs an engine, and Compose 2.26.")
    try:
        engine = docker("version", "--format", "{{.Server.Version}}")
    except RuntimeError:
        sys.exit("compose-test: there is no Docker engine that answers here. Start one.")
    try:
        compose = docker("compose", "version", "--short")
    except RuntimeError:
        sys.exit("compose-test: Docker has no `compose` here. It needs 2.26 or later.")
    for name, version, lowest in (
        ("Docker Compose", compose, LOWEST_COMPOSE),
        ("Docker Engine", engine, LOWEST_ENGINE),
    ):
        if parsed(version) < lowest:
            needed = ".".join(map(str, lowest))
            sys.exit(f"compose-test: this is {name} {version}. It needs {needed} or later.")


def parsed(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
