"""What docker-compose.yml and the Dockerfile promise to whoever runs Tidy with them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class

from tests.checkout import ROOT
from tests.env_example import FOR_COMPOSE, examples

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUNICORN_CONF = (ROOT / "gunicorn.conf.py").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_TEXT)["services"]

SERVERS = {"postgres", "valkey"}
PROCESSES = {"web", "worker", "scheduler"}
OURS = PROCESSES | {"migrate"}


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def serving_command() -> list[str]:
    """Return the image's default command."""
    _, _, command = DOCKERFILE.rpartition("CMD ")
    words: list[str] = yaml.safe_load(command.replace("\\\n", ""))
    return words


def test_services_are_the_servers_and_our_processes() -> None:
    assert set(SERVICES) == SERVERS | OURS


# Secrets and settings


def test_no_secret_has_a_usable_default() -> None:
    secrets = {"DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "POSTGRES_PASSWORD"}
    used = re.findall(r"\$\{(\w+)(\S{0,2})", COMPOSE_TEXT)
    assert secrets <= {name for name, _ in used}
    for name, condition in used:
        assert name not in secrets or condition == ":?", name
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|SECRET|TOKEN", name):
                assert value.startswith("${"), name
    assert not re.search(r"://\S*:\S*@", COMPOSE_TEXT)


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_reaches_our_processes(name: str) -> None:
    assert set(SERVICES[name]["environment"]) == set(examples()) - FOR_COMPOSE | {"PGPASSWORD"}


def test_optional_settings_are_handed_on_only_where_they_are_set() -> None:
    # A variable that is there but empty would stop the program: no number, no time zone.
    environment = SERVICES["web"]["environment"]
    for name in ("DJANGO_HTTPS", "TIME_ZONE", "TODO_KEEP_COMPLETED_DAYS", "TODO_SWEEP_BATCH_SIZE"):
        assert environment[name] is None


def test_debug_is_off_whatever_a_developers_env_file_says() -> None:
    assert SERVICES["web"]["environment"]["DJANGO_DEBUG"] == "false"


def test_env_example_names_every_variable_used() -> None:
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) <= set(examples())


# Starting and stopping


@pytest.mark.parametrize("name", sorted(SERVERS | PROCESSES))
def test_every_service_that_stays_is_watched_and_restarted(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} < set(healthcheck)


def test_migrations_run_once_before_our_processes() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    for name in OURS:
        waited_for = {
            other: wait["condition"] for other, wait in SERVICES[name]["depends_on"].items()
        }
        assert waited_for.pop("postgres") == "service_healthy"
        if name != "migrate":
            assert waited_for.pop("valkey") == "service_healthy"
            assert waited_for.pop("migrate") == "service_completed_successfully"
        assert not waited_for


def test_worker_and_web_may_finish_before_they_are_killed() -> None:
    timeout = int(option(SERVICES["worker"]["command"], "--worker-shutdown-timeout"))
    # Dramatiq's workers look for the signal once a second, and close their connections after.
    assert seconds(SERVICES["worker"]["stop_grace_period"]) * 1000 >= timeout + 5_000
    (timeout,) = re.findall(r"^graceful_timeout = (\d+)$", GUNICORN_CONF, re.MULTILINE)
    assert seconds(SERVICES["web"]["stop_grace_period"]) >= int(timeout) + 5


@pytest.mark.parametrize("name", ["migrate", "worker", "scheduler"])
def test_commands_are_there_and_take_these_options(name: str) -> None:
    commands = [SERVICES[name]["command"], SERVICES[name].get("healthcheck", {}).get("test", [])]
    for command in commands:
        if "manage.py" in command:
            command_name, *arguments = command[command.index("manage.py") + 1 :]
            found = load_command_class(get_commands()[command_name], command_name)
            found.create_parser("manage.py", command_name).parse_args(arguments)


def test_data_outlives_the_containers() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]
    assert option(SERVICES["valkey"]["command"], "--appendonly") == "yes"
    assert option(SERVICES["valkey"]["command"], "--maxmemory-policy") == "noeviction"


# Health checks


@contextmanager
def web_answering(status: int) -> Iterator[int]:
    """Run a web server whose /readyz answers with `status`; yield its port."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def exit_code_of_check(name: str, replace: str, by: str) -> int:
    """Run the Python of a service's health check with one value in it replaced."""
    *_, code = SERVICES[name]["healthcheck"]["test"]
    assert replace in code
    command = [sys.executable, "-c", code.replace(replace, by)]
    environment = {"http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(command, capture_output=True, check=False, env=environment).returncode


def test_web_is_healthy_when_it_is_ready() -> None:
    for status, exit_code in ((200, 0), (503, 1)):
        with web_answering(status) as port:
            assert exit_code_of_check("web", "8000", str(port)) == exit_code


def test_scheduler_is_healthy_while_its_clock_touches_the_file(tmp_path: Path) -> None:
    path = option(SERVICES["scheduler"]["command"], "--alive-file")
    file = tmp_path / "alive"
    assert exit_code_of_check("scheduler", path, str(file)) == 1
    file.touch()
    assert exit_code_of_check("scheduler", path, str(file)) == 0
    os.utime(file, times=(time.time() - 70, time.time() - 70))
    assert exit_code_of_check("scheduler", path, str(file)) == 1


def test_worker_is_healthy_when_it_answers_a_ping() -> None:
    healthcheck = SERVICES["worker"]["healthcheck"]
    assert healthcheck["test"][1:4] == ["python", "manage.py", "ping"]
    assert int(option(healthcheck["test"], "--wait")) < seconds(healthcheck["timeout"])


# Who may reach and do what


def test_only_the_site_is_reachable_and_from_this_machine_alone() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"web"}
    assert SERVICES["web"]["ports"] == ["${TIDY_ADDRESS:-127.0.0.1:8000}:8000"]
    assert examples()["TIDY_ADDRESS"].value == "127.0.0.1:8000"
    assert option(serving_command(), "--bind") == "0.0.0.0:8000"


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_processes_have_no_privileges(name: str) -> None:
    assert SERVICES[name]["image"] == "tidy"
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in SERVICES[name]["security_opt"]
    users = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert len(users) == 1
    assert users != ["0"]


# The image


def test_image_is_made_with_the_makefiles_uv() -> None:
    (version,) = re.findall(r"^ARG UV_VERSION=(\S+)", DOCKERFILE, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert f"UV_VERSION := {version}\n" in makefile


def test_image_serves_the_site_unless_told_otherwise(checkout: Path) -> None:
    program, *arguments = serving_command()
    completed = subprocess.run(
        [sys.executable, "-m", program, *arguments, "--check-config"],
        cwd=checkout,
        env={"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "made-up"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr


def test_server_keeps_no_log_of_addresses_that_carry_secrets() -> None:
    assert "accesslog = None" in GUNICORN_CONF
    assert not [word for word in serving_command() if "access-log" in word]


def test_image_has_the_projects_apps_and_no_files_that_nobody_chose() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    chosen = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    apps = {f"{app}/" for app in settings.INSTALLED_APPS if (ROOT / app).is_dir()}
    assert chosen == apps | {"gunicorn.conf.py", "manage.py", "pyproject.toml", "uv.lock"}
