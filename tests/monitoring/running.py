"""A web server as it is deployed, and a Prometheus that looks at it."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.monitoring.files import FOLDER
from tests.monitoring.prometheus import folder as prometheus_folder
from tests.processes import Process, Tidy, wait_until
from tests.servers import free_port
from tests.sites import serving

TOKEN = "made-up-0123456789-for-these-tests"


def settings_of(temporary: Path) -> dict[str, str]:
    """Return settings for production, with metrics whose counts are kept in a folder."""
    return {
        "DJANGO_SECRET_KEY": "only-for-these-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "DJANGO_HTTPS": "false",
        "METRICS_TOKEN": TOKEN,
        "TMPDIR": str(temporary),
    }


@contextmanager
def gunicorn(tidy: Tidy, log: Path, *, port: int | None = None) -> Iterator[tuple[Process, int]]:
    """Serve the site with two processes until the block ends; yield the server and its port."""
    options = ("--workers=2", "--threads=4", "--graceful-timeout=2")
    with serving(tidy, log, *options, port=port) as site:
        yield site.process, site.port


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Return the status and the text of a page; 0 while nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()


@dataclass
class Prometheus:
    """A running one.

    Attributes:
        targets: the file with the web servers that it looks at.
    """

    port: int
    targets: Path
    log: Path

    def look_at(self, ports: Sequence[int]) -> None:
        """Have it look at the web servers on these ports and no others."""
        found = [{"targets": [f"127.0.0.1:{port}" for port in ports]}] if ports else []
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps(found), encoding="utf-8")
        new.replace(self.targets)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what its API says."""
        status, text = get(self.port, f"/api/v1/{path}?{urlencode(parameters)}")
        answer = json.loads(text or "{}")
        assert (status, answer.get("status")) == (200, "success"), f"{parameters}: {text}"
        return answer["data"]

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Return the labels and the value of each series that an expression has now."""
        found = self.ask("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def alerts(self, state: str) -> set[str]:
        """Return the names of the alerts that are `pending` or `firing`."""
        found = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == state}

    def problem(self) -> str:
        """Return what its log says, for a failure."""
        return self.log.read_text(encoding="utf-8")[-3_000:]


@contextmanager
def prometheus(
    folder: Path, ports: Sequence[int], *, rules: Path = FOLDER / "rules.yml", seconds: int = 1
) -> Iterator[Prometheus]:
    """Run Prometheus until the block ends, with the configuration of the documentation.

    Only that is changed: how often it looks, which web servers there are, and where its files are.

    Args:
        folder: an existing one for its data.
        ports: of the web servers.
        rules: the file with the alert rules.
        seconds: between two looks.
    """
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(config["global"], f"{seconds}s")
    config["rule_files"] = [str(rules)]
    (job,) = config["scrape_configs"]
    del job["static_configs"]
    job["file_sd_configs"] = [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}]
    token = folder / job["authorization"]["credentials_file"]
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config), encoding="utf-8")
    running = Prometheus(free_port(), folder / "targets.json", folder / "prometheus.log")
    running.look_at(ports)
    with (
        running.log.open("wb") as log,
        subprocess.Popen(
            [
                str(prometheus_folder() / "prometheus"),
                f"--config.file={written}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{running.port}",
                "--log.level=warn",
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as popen,
    ):
        try:
            wait_until(
                lambda: get(running.port, "/-/ready")[0] == 200,
                seconds=30,
                otherwise=running.problem,
            )
            yield running
        finally:
            popen.terminate()
            popen.wait(20)
