"""`manage.py dev` as a newcomer runs it: in a fresh copy of the project, with nothing set."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.processes import Tidy, wait_until
from tests.running_dev import (
    assert_nothing_runs_in,
    get,
    processes_in,
    responds,
    said,
    todos,
    wait_until_up,
)
from tests.seam.injection import Value

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def run_as_pasted(tidy: Tidy, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the banner in a second terminal."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=tidy.folder,
        env=tidy.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_one_command_runs_all_of_tidy_and_one_signal_stops_it(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert get(port, "/livez") == 200
        assert get(port, "/readyz") == 200
        assert get(port, "/accounts/login/") == 200

        # What the banner says is true: the other commands work beside it with nothing to set.
        pasted = run_as_pasted(tidy, f"{said(dev, 'Sweep now')} --dry-run")
        assert (pasted.returncode, pasted.stderr) == (0, "")
        assert tidy.manage("ping", "--wait=30").returncode == 0
        expected = json.loads(tidy.manage("cleanup_todos", "--dry-run", "--json").stdout)
        swept = json.loads(tidy.manage("cleanup_todos", "--enqueue", "--wait=30", "--json").stdout)
        assert {**swept, "dry_run": True} == expected
        assert swept["todos_deleted"] > 1_000
        assert todos(tidy) == 5_000 - swept["todos_deleted"]

        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)

    output = dev.output()
    assert "Traceback" not in output
    assert f"http://localhost:{port}/admin/" in output
    for name in ("valkey", "worker", "scheduler", "web"):
        assert re.search(rf"^{name} *│ ", output, re.MULTILINE)
    assert (tidy.folder / ".env").stat().st_mode & 0o777 == 0o600


def test_without_anyone_to_log_in_as_the_banner_says_how_to_make_one(tidy: Tidy, port: int) -> None:
    assert tidy.manage("dev", "--port=0").returncode == 1  # Writes .env, as the first start does.
    assert tidy.manage("migrate").returncode == 0
    alone = "from accounts.models import User; User.objects.create_user('alice')"
    assert tidy.manage("shell", "-v0", "-c", alone).returncode == 0
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert dev.stop() == 0
    assert "/admin/ nobody yet: " in said(dev, "Admin")
    assert todos(tidy) == 0


def test_first_start_names_an_admin_who_can_log_in_and_the_second_keeps_everything(
    tidy: Tidy, port: int
) -> None:
    address = str(tidy.folder / "var" / "valkey" / "valkey.sock")
    with (
        tidy.start("dev", f"--port={port}") as dev,
        redis.Redis(unix_socket_path=address) as broker,
    ):
        wait_until_up(dev)
        broker.set("kept", "yes")
        assert dev.stop() == 0
    found = re.fullmatch(r"(\S+) \(of both; shown this once\)", said(dev, "Password"))
    assert found, dev.output()
    assert said(dev, "Admin") == f"http://localhost:{port}/admin/ as admin"
    person = said(dev, "Todos").removeprefix(f"http://localhost:{port}/ as ")
    assert said(dev, "New password").endswith("manage.py changepassword admin")
    assert can_log_in(tidy, "admin", found[1])
    assert can_log_in(tidy, person, found[1], staff=False)
    assert tidy.manage("cleanup_todos").returncode == 0
    left = todos(tidy)

    with (
        tidy.start("dev", f"--port={port}") as dev,
        redis.Redis(unix_socket_path=address) as broker,
    ):
        wait_until_up(dev)
        assert broker.get("kept") == b"yes"
        assert dev.stop() == 0

    assert 0 < left < 5_000
    assert todos(tidy) == left
    assert said(dev, "Admin").endswith("/admin/ as admin")
    assert said(dev, "Todos").endswith(f"/ as {person}")
    assert not re.search(r"^  Password", dev.output(), re.MULTILINE)
    assert "changepassword admin" in said(dev, "New password")


def can_log_in(tidy: Tidy, name: str, password: str, *, staff: bool = True) -> bool:
    """Say whether an administrator, or a person with todos, has this password."""
    check = tidy.manage(
        "shell",
        "-v0",
        "-c",
        "from django.contrib.auth import authenticate\n"
        f"user = authenticate(username={name!r}, password={password!r})\n"
        "print(user.is_staff, user.is_superuser)",
    )
    return check.stdout == f"{staff} {staff}\n"


def test_site_on_every_address_names_one_that_opens_and_redis_url_the_broker_that_is_used(
    tidy: Tidy, port: int, valkey: str
) -> None:
    tidy.settings = {"REDIS_URL": valkey}
    with tidy.start("dev", "--host=0.0.0.0", f"--port={port}") as dev:
        wait_until_up(dev)
        assert said(dev, "Todos").startswith(f"http://localhost:{port}/")
        assert get(port, "/accounts/login/") == 200
        assert get(port, "/readyz") == 200
        # No broker is started.
        assert not [line for line in processes_in(tidy.folder).values() if "valkey" in line]
        assert dev.stop() == 0


NEW_TASK = {
    "names.py": """
    GREET = "greet"
