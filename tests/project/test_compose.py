"""What docker-compose.yml and the Dockerfile promise to whoever runs Tidy with them."""

import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class

from project.healthcheck import ADDRESS
from tests.checkout import ROOT
from tests.env_example import FOR_COMPOSE, examples
from tests.healthchecks import healthcheck

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUNICORN_CONF = (ROOT / "gunicorn.conf.py").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

SERVERS = {"postgres", "valkey"}
PROCESSES = {"web", "worker", "scheduler"}
OURS = PROCESSES | {"migrate"}
#: Those that do one thing and end.
ONCE = {"roles", "migrate"}

#: Where the containers find their secrets.
SECRETS = "/run/secrets/"


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def option(command: list[str], name: str) -> str:
    """Return the value of an option: the rest of its word, or the next word."""
    for word, following in zip_longest(command, command[1:], fillvalue=""):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    raise AssertionError(f"{name} is not in {command}")


def words_of_valkey() -> list[str]:
    """Return the words of the server's command, which a shell runs to read the password."""
    *_, script = SERVICES["valkey"]["command"]
    line = next(line for line in script.splitlines() if "valkey-server" in line)
    return shlex.split(line)


def serving_command() -> list[str]:
    """Return the image's default command."""
    _, _, command = DOCKERFILE.rpartition("CMD ")
    words: list[str] = yaml.safe_load(command.replace("\\\n", ""))
    return words


def test_services_are_the_servers_and_our_processes() -> None:
    assert set(SERVICES) == SERVERS | OURS | ONCE | {"proxy"}


# Secrets and settings


def secret(name: str) -> bool:
    """Say whether a variable's value may be, or may hold, a password."""
    return bool(re.search("KEY|PASSWORD|SECRET|TOKEN|EMAIL_URL|DSN|HEADERS|WEBHOOK|CHECK_IN", name))


def test_secrets_come_from_files_that_each_service_mounts() -> None:
    mounted = set()
    for service, content in SERVICES.items():
        for name, value in content.get("environment", {}).items():
            if secret(name):
                assert name.endswith("_FILE"), (service, name)
                assert value.removeprefix(SECRETS) in content["secrets"], (service, name)
        mounted |= set(content.get("secrets", []))
    assert mounted == set(COMPOSE["secrets"])
    for name, where in COMPOSE["secrets"].items():
        assert where == {"file": f"./secrets/{name}"}
    assert not re.search(r"://\S*:\S*@", COMPOSE_TEXT)


def test_secrets_are_made_once_and_are_good(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make = [ROOT / "deploy/secrets.sh", folder]
    subprocess.run(make, check=True)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    required = {name: value for name, value in made.items() if value}
    # These get values of their owner's, or none.
    optional = {name for name in made if re.match("email|alert|metrics|sentry|otel", name)}
    assert set(required) == set(made) - optional
    assert len(set(required.values())) == len(required)
    assert all(re.fullmatch("[A-Za-z0-9]{64}", value) for value in required.values())
    assert folder.stat().st_mode & 0o777 == 0o700

    (folder / "redis_password").unlink()
    subprocess.run(make, check=True)
    again = {file.name: file.read_text() for file in folder.iterdir()}
    assert again.pop("redis_password") != made.pop("redis_password")
    assert again == made


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_reaches_our_processes(name: str) -> None:
    given = set(SERVICES[name]["environment"]) - {"GUNICORN_CMD_ARGS"}
    assert {name.removesuffix("_FILE") for name in given} == set(examples()) - FOR_COMPOSE


def test_optional_settings_are_handed_on_only_where_they_are_set() -> None:
    # A variable that is there but empty would stop the program: no number, no time zone.
    environment = SERVICES["web"]["environment"]
    for name in ("DJANGO_HTTPS", "TIME_ZONE", "TODO_KEEP_COMPLETED_DAYS", "TODO_SWEEP_BATCH_SIZE"):
        assert environment[name] is None


def test_debug_is_off_whatever_a_developers_env_file_says() -> None:
    assert SERVICES["web"]["environment"]["DJANGO_DEBUG"] == "false"


def test_env_example_names_every_variable_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    used |= set(re.findall(r"^ARG (\w+_IMAGE|TIDY_\w+)", DOCKERFILE, re.MULTILINE))
    assert FOR_COMPOSE <= used <= set(examples())


# Starting and stopping


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_every_service_that_stays_is_watched_and_restarted(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} < set(healthcheck)


def test_migrations_run_once_before_our_processes() -> None:
    assert all(SERVICES[name]["restart"] == "no" for name in ONCE)
    for name in OURS:
        waited_for = {
            other: wait["condition"] for other, wait in SERVICES[name]["depends_on"].items()
        }
        assert waited_for.pop("postgres") == "service_healthy"
        if name == "migrate":
            assert waited_for.pop("roles") == "service_completed_successfully"
        else:
            assert waited_for.pop("valkey") == "service_healthy"
            assert waited_for.pop("migrate") == "service_completed_successfully"
        assert not waited_for


def test_worker_and_web_may_finish_before_they_are_killed() -> None:
    timeout = int(option(SERVICES["worker"]["command"], "--worker-shutdown-timeout"))
    # Dramatiq's workers look for the signal once a second, and close their connections after.
    assert seconds(SERVICES["worker"]["stop_grace_period"]) * 1000 >= timeout + 5_000
    times = re.findall(r"^(?:graceful_timeout|DRAIN_SECONDS) = (\d+)$", GUNICORN_CONF, re.MULTILINE)
    assert len(times) == 2
    assert seconds(SERVICES["web"]["stop_grace_period"]) >= sum(map(int, times)) + 5


@pytest.mark.parametrize("name", ["migrate", "worker", "scheduler"])
def test_commands_are_there_and_take_these_options(name: str) -> None:
    _, _, command_name, *arguments = SERVICES[name]["command"]
    found = load_command_class(get_commands()[command_name], command_name)
    found.create_parser("manage.py", command_name).parse_args(arguments)


def test_data_outlives_the_containers() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]
    words = words_of_valkey()
    assert option(words, "--appendonly") == "yes"
    assert option(words, "--maxmemory-policy") == "noeviction"
    # A snapshot that fails stops all writes, and the file above has all that it would have.
    assert option(words, "--save") == ""


