"""Each container is killed, frozen and paused in turn, while people use the site."""

import socket
import time
from contextlib import ExitStack

from tests.compose.engine import docker, inspect
from tests.compose.load import Load
from tests.compose.report import Report
from tests.compose.stack import STAYING, Stack, health, wait_for, wait_for_health
from tests.compose.visitor import Visitor

#: All that the container's user runs but the init, which passes no such signal on.
EVERY_PROCESS = "kill -{} -1"

#: A form of which the end never comes; how many are begun, and how long others may wait meanwhile.
BEGUN = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nl"
SLOW_FORMS, SLOWEST_SECONDS = 40, 5.0


def kill_each(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Kill all processes of each container: the engine starts it again."""
    for service, container in _each(stack, STAYING):
        starts = inspect(container)["RestartCount"]
        with Load(people) as load:
            docker("exec", container, "sh", "-c", EVERY_PROCESS.format("KILL"), check=False)
            began = time.monotonic()
            wait_for(
                lambda one=container, before=starts: inspect(one)["RestartCount"] > before,  # type: ignore[misc]
                seconds=30,
                what=f"{service} starts again",
            )
            wait_for_health(container, "healthy", seconds=120)
            took = time.monotonic() - began
            answered = wait_for(lambda: people[0].get("/").status == 200, seconds=60, what="page")
        report.check(
            f"kill {service}",
            f"healthy after {took:.0f} s, pages after {answered:.1f} s more;"
            f" {load.wrong.total()} of {load.requests} requests failed {brief(load)}",
            holds=service in {"proxy", "postgres", "web"} or not load.wrong,
        )


def freeze_each(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Stop all processes of each replica: it must not pass for healthy."""
    for service, container in _each(stack, ("web", "worker", "scheduler")):
        with Load(people) as load:
            docker("exec", container, "sh", "-c", EVERY_PROCESS.format("STOP"), check=False)
            sick = wait_for_health(container, "unhealthy", seconds=150)
            docker("exec", container, "sh", "-c", EVERY_PROCESS.format("CONT"), check=False)
            well = wait_for_health(container, "healthy", seconds=150)
        report.check(
            f"freeze {service}",
            f"unhealthy after {sick:.0f} s, healthy {well:.0f} s after its thaw;"
            f" {load.wrong.total()} of {load.requests} requests failed,"
            f" slowest {load.slowest:.1f} s {brief(load)}",
            holds=service == "web" or not load.wrong,
        )


def pause_each(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Have the engine pause each container for half a minute."""
    for service, container in _each(stack, STAYING):
        with Load(people) as load:
            docker("pause", container)
            time.sleep(30)
            docker("unpause", container)
            wait_for_health(container, "healthy", seconds=120)
            wait_for(lambda: people[0].get("/").status == 200, seconds=60, what="page")
        report.check(
            f"pause {service} for 30 s",
            f"{load.wrong.total()} of {load.requests} requests failed,"
            f" slowest {load.slowest:.1f} s {brief(load)}",
            holds=service in {"proxy", "postgres", "web"} or not load.wrong,
        )


def send_slowly(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Begin more forms than web has threads, and never end them: nobody else has to wait."""
    with ExitStack() as connections:
        for _ in range(SLOW_FORMS):
            one = connections.enter_context(socket.create_connection(("127.0.0.1", stack.port)))
            one.sendall(BEGUN)
        with Load(people) as load:
            time.sleep(10)
    report.check(
        f"{SLOW_FORMS} forms that never end",
        f"{load.wrong.total()} of {load.requests} requests failed, slowest {load.slowest:.1f} s",
        holds=not load.wrong and load.slowest < SLOWEST_SECONDS,
    )


def all_well_again(stack: Stack, report: Report) -> None:
    """Wait until the verdict says so, and look for runs that are stuck."""
    took = wait_for(
        lambda: (
            stack.try_to(
                "docker compose exec -T worker python manage.py tasks_status --check"
            ).returncode
            == 0
        ),
        seconds=240,
        what="All well",
    )
    states = {health(container) for container in stack.containers()}
    report.check("all well again", f"after {took:.0f} s", holds=states == {"healthy"})


def brief(load: Load) -> str:
    return f"({dict(load.wrong.most_common(2))})" if load.wrong else ""


def _each(stack: Stack, services: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(service, one) for service in services for one in stack.containers(service)]