""",
    "actors.py": """
@dramatiq.actor(actor_name=TaskName.GREET, max_retries=0, time_limit=10_000)
def greet() -> None:
    print("good morning", flush=True)
""",
    "schedules.py": """
SCHEDULES = (*SCHEDULES, DefaultSchedule(task=TaskName.GREET, every=2))
""",
}


def test_task_that_is_added_meanwhile_runs_and_a_mistake_on_the_way_ends_nothing(
    tidy: Tidy, port: int
) -> None:
    schedules = tidy.folder / "tasks" / "schedules.py"
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        for name in ("names.py", "actors.py"):
            append(tidy.folder / "tasks" / name, NEW_TASK[name])
        original = schedules.read_text()
        schedules.write_text(f"{original}SCHEDULES = (\n")
        fault = "TASKS_SCHEDULES cannot be imported: SyntaxError: '(' was never closed"
        for program in ("web      ", "worker   ", "scheduler"):
            dev.wait_for(f"{program}│ ?: (tasks.E001) {fault}")
        assert dev.popen.poll() is None

        schedules.write_text(original + NEW_TASK["schedules.py"])
        dev.wait_for("worker   │ good morning", times=2, seconds=60)
        wait_until(lambda: responds(port), seconds=20, otherwise=dev.output)
        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)


@pytest.mark.parametrize("named", ["", "https://tidy.example.org"])
def test_mails_lead_to_where_the_site_listens_unless_the_settings_name_an_address(
    tidy: Tidy, port: int, named: str
) -> None:
    tidy.settings = {"ALERT_EMAILS": "ops@example.org"}
    tidy.inject(Value("tasks.engine.alerts.episodes:LASTING_SECONDS", 1))
    (tidy.folder / ".env").write_text(
        f"DJANGO_DEBUG=true\nDJANGO_SECRET_KEY=test\nSITE_URL={named}\n", encoding="utf-8"
    )
    site = named or f"http://localhost:{port}"
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert said(dev, "Todos").startswith(f"http://localhost:{port}/")
        assert tidy.manage("pause_queue", "default", "--note=a test").returncode == 0
        # In development, mails are shown in the terminal.
        dev.wait_for(f"The console: {site}/admin/background/")
        assert dev.stop() == 0


def test_make_run_takes_a_port(tidy: Tidy) -> None:
    # `--dry-run` prints the commands; the environment that they need is taken to be there.
    command = ["make", "--dry-run", "--assume-old=.venv", "run"]
    for port, expected in ([], "manage.py dev"), (["PORT=8001"], "manage.py dev --port 8001"):
        printed = subprocess.run(
            [*command, *port],
            cwd=tidy.folder,
            env=tidy.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed.splitlines()[-1].rstrip().endswith(expected)
