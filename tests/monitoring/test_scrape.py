"""A real Prometheus looks at a real Tidy."""

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.monitoring.files import named_metrics, queries, rules
from tests.monitoring.running import TOKEN, Prometheus, get, gunicorn, prometheus
from tests.processes import Process, Tidy, wait_until

pytestmark = pytest.mark.e2e

#: The requests that were redirected to the log-in, as a scrape says.
REDIRECTED = re.compile(
    r'^tidy_http_requests_total\{method="GET",route="/trash/",status="3xx"\} (\S+)$', re.MULTILINE
)


def scrape(port: int) -> str:
    status, text = get(port, "/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200
    return text


def names_in(text: str) -> set[str]:
    return {sample.name for family in parse(text) for sample in family.samples}


def test_prometheus_reads_every_metric_that_rules_and_dashboard_name(
    tidy: Tidy, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        worker = stack.enter_context(tidy.start("rundramatiq", "--processes=1", "--threads=2"))
        scheduler = stack.enter_context(tidy.start("runscheduler"))
        web, port = stack.enter_context(gunicorn(tidy, tmp_path / "web.log"))
        running = stack.enter_context(prometheus(tmp_path, [port]))
        worker.wait_for("Worker process is ready")
        scheduler.wait_for("scheduler started")
        for _ in range(3):
            assert get(port, "/trash/", Host="localhost")[0] == 302

        missing = named_metrics() - names_in(scrape(port)) - {"tidy_http_request_duration_seconds"}
        assert not missing
        assert_all_is_read(running)
        assert_panels_have_data(running)
        assert len(running.ask("rules")["groups"][0]["rules"]) == len(rules())
        assert running.alerts("firing") == set(), running.problem()
        assert "Traceback" not in web.output()


def assert_all_is_read(running: Prometheus) -> None:
    """Check that it has looked, and that all parts were read, when the processes have started."""
    wait_until(
        lambda: [value for _, value in running.query("tidy_verdict")] == [1],
        seconds=30,
        otherwise=lambda: f"{running.query('tidy_problems > 0')}\n{running.problem()}",
    )
    assert running.query("up") == [({**running.query("up")[0][0], "job": "tidy"}, 1)]
    wait_until(
        lambda: {value for _, value in running.query("tidy_scrape_part_success")} == {1},
        seconds=20,
        otherwise=lambda: f"{running.query('tidy_scrape_part_duration_seconds')}",
    )


def assert_panels_have_data(running: Prometheus) -> None:
    """Check that Prometheus understands each query of the dashboard, and finds something."""
    waiting = dict.fromkeys(queries())

    def find() -> bool:
        for panel, query in list(waiting):
            if running.query(query):
                del waiting[panel, query]
        return not waiting

    wait_until(find, seconds=20, otherwise=lambda: f"no data: {list(waiting)}")


def test_no_count_is_lost_and_no_file_left_when_web_processes_are_killed(
    tidy: Tidy, tmp_path: Path
) -> None:
    with gunicorn(tidy, tmp_path / "web.log") as (web, port):
        for number in (1, 2):
            for _ in range(20):
                assert get(port, "/trash/", Host="localhost")[0] == 302
            assert redirected(port) == 20 * number
            for pid in children(web):
                os.kill(pid, signal.SIGKILL)
            assert_started_again(web, port, number)
            assert redirected(port) == 20 * number
        assert_files_are_those_of(2, tmp_path / "tmp")


def redirected(port: int) -> int:
    """Return how often the log-in was asked for, as each process says alike."""
    said = {float(found) for _ in range(4) for found in REDIRECTED.findall(scrape(port))}
    (number,) = said
    return int(number)


def children(web: Process) -> list[int]:
    listed = Path(f"/proc/{web.popen.pid}/task/{web.popen.pid}/children")
    return [int(pid) for pid in listed.read_text().split()]


def assert_started_again(web: Process, port: int, times: int) -> None:
    wait_until(
        lambda: web.output().count("Booting worker") == 2 * (times + 1),
        seconds=30,
        otherwise=web.output,
    )
    wait_until(lambda: get(port, "/livez")[0] == 200, seconds=30, otherwise=web.output)


def assert_files_are_those_of(processes: int, temporary: Path) -> None:
    """Check what is left in the folder of the counts: of each kind, one for each process."""
    (base,) = temporary.glob("tidy-metrics-*")
    (server,) = (path for path in base.iterdir() if path.is_dir())
    kinds = ("*.lock", "counter_*.db", "histogram_*.db")
    for kind in kinds:
        assert 1 <= len(list(server.glob(kind))) <= processes
    assert len(list(server.iterdir())) <= processes * len(kinds)
