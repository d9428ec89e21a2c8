"""What the runbook's scenarios do with a site, and see of it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from dotenv import dotenv_values

from tests.counting import number
from tests.processes import wait_until
from tests.runbook.host import CommandsFailed, Host
from tests.runbook.load import Load, load
from tests.runbook.page import chapter
from tests.runbook.table import Table

SITE = "tidy.example.org"

#: A process counts as gone soon, and sweeps take dozens of steps.
LIVENESS_SECONDS = 10
SETTINGS = (
    f"TASKS_LIVENESS_SECONDS={LIVENESS_SECONDS}\nTODO_SWEEP_BATCH_SIZE=50\nTODO_SWEEP_PAUSE=10\n"
)

#: Logs people in, as log-in does, and prints their sessions.
LOG_IN = """
import json
from django.contrib.auth import login
from django.http import HttpRequest
from accounts.models import User
from accounts.sessions import SessionStore

sessions = []
for number in range(4):
    user, _ = User.objects.get_or_create(username=f"visitor{number}")
    request = HttpRequest()
    request.session = SessionStore()
    request.META["REMOTE_ADDR"] = "127.0.0.1"
    login(request, user, backend="accounts.pages.backend.Backend")
    request.session.save()
    sessions.append(request.session.session_key)
print(json.dumps(sessions))
"""

ENQUEUE = """
from tasks.actors import requests_prune
from tasks.engine.runs.enqueue import enqueue
for _ in range({number}):
    enqueue(requests_prune)
