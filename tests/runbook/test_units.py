"""The units in docs/systemd: systemd takes them, and their services start and stop as they say."""

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_project
from tests.processes import wait_until
from tests.runbook.host import Host, new_host
from tests.runbook.page import blocks
from tests.runbook.services import Failed, Services
from tests.runbook.units import Unit, read_unit

UNITS = ROOT / "docs/systemd"
SERVICES = ["tidy-web@1.service", "tidy-worker.service", "tidy-scheduler.service"]

#: How exposed a service may be by systemd's account, in tenths of ten.
MOST_EXPOSED = 20


def unit(name: str) -> Unit:
    return read_unit(UNITS, name)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The units as an operator's systemd sees them, and an instance of each template."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    for file in UNITS.iterdir():
        shutil.copy(file, tmp_path / file.name.replace("@.", "@1."))
    return sorted(str(file) for file in tmp_path.iterdir())


def test_systemd_finds_no_fault_in_the_units(files: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files],  # noqa: S607  (as the PATH finds it)
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_services_are_shielded(files: list[str]) -> None:
    services = [file for file in files if file.endswith(".service")]
    assert len(services) == 4
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", *services],  # noqa: S607  (as the PATH finds it)
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze reads no files")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_main_process_is_told_to_stop(name: str) -> None:
    assert unit(name).one("KillMode") == "mixed"
    assert unit(name).one("Restart") == "always"
    # Otherwise systemd gives up on a service that has failed some times, and on its socket.
    assert unit(name).one("StartLimitIntervalSec") == "0"


def test_services_may_finish_before_they_are_killed() -> None:
    (command,) = unit("tidy-worker.service").commands("ExecStart")
    drain = int(command[command.index("--worker-shutdown-timeout") + 1]) / 1000
    # Dramatiq's main process ignores the signal for 30 s while a worker process starts.
    assert unit("tidy-worker.service").seconds("TimeoutStopSec") >= drain + 30 + 5
    gunicorn = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert unit("tidy-web@1.service").seconds("TimeoutStopSec") >= (
        gunicorn["DRAIN_SECONDS"] + gunicorn["graceful_timeout"] + 5
    )


def test_target_starts_and_stops_all_of_tidy() -> None:
    wanted = unit("tidy.target").words("Wants")
    assert set(wanted) == {"tidy-web.socket", "tidy-web@2.service", *SERVICES}
    for name in wanted:
        assert "tidy.target" in unit(name).words("PartOf")


# As processes


@pytest.fixture
def host() -> Iterator[Host]:
    """A host to which this checkout was copied, with the Python that runs the tests."""
    with new_host() as host:
        code = host.root / "srv/tidy/versions/this"
        copy_project(code)
        (code / ".venv").symlink_to(sys.prefix)
        (host.root / "srv/tidy/static").mkdir()
        (code / ".env").symlink_to(host.root / "srv/tidy/.env")
        host.variables = {"VERSION": "this", "SITE": "tidy.example.org"}
        yield host


@pytest.mark.e2e
def test_services_start_are_healthy_and_stop_as_the_page_says(host: Host) -> None:
    """What installs programs and fetches the code is left to `make runbook-test`."""
    elsewhere = ("apt-get install", "git ")
    commands = [
        code for names, _, code in blocks() if "deploy" in names and not code.startswith(elsewhere)
    ]
    assert len(commands) == len(blocks_of("deploy")) - 2
    host.execute('cd "/srv/tidy/versions/$VERSION"\n' + "".join(commands))
    assert not host.services.ended()
    assert set(host.services.running) == {"tidy-web@2.service", *SERVICES}

    # One instance is replaced while the other serves; then all stop.
    host.execute("systemctl restart tidy-web@1\nsystemctl stop tidy.target tidy-web.socket")
    assert not host.services.running
    assert not host.services.sockets
    assert host.services.badly_ended == []
    assert "Traceback" not in "".join(map(host.services.log_of, SERVICES))


def blocks_of(name: str) -> list[str]:
    return [code for names, _, code in blocks() if name in names]


# The stand-in for systemd notices what it is for


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    services = Services(tmp_path, {}, tmp_path)
    yield services
    services.stop_all()


def write(services: Services, text: str) -> None:
    (services.units / "one.service").write_text(f"TimeoutStopSec=1s\nKillMode=mixed\n{text}\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sleep 60 & trap exit TERM; touch ready; wait", "left processes behind"),
        ("trap : TERM; touch ready; while :; do sleep 0.1; done", "did not end in time"),
        ("trap 'exit 3' TERM; touch ready; while :; do sleep 0.1; done", "ended with 3"),
    ],
)
@pytest.mark.processes
def test_service_that_does_not_stop_cleanly_is_noticed(
    services: Services, tmp_path: Path, command: str, said: str
) -> None:
    write(services, f'WorkingDirectory={tmp_path}\nExecStart=/bin/sh -c "{command}"')
    services.start("one")
    # A signal before the trap would end it at once.
    wait_until((tmp_path / "ready").exists, seconds=20, otherwise=lambda: "the trap is not set")
    services.stop("one")
    assert any(said in line for line in services.badly_ended)


@pytest.mark.processes
def test_service_that_does_not_get_ready_is_noticed(services: Services) -> None:
    write(services, "Type=notify\nExecStart=/bin/true")
    with pytest.raises(Failed, match="did not get ready"):
        services.start("one")
