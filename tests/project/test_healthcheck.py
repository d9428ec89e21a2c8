"""The health commands: each asks one replica, and costs next to nothing."""

import os
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tasks.engine.alive import prepare
from tests.checkout import ROOT
from tests.healthchecks import healthcheck


@contextmanager
def site_answering(**answers: int) -> Iterator[str]:
    """Run a web server that answers its probes with these; yield its address."""

    class Probes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.get(self.path.removeprefix("/"), 404))
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Probes) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_web_is_well_when_it_answers_and_ready_when_it_says_so() -> None:
    with site_answering(livez=200, readyz=503) as address:
        assert healthcheck(ROOT, "web", address) == ""
        assert "/readyz answers 503" in healthcheck(ROOT, "web", "--ready", address)
    with site_answering(livez=500, readyz=200) as address:
        assert "/livez answers 500" in healthcheck(ROOT, "web", address)
        assert healthcheck(ROOT, "web", "--ready", address) == ""
    assert "refused" in healthcheck(ROOT, "web", address)


def test_scheduler_is_well_while_it_touches_its_file(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert "No such file" in healthcheck(ROOT, "scheduler", file)
    file.touch()
    assert healthcheck(ROOT, "scheduler", file) == ""
    age(file, seconds=70)
    assert re.search(r" 7\d s ago", healthcheck(ROOT, "scheduler", file))


def test_process_that_froze_before_the_clock_was_set_back_is_not_well(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    file.touch()
    age(file, seconds=-3600)
    assert "later than now" in healthcheck(ROOT, "scheduler", file)


def test_worker_is_well_when_as_many_processes_are_as_it_was_started_with(tmp_path: Path) -> None:
    folder = tmp_path / "worker"
    assert "not the folder of a worker" in healthcheck(ROOT, "worker", folder)
    prepare(folder, 2)
    assert "0 of 2" in healthcheck(ROOT, "worker", folder)
    (folder / "11").touch()
    assert "1 of 2" in healthcheck(ROOT, "worker", folder)
    (folder / "12").touch()
    assert healthcheck(ROOT, "worker", folder) == ""
    age(folder / "11", seconds=61)
    complaint = healthcheck(ROOT, "worker", folder)
    assert "1 of 2" in complaint
    assert re.search(rf"{folder / '11'} was last touched 6\d s ago", complaint)


def test_worker_that_starts_forgets_the_processes_of_an_earlier_one(tmp_path: Path) -> None:
    prepare(tmp_path, 2)
    for pid in ("11", "12"):
        (tmp_path / pid).touch()
    prepare(tmp_path, 1)
    assert "0 of 1" in healthcheck(ROOT, "worker", tmp_path)


@pytest.mark.parametrize("kind", [(), ("worker",), ("database", "x")])
def test_wrong_words_are_refused(kind: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"usage: python -m project\.healthcheck"):
        healthcheck(ROOT, *kind)


def test_check_costs_a_fraction_of_a_second_of_cpu(tmp_path: Path) -> None:
    (tmp_path / "alive").touch()

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    for _ in range(3):
        assert healthcheck(ROOT, "scheduler", tmp_path / "alive") == ""
    # `manage.py` takes more than a second each time; on this machine at rest, this takes 0.1 s.
    assert (spent() - before) / 3 < 0.5


def age(file: Path, *, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, times=(then, then))