# Health checks


def test_each_replica_is_asked_about_itself(tmp_path: Path, checkout: Path) -> None:
    checks = {name: SERVICES[name]["healthcheck"]["test"] for name in PROCESSES}
    for name, check in checks.items():
        assert check[:5] == ["CMD", "python", "-m", "project.healthcheck", name]
        # Each takes what follows: nothing is there, so it says so in one line.
        missing = [str(tmp_path / "missing")] if check[5:] else ["127.0.0.1:9"]
        assert healthcheck(checkout, name, *missing).startswith("unhealthy: ")
    assert option(SERVICES["worker"]["command"], "--alive-folder") == checks["worker"][5]
    assert option(SERVICES["scheduler"]["command"], "--alive-file") == checks["scheduler"][5]
    assert option(serving_command(), "--bind").endswith(ADDRESS.rpartition(":")[2])


# Who may reach and do what


def test_only_the_proxy_is_reachable_and_from_this_machine_alone() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy"}
    assert SERVICES["proxy"]["ports"] == ["${TIDY_ADDRESS:-127.0.0.1:8000}:8000"]
    assert examples()["TIDY_ADDRESS"].value == "127.0.0.1:8000"
    assert option(serving_command(), "--bind") == "0.0.0.0:8000"


def test_networks_keep_apart_who_has_no_business_with_another() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks["proxy"] == {"front"}
    assert all(networks[name] == {"back"} for name in SERVERS | ONCE)
    assert {name for name in SERVICES if "front" in networks[name]} == {"proxy", "web"}
    assert COMPOSE["networks"]["back"] == {"internal": True}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["driver"] == "local"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"memory", "cpus", "pids"}
    # More than a machine has is refused by the engine.
    assert float(limits["cpus"]) <= 1
    if name in OURS:
        users = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    else:
        users = re.findall(r"^\d+", service["user"])
    assert len(users) == 1
    assert users != ["0"]


def test_broker_keeps_clear_of_its_limit() -> None:
    limit = SERVICES["valkey"]["deploy"]["resources"]["limits"]["memory"]
    used = option(words_of_valkey(), "--maxmemory")
    # In megabytes. While it writes its file anew, changes are in memory twice.
    assert int(limit.removesuffix("m")) > 2 * int(used.removesuffix("mb"))


def test_processes_own_nothing_in_the_database() -> None:
    urls = {name: SERVICES[name]["environment"]["DATABASE_URL"] for name in OURS}
    owner = SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    assert f"//{owner}@" in urls.pop("migrate")
    assert all("//tidy_app@" in url for url in urls.values())
    roles = (ROOT / "deploy/roles.sql").read_text()
    assert "CREATE ROLE tidy_app" in roles
    assert "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS" in roles
    for name in PROCESSES | {"proxy", "valkey"}:
        assert "postgres_password" not in SERVICES[name].get("secrets", [])


# The image


def test_one_image_is_built_once() -> None:
    assert {name for name, service in SERVICES.items() if "build" in service} == {"migrate"}
    assert {SERVICES[name]["image"] for name in OURS} == {"${TIDY_IMAGE:-tidy}"}


def test_images_of_others_are_pinned_and_can_be_replaced() -> None:
    for name in set(SERVICES) - OURS:
        variable = "POSTGRES" if name == "roles" else name.upper()
        pattern = rf"\$\{{{variable}_IMAGE:-[\w./-]+:[\w.-]+@sha256:[0-9a-f]{{64}}\}}"
        assert re.fullmatch(pattern, SERVICES[name]["image"]), name
    assert re.search(
        r"^ARG PYTHON_IMAGE=python:3\.13\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE
    )
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    assert SERVICES["migrate"]["build"]["args"] == {"PYTHON_IMAGE": None, "TIDY_EXTRAS": None}


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
