"""A copy of the project with its own Compose project: its containers, networks and volumes."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.checkout import ROOT
from tests.compose.engine import docker, inspect
from tests.servers import free_port

#: Services that stay, in the order in which they are put to the test.
SERVERS = ("valkey", "postgres")
STAYING = ("proxy", "web", "worker", "scheduler", *SERVERS)

DOCUMENT = ROOT / "docs/operations.md"


class Stack:
    """The stack of the project in a folder.

    Attributes:
        folder: the project's files, with `.env` and secrets/.
        port: where the proxy listens, on loopback.
    """

    def __init__(self, folder: Path, name: str, images: Mapping[str, str], **settings: str) -> None:
        self.folder = folder
        self.name = name
        self.port = free_port()
        self._environment = {
            **os.environ,
            **images,
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_PROGRESS": "quiet",
            "TIDY_IMAGE": f"{name}-image",
            "TIDY_ADDRESS": f"127.0.0.1:{self.port}",
            **settings,
        }

    def run(self, script: str, *, seconds: float = 900) -> str:
        """Run shell commands in the folder; return what they write, errors included.

        Raises:
            RuntimeError: they failed; with the end of that.
        """
        done = self.try_to(script, seconds=seconds)
        if done.returncode:
            raise RuntimeError(f"{script.strip().splitlines()[0]}: {done.stdout.strip()[-3000:]}")
        return done.stdout

    def try_to(self, script: str, *, seconds: float = 900) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607  (as the PATH finds it)
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )

    def documented(self, name: str) -> str:
        """Run the commands of docs/operations.md that stand after `<!-- compose: name -->`."""
        return self.run(documented(name))

    def manage(self, command: str) -> str:
        return self.run(f"docker compose exec -T worker python manage.py {command}")

    def containers(self, service: str = "") -> list[str]:
        """Return the ids of the containers that run, of one service or of all, oldest first."""
        listed = docker(
            *("ps", "--no-trunc", "--quiet", *self._filter()),
            *(["--filter", f"label=com.docker.compose.service={service}"] if service else []),
        )
        return listed.split()[::-1]

    def all_containers(self) -> list[str]:
        """Return the ids of all containers, of those that have ended too."""
        return docker("ps", "--all", "--no-trunc", "--quiet", *self._filter()).split()

    def names(self) -> list[str]:
        return docker("ps", "--format", "{{.Names}}", *self._filter()).split()

    def _filter(self) -> list[str]:
        return ["--filter", f"label=com.docker.compose.project={self.name}"]

    def sql(self, query: str) -> str:
        """Return what a query of the owner's gives, one row a line."""
        return docker(
            *("exec", self.containers("postgres")[0], "psql", "--username=tidy", "--tuples-only"),
            *("--no-align", "--set=ON_ERROR_STOP=1", f"--command={query}"),
        )

    def number(self, query: str) -> int:
        return int(self.sql(query) or 0)

    def tear_down(self) -> None:
        """Remove the project's containers, networks, volumes and image, and nobody else's."""
        self.try_to("docker compose --profile '*' down --volumes --timeout 10 --remove-orphans")
        for tag in ("latest", "previous"):
            docker("image", "rm", "--force", f"{self.name}-image:{tag}", check=False)


def documented(name: str) -> str:
    """Return the commands of docs/operations.md that stand after `<!-- compose: name -->`."""
    pattern = rf"<!-- compose: {re.escape(name)} -->\n```sh\n(.*?)```"
    (commands,) = re.findall(pattern, DOCUMENT.read_text(), re.DOTALL)
    return str(commands)


def health(container: str) -> str:
    """Return what the engine thinks of a container: healthy, unhealthy, starting, exited."""
    state = inspect(container)["State"]
    return str(state["Health"]["Status"] if state["Running"] else state["Status"])


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Wait for something; return how long it took (seconds).

    Raises:
        AssertionError: it did not become so.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.25)
    return time.monotonic() - began


def wait_for_health(container: str, state: str, *, seconds: float) -> float:
    what = f"{inspect(container)['Name'].removeprefix('/')} {state}"
    return wait_for(lambda: health(container) == state, seconds=seconds, what=what)
