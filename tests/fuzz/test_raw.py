"""A real gunicorn takes whatever comes on a connection, and goes on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.checkout import copy_project
from tests.fuzz.options import FEW, REQUESTS, SEED
from tests.fuzz.raw import exchange, requests
from tests.keys import SECRET_KEY
from tests.processes import Tidy
from tests.sites import Site, collect_static, serving

#: Of all requests, so many go to it.
SHARE = 20

#: What the web server itself may answer: it does not know this encoding, or version of HTTP.
NOT_SPOKEN = {b"501", b"505"}

STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)

#: What it may grow by, however many requests it has had, once it is warm (kB).
GROWTH_KB = 30_000


@dataclass
class Served:
    """Attributes:
    site: what gunicorn serves at its port, with one worker.
    socket: where it serves it as well.
    folder: the project's.
    """

    site: Site
    socket: Path
    folder: Path

    def memory_kb(self) -> int:
        """Return how much memory the worker has."""
        master = self.site.process.popen.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
        assert found
        return int(found[1])


@pytest.fixture
def served(tmp_path: Path, checkout: Path, migrated_database: str, valkey: str) -> Iterator[Served]:
    folder = copy_project(tmp_path / "tidy", checkout)
    values = {
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": migrated_database,
        "REDIS_URL": valkey,
        "DJANGO_HTTPS": "false",
    }
    options = ("--workers=1", "--threads=4", f"--bind=unix:{tmp_path}/socket")
    tidy = Tidy(folder, values)
    collect_static(tidy)
    with serving(tidy, tmp_path / "log", *options) as site:
        yield Served(site, tmp_path / "socket", folder)


@pytest.mark.e2e
def test_gunicorn_answers_or_hangs_up_and_goes_on(served: Served) -> None:
    once = max(REQUESTS, FEW) // SHARE

    def send(number: int) -> None:
        @seed(SEED + number)
        @settings(
            max_examples=once // 2,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(sent=requests())
        def check(sent: bytes) -> None:
            received = exchange(served.site.port, sent)
            for status in STATUS.findall(received):
                assert status < b"500" or status in NOT_SPOKEN, received[:500]
            for inside in ("Traceback", "site-packages", str(served.folder), "fuzzed-site"):
                assert inside.encode() not in received, received[:500]

        check()

    send(0)
    warm = served.memory_kb()
    send(1)
    assert served.memory_kb() - warm < GROWTH_KB
    assert served.site.ask("/livez").status == 200


@pytest.mark.e2e
def test_gunicorn_takes_no_path_and_no_scheme_from_a_visitors_headers(served: Served) -> None:
    made_up = b"SCRIPT_NAME: /evil\r\nPATH_INFO: /livez\r\nX-Forwarded-Proto: https\r\n"
    asked = b"GET /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n%bConnection: close\r\n\r\n"
    for address in (served.site.port, served.socket):
        received = exchange(address, asked % made_up)
        assert received.startswith(b"HTTP/1.1 200 "), received[:500]
        assert b'href="/accounts/signup/' in received
        assert b"Strict-Transport-Security" not in received
        assert b"evil" not in received
