"""Receipts with real processes: workers, a scheduler, a broker, a database and a mail server."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.counting import number
from tests.mail_server import MailServer, free_port, mail_server
from tests.processes import Process, Tidy, wait_until

pytestmark = pytest.mark.e2e

WORKER = ("rundramatiq", "--processes=1", "--threads=2")

#: People who want receipts, each with two todos that a cleanup has swept.
PEOPLE = """
    WITH person AS (
        INSERT INTO accounts_user (
            username, password, first_name, last_name, email, is_staff, is_superuser, is_active,
            auto_cleanup, date_joined, wants_receipt, receipt_since
        )
        SELECT 'p' || n, '', '', '', 'p' || n || '@example.com', FALSE, FALSE, TRUE, TRUE, now(),
            TRUE, now() - interval '1 day'
        FROM generate_series(1, %s) AS n RETURNING id, email
    ), confirmed AS (
        INSERT INTO account_emailaddress (user_id, email, verified, "primary")
        SELECT id, email, true, true FROM person
    )
    INSERT INTO todos_trashedtodo (
        id, user_id, title, description, created_at, trashed_at, trash_days, run_id
    )
    SELECT 2 * person.id + n, person.id, 'Done', '', now(), now() - interval '1 hour', 30, 1
    FROM person, generate_series(0, 1) AS n
"""
RECEIPTS = "SELECT count(*) FROM tasks_taskrun WHERE task = 'todo.receipts'"
RETRIED = "SELECT coalesce(sum(failures), 0) FROM tasks_taskrun WHERE task = 'todo.receipts'"
SENT = "SELECT count(*) FROM todos_receipt WHERE state = 'sent' AND sent_at IS NOT NULL"
TOTAL = """
    SELECT coalesce(sum((result->>'receipts_sent')::int), 0) FROM tasks_taskrun
    WHERE task = 'todo.receipts' AND state = 'succeeded'
"""


@pytest.fixture
def server(tidy: Tidy) -> Iterator[MailServer]:
    """A mail server, which the environment names."""
    with mail_server() as server:
        tidy.settings = {
            **tidy.settings,
            "EMAIL_URL": server.url,
            "SITE_URL": "https://tidy.example",
            "TASKS_LIVENESS_SECONDS": "5",
        }
        yield server


@pytest.fixture
def database(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """The database of the processes."""
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        yield database


def enqueue(tidy: Tidy, *, times: int = 1) -> None:
    """Have receipts sent, in so many runs."""
    code = (
        "from tasks.actors import todo_receipts as actor\n"
        "from tasks.engine.runs.enqueue import enqueue\n"
        f"for _ in range({times}): enqueue(actor)\n"
    )
    asked = tidy.manage("shell", "-v0", "-c", code)
    assert asked.returncode == 0, asked.stderr


def wait_for_runs(database: psycopg.Connection, runs: int, *processes: Process) -> None:
    """Return when so many runs have succeeded."""
    wait_until(
        lambda: number(database, f"{RECEIPTS} AND state = 'succeeded'") == runs,
        seconds=90,
        otherwise=lambda: "".join(process.output() for process in processes),
    )


def test_two_runs_at_once_and_one_later_send_each_person_one_mail(
    tidy: Tidy, server: MailServer, database: psycopg.Connection
) -> None:
    database.execute(PEOPLE, [300])
    enqueue(tidy, times=2)
    with (
        tidy.start(*WORKER) as worker,
        tidy.start(*WORKER) as other,
        tidy.start("runscheduler") as scheduler,
    ):
        wait_until(lambda: number(database, SENT) == 300, seconds=60, otherwise=worker.output)
        # As if the half minute had passed for which the one that ran out of receipts waits.
        database.execute("UPDATE tasks_taskrun SET due_at = now() WHERE state = 'pending'")
        wait_for_runs(database, 2, worker, other)
        enqueue(tidy)
        wait_for_runs(database, 3, worker, other)
        assert [one.stop() for one in (worker, other, scheduler)] == [0, 0, 0]
    assert len(server.mails) == len(server.per_person()) == 300
    assert number(database, SENT) == number(database, TOTAL) == 300
    assert server.mails[0]["Subject"].startswith("Tidy took 2 completed todos ")
    log = worker.output() + other.output()
    assert "@example.com" not in log


def test_worker_killed_while_it_sends_has_the_mail_in_hand_sent_twice_at_most(
    tidy: Tidy, server: MailServer, database: psycopg.Connection
) -> None:
    database.execute(PEOPLE, [50])
    with tidy.start("runscheduler") as scheduler:
        for _ in range(2):
            server.stalled.clear()
            with tidy.start(*WORKER) as worker:
                if not number(database, RECEIPTS):
                    enqueue(tidy)
                wait_until(lambda: bool(server.mails), seconds=40, otherwise=worker.output)
                server.go_on.clear()
                wait_until(server.stalled.is_set, seconds=40, otherwise=worker.output)
            server.go_on.set()
        with tidy.start(*WORKER) as worker:
            wait_for_runs(database, 1, worker, scheduler)
            assert worker.stop() == 0
        assert scheduler.stop() == 0
    assert len(server.per_person()) == 50
    assert 50 <= len(server.mails) <= 50 + 2, "the mail in hand at each death"
    assert number(database, SENT) == number(database, TOTAL) == 50


def test_mail_server_that_is_down_for_a_while_delays_and_doubles_nothing(
    tidy: Tidy, database: psycopg.Connection
) -> None:
    port = free_port()
    tidy.settings = {**tidy.settings, "EMAIL_URL": MailServer(port).url}
    database.execute(PEOPLE, [20])
    enqueue(tidy)
    with tidy.start(*WORKER) as worker, tidy.start("runscheduler") as scheduler:
        wait_until(lambda: number(database, RETRIED) == 1, seconds=30, otherwise=worker.output)
        error = database.execute("SELECT error FROM tasks_taskrun").fetchone()
        assert error is not None
        assert "MailDelayed: The mail server is away (ConnectionRefusedError)." in error[0]
        assert number(database, "SELECT count(*) FROM todos_receipt WHERE state = 'waiting'") == 20
        with mail_server(port) as server:
            # As if the half minute of the first retry had passed.
            database.execute("UPDATE tasks_taskrun SET due_at = now()")
            wait_for_runs(database, 1, worker, scheduler)
            assert worker.stop() == 0
            assert scheduler.stop() == 0
            assert len(server.mails) == len(server.per_person()) == 20
    assert number(database, TOTAL) == 20
