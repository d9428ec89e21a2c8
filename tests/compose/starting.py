"""From nothing to a site that people use, with the commands of the documentation."""

import time

from tests.compose.engine import docker
from tests.compose.report import Report
from tests.compose.stack import STAYING, Stack, health, wait_for
from tests.compose.visitor import HOST, PASSWORD, Visitor

#: Of each visitor: these many todos, half of them completed.
TODOS = 20

SWEPT = """
    SELECT count(*) FROM tasks_taskrun
    WHERE task = 'todo.cleanup' AND state = 'succeeded' AND trigger = 'schedule'
"""


def configure(stack: Stack) -> None:
    """Do what the documentation leaves to people: fill in `.env`."""
    (stack.folder / ".env").write_text(
        (stack.folder / ".env.example")
        .read_text()
        .replace("DJANGO_ALLOWED_HOSTS=", f"DJANGO_ALLOWED_HOSTS={HOST}")
    )
    stack.run("deploy/secrets.sh")


def start(stack: Stack, report: Report) -> None:
    """Build, start, and make an administrator."""
    configure(stack)
    before = images()
    began = time.monotonic()
    stack.run("docker compose up --detach --build --wait")
    took = time.monotonic() - began
    states = {service: [health(one) for one in stack.containers(service)] for service in STAYING}
    well = all(state == "healthy" for found in states.values() for state in found)
    count = sum(map(len, states.values()))
    report.check("built, and all healthy", f"{count} containers in {took:.0f} s", holds=well)
    report.check("images built", len(images() - before), holds=len(images() - before) == 1)
    report.check("replicas of web", len(states["web"]), holds=len(states["web"]) == 2)
    stack.run(
        f"docker compose exec -T --env DJANGO_SUPERUSER_PASSWORD='{PASSWORD}' web"
        " python manage.py createsuperuser --no-input --username root --email root@tidy.example"
    )
    stack.manage("tasks_status --check")
    report.check("tasks_status --check", "All well", holds=True)


def images() -> set[str]:
    """Return the ids of all images with a name."""
    return set(docker("images", "--no-trunc", "--quiet", "--filter", "dangling=false").split())


def log_in_people(stack: Stack, count: int) -> list[Visitor]:
    """Create people, and log each in, from an address of their own."""
    names = [f"person{number}" for number in range(1, count + 1)]
    create = "; ".join(
        ["from accounts.models import User"]
        + [f"User.objects.create_user('{name}', password='{PASSWORD}')" for name in names]
    )
    stack.run(f'docker compose exec -T worker python manage.py shell --command "{create}"')
    people = [Visitor(stack.port, f"203.0.113.{number}") for number in range(1, count + 1)]
    assert all(person.log_in(name) for person, name in zip(people, names, strict=True))
    return people


def use(stack: Stack, report: Report, people: list[Visitor]) -> None:
    """Add todos, complete half of them, and let the night come."""
    for person in people:
        for number in range(TODOS):
            answer = person.add(f"Todo {number}")
            assert answer.status == 302, answer.body[:200]
    made = stack.number("SELECT count(*) FROM todos_todo")
    expected = TODOS * len(people)
    report.check("todos added over HTTP", f"{made} of {expected}", holds=made == expected)
    ips = stack.sql("SELECT DISTINCT ip FROM usersessions_usersession ORDER BY ip").split()
    addresses = sorted(person.address for person in people)
    report.check(
        "addresses of visitors, with one trusted proxy", f"{len(ips)} right", holds=ips == addresses
    )

    stack.sql("UPDATE todos_todo SET completed_at = now() - interval '1 minute' WHERE id % 2 = 0")
    completed = stack.number("SELECT count(*) FROM todos_todo WHERE is_completed")
    # By the scheduler's own clock: the next minute that it can still take up.
    hour, minute = stack.sql("SELECT to_char(now() + interval '90 s', 'HH24 MI')").split()
    stack.sql(
        f"UPDATE tasks_schedule SET crontab = '{minute} {hour} * * *' WHERE task = 'todo.cleanup'"
    )
    took = wait_for(lambda: stack.number(SWEPT) == 1, seconds=180, what="the sweep on schedule")
    check_counts(stack, report, f"swept on schedule, after {took:.0f} s", completed)


def check_counts(stack: Stack, report: Report, what: str, completed: int) -> None:
    """Compare what the last cleanup says with what the tables say."""
    said, run_id = stack.sql(
        "SELECT result ->> 'todos_deleted', id FROM tasks_taskrun WHERE task = 'todo.cleanup'"
        " ORDER BY id DESC LIMIT 1"
    ).split("|")
    moved = stack.number(f"SELECT count(*) FROM todos_trashedtodo WHERE run_id = {run_id}")
    left = stack.number("SELECT count(*) FROM todos_todo WHERE is_completed")
    report.check(
        what,
        f"{said} counted, {moved} moved, {left} left",
        holds=(int(said), moved, left) == (completed, completed, 0),
    )