"""

SECONDS_TO_END = 180


class Site:
    """A site on a host, as its operator and people see it."""

    def __init__(self, host: Host, table: Table) -> None:
        self.host = host
        self.table = table
        #: Where people come in: the proxy, if there is one.
        self.proxy_port: int | None = None

    def number(self, query: str) -> int:
        with self.host.connect() as database:
            return number(database, query)

    def execute(self, statement: str) -> None:
        with self.host.connect() as database:
            database.execute(statement.encode())

    def seed(self) -> int:
        """Fill lists; return how many todos a cleanup would sweep."""
        self.host.manage("seed_demo", "--force", "--users=20", "--todos=6000", "--seed=1")
        return self.due()

    def due(self) -> int:
        """Return how many todos a cleanup would sweep now."""
        said = self.host.manage("cleanup_todos", "--dry-run", "--json")
        return int(json.loads(said.splitlines()[-1])["todos_deleted"])

    def begin_sweep(self, *, batch_size: int = 20) -> int:
        """Have a worker sweep, and return the run when some of its steps are done."""
        batches = f"--batch-size={batch_size}"
        said = self.host.manage("cleanup_todos", "--enqueue", "--json", batches)
        run = int(json.loads(said.splitlines()[-1])["run"])
        steps = f"SELECT count(*) FROM todos_trashedtodo WHERE run_id = {run}"
        self.wait(lambda: self.number(steps) > 0, "the sweep has not begun")
        return run

    def wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        logs = self.host.services.log_of
        wait_until(
            condition,
            seconds=SECONDS_TO_END,
            otherwise=lambda: f"{otherwise}\n{logs('tidy-worker.service')[-3000:]}",
        )

    def wait_for_end(self, run: int) -> None:
        query = f"SELECT count(*) FROM tasks_taskrun WHERE id = {run} AND finished_at IS NOT NULL"
        self.wait(lambda: self.number(query) == 1, f"run {run} has not ended")

    def check_sweep(self, run: int, eligible: int, *, interrupted: bool = False) -> None:
        """Note whether a sweep did everything once, and counted that.

        Args:
            run: the sweep.
            eligible: what it had to sweep.
            interrupted: whether another worker must have gone on with it.
        """
        row = f"FROM tasks_taskrun WHERE id = {run}"
        swept = self.number(f"SELECT (result->>'todos_deleted')::int {row}")
        moved = self.number(f"SELECT count(*) FROM todos_trashedtodo WHERE run_id = {run}")
        attempts = self.number(f"SELECT attempts {row}")
        self.table.add("todos that the sweep reports", swept, wanted=eligible)
        self.table.add("todos that it moved to the trash", moved, wanted=eligible)
        wanted = max(attempts, 2) if interrupted else None
        self.table.add("attempts that it took", attempts, wanted=wanted)

    def log_in(self) -> list[str]:
        said = self.host.manage("shell", "-v0", "-c", LOG_IN)
        found: list[str] = json.loads(said.splitlines()[-1])
        return found

    @contextmanager
    def under_load(self, name: str) -> Iterator[Load]:
        """Have people use the site, and note in the end what they were refused, or lost."""
        sessions = self.log_in()
        port, tls = self.proxy_port or self.host.web_port, self.proxy_port is not None
        with load(port, SITE, name, sessions, tls=tls) as people:
            self.wait(lambda: people.requests > 40, "nobody is served")
            yield people
            enough = people.requests + 40
            self.wait(lambda: people.requests > enough, "nobody is served")
        self.table.add("requests of people meanwhile", people.requests)
        self.table.add("of these failed", len(people.failed), wanted=0)
        for fault in people.failed[:5]:
            self.table.add(fault, "")
        self.table.add("seconds that the longest took", f"{people.longest:.1f}")
        self.table.add("todos that they added", len(people.added))
        like = f"FROM todos_todo WHERE title LIKE '{name} %'"
        there, titles = (
            self.number(f"SELECT count({what}) {like}") for what in ("*", "DISTINCT title")
        )
        self.table.add("of these lost", len(people.added) - titles, wanted=0)
        self.table.add("of these doubled", there - titles, wanted=0)

    def check_services(self) -> None:
        services = self.host.services
        self.table.add("services that have ended", len(services.ended()), wanted=0)
        self.table.add("services that ended badly", len(services.badly_ended), wanted=0)
        for line in services.badly_ended:
            self.table.add(line, "")
        services.badly_ended.clear()

    def check_healthy(self) -> None:
        """Note whether the page's checks of health pass, in time."""
        deadline = time.monotonic() + SECONDS_TO_END
        while True:
            try:
                self.host.execute(chapter("healthy"))
            except CommandsFailed as failed:
                if time.monotonic() > deadline:
                    self.table.add(f"healthy: {failed}", "no", wanted="yes")
                    return
                time.sleep(1)
            else:
                self.table.add("healthy, as the page checks it", "yes")
                return

    def check_slots(self) -> None:
        """Note whether each second has its ping, and none has failed."""
        self.table.add(
            "slots of the ping without a row",
            self.number(
                """
                SELECT count(*) FROM (
                    SELECT generate_series(
                        min(scheduled_for), max(scheduled_for), interval '1 second'
                    ) FROM tasks_taskrun WHERE task = 'ping' AND scheduled_for > (
                        SELECT effective_since FROM tasks_schedule WHERE task = 'ping'
                    )
                ) AS wanted (slot)
                LEFT JOIN tasks_taskrun ON task = 'ping' AND scheduled_for = slot
                WHERE task IS NULL
                """
            ),
            wanted=0,
        )
        self.table.add(
            "runs that failed",
            self.number("SELECT count(*) FROM tasks_taskrun WHERE state = 'failed'"),
            wanted=0,
        )

    def wait_for_silence(self, dump: Path) -> None:
        """Wait until the processes of a dump have been silent for the liveness."""
        self.wait(lambda: time.time() - dump.stat().st_mtime > LIVENESS_SECONDS + 1, "the clock")

    def dropped(self) -> int:
        """Return how many messages without a run workers have dropped so far."""
        return self.host.services.log_of("tidy-worker.service").count("message without its run")

    def empty_valkey(self) -> None:
        """Delete everything that the broker has."""
        settings = dotenv_values(self.host.root / "srv/tidy/.env")
        with redis.Redis.from_url(str(settings["REDIS_URL"])) as broker:
            broker.flushall()

    def plan_cleanup(self) -> datetime:
        """Have the night's cleanup come within the next minute or so; return its slot."""
        slot = (datetime.now(tz=UTC) + timedelta(seconds=75)).replace(second=0, microsecond=0)
        self.execute(
            f"""
            UPDATE tasks_schedule SET crontab = '{slot.minute} {slot.hour} * * *', last_slot = NULL,
                effective_since = now() WHERE task = 'todo.cleanup'
            """
        )
        return slot

    def add_todo(self) -> int:
        """Add a todo for a visitor; return its id."""
        return self.number(
            """
            INSERT INTO todos_todo (user_id, title, description)
            SELECT id, 'added', '' FROM accounts_user WHERE username = 'visitor0' RETURNING id
            """
        )
