"""What must not be seen, and what must not be done, in or from a container."""

import json

from tests.compose.engine import docker, inspect
from tests.compose.report import Report
from tests.compose.stack import STAYING, Stack, wait_for
from tests.compose.visitor import Visitor

#: What is refused, however it got there.
WEAK = (
    ("django_secret_key", "short", "DJANGO_SECRET_KEY"),
    ("database_password", "x", "DATABASE_PASSWORD"),
    ("redis_password", "x", "REDIS_PASSWORD"),
)

#: Those that Tidy makes for its servers.
CHANGED = ("postgres_password", "database_password", "redis_password")

#: Statements that change the schema, or what may be done to it.
FORBIDDEN = (
    "CREATE TABLE mine (id int)",
    "DROP TABLE todos_todo",
    "ALTER TABLE todos_todo ADD COLUMN mine int",
    "CREATE ROLE other",
    "ALTER ROLE tidy_app SUPERUSER",
    "GRANT tidy TO tidy_app",
    "COPY todos_todo TO PROGRAM 'cat'",
)


def look(stack: Stack, report: Report) -> None:
    """Look for secrets where they can be seen, and try what is not allowed."""
    secrets = [
        text for file in (stack.folder / "secrets").iterdir() if (text := file.read_text().strip())
    ]
    shown = docker("inspect", *stack.all_containers())
    shown += docker("history", "--no-trunc", f"{stack.name}-image")
    shown += docker("inspect", f"{stack.name}-image")
    shown += stack.run("docker compose config") + stack.run("docker compose logs")
    for container in stack.containers():
        shown += docker("top", container, "-eo", "pid,args")
    found = sum(secret in shown for secret in secrets)
    report.check(
        "secrets in inspect, image, config, logs and arguments",
        f"{found} of {len(secrets)} secrets in {len(shown):,} characters",
        holds=found == 0 and len(secrets) >= 4,
    )
    _rights_in_the_database(stack, report)
    _rights_of_containers(stack, report)
    _networks(stack, report)


def _rights_in_the_database(stack: Stack, report: Report) -> None:
    owner = stack.number("SELECT count(*) FROM pg_class WHERE relowner = 'tidy_app'::regrole")
    report.check("what the application's role owns", f"{owner} relations", holds=owner == 0)
    script = f"""
from django.db import connection
for statement in {FORBIDDEN!r}:
    try:
        connection.cursor().execute(statement)
    except Exception as error:
        print("refused", type(error.__cause__).__name__)
    else:
        print("DONE", statement)
"""
    (stack.folder / "forbidden.py").write_text(script)
    said = stack.run("docker compose exec -T worker python manage.py shell < forbidden.py")
    refused = said.count("refused InsufficientPrivilege")
    report.check(
        "changes of the schema refused to it",
        f"{refused} of {len(FORBIDDEN)}",
        holds=refused == len(FORBIDDEN) and "DONE" not in said,
    )


def _rights_of_containers(stack: Stack, report: Report) -> None:
    wrong = []
    for service in STAYING:
        for container in stack.containers(service):
            status = docker("exec", container, "cat", "/proc/1/status", "/proc/self/status")
            for line in status.splitlines():
                name, _, value = line.partition(":\t")
                if name in {"CapPrm", "CapEff", "CapBnd"} and int(value, 16):
                    wrong.append(f"{service} has {name}")
                if name == "NoNewPrivs" and value != "1":
                    wrong.append(f"{service} may gain privileges")
                if name == "Uid" and value.split()[0] == "0":
                    wrong.append(f"{service} is root")
            host = inspect(container)["HostConfig"]
            if not (host["ReadonlyRootfs"] and host["Memory"] and host["NanoCpus"]):
                wrong.append(f"{service} is not limited")
            if not host["PidsLimit"] or host["LogConfig"]["Config"].get("max-file") != "5":
                wrong.append(f"{service} has no limit of processes or of its log")
    report.check(
        "containers without capability, root, or a limit missing",
        ", ".join(sorted(set(wrong))) or f"{len(stack.containers())} of {len(stack.containers())}",
        holds=not wrong,
    )


def _networks(stack: Stack, report: Report) -> None:
    """See who can reach whom."""
    connect = "import socket; socket.create_connection(('proxy', 8000), 3)"
    tried = stack.try_to(f'docker compose exec -T worker python -c "{connect}"')
    reached = tried.returncode == 0
    report.check("worker reaches the proxy", reached, holds=not reached)
    together = {
        service: set(inspect(stack.containers(service)[0])["NetworkSettings"]["Networks"])
        for service in STAYING
    }
    shared = together["proxy"] & (together["postgres"] | together["valkey"])
    back = json.loads(docker("network", "inspect", f"{stack.name}_back"))[0]["Internal"]
    report.check("proxy and servers share a network", bool(shared), holds=not shared)
    report.check("the servers' network leads out", not back, holds=back)
    pinged = docker("exec", stack.containers("valkey")[0], "valkey-cli", "ping", check=False)
    report.check("Valkey without a password", pinged, holds=pinged.startswith("NOAUTH"))


def refuse_weak_ones(stack: Stack, report: Report) -> None:
    """Start a process with each weak secret, in a stack of its own that runs nothing else."""
    for name, value, variable in WEAK:
        file = stack.folder / "secrets" / name
        good = file.read_text()
        file.write_text(value)
        try:
            done = stack.try_to("docker compose run --rm --no-deps worker python manage.py check")
        finally:
            file.write_text(good)
        lines = [line for line in done.stdout.splitlines() if "Container" not in line]
        report.check(
            f"{variable} `{value}`",
            " / ".join(lines[:2]) or "nothing said",
            holds=done.returncode != 0
            and len(lines) == 1
            and variable in lines[0]
            and good not in done.stdout,
        )


def change(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Have new passwords made, and use them."""
    folder = stack.folder / "secrets"
    old = {name: (folder / name).read_text() for name in CHANGED}
    for name in CHANGED:
        (folder / name).unlink()
    stack.run("deploy/secrets.sh")
    stack.documented("new secrets")
    took = wait_for(lambda: people[0].get("/").status == 200, seconds=60, what="a page")
    changed = sum((folder / name).read_text() != old[name] for name in CHANGED)
    report.check(
        "new passwords of database and broker",
        f"{changed} of {len(CHANGED)} changed, a page {took:.1f} s after",
        holds=changed == len(CHANGED),
    )
    silent = stack.number(
        "SELECT count(*) FROM tasks_process WHERE seen_at < now() - interval '40 s'"
    )
    report.check("... processes that did not sign off", silent, holds=silent == 0)
