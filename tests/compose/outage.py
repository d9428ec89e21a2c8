"""The database is away in mid-sweep, for longer than a process without a heartbeat may live."""

import time

from tests.compose.engine import docker
from tests.compose.report import Report
from tests.compose.stack import Stack, health, wait_for
from tests.compose.starting import check_counts
from tests.compose.visitor import Answer, Visitor

#: Above the default of TASKS_LIVENESS_SECONDS.
AWAY_SECONDS = 75

#: Enough for a sweep that pauses for ten times as long as each batch takes.
MANY = 60_000

ADD = f"""
    INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)
    SELECT (SELECT min(id) FROM accounts_user), 'Done', '', now(), now() - interval '1 hour'
    FROM generate_series(1, {MANY})
"""
PROGRESS = """
    SELECT count(*) FROM todos_trashedtodo WHERE run_id = (
        SELECT max(id) FROM tasks_taskrun WHERE task = 'todo.cleanup'
    )
"""
ENDED = """
    SELECT count(*) FROM tasks_taskrun WHERE task = 'todo.cleanup' AND state = 'succeeded'
    AND id = (SELECT max(id) FROM tasks_taskrun WHERE task = 'todo.cleanup')
"""


def begin_sweep(stack: Stack) -> int:
    """Start a long sweep; return how many todos it is to sweep, once it has swept some."""
    stack.sql("DELETE FROM todos_todo WHERE is_completed")
    stack.sql(ADD)
    stack.manage("cleanup_todos --enqueue")
    wait_for(lambda: 0 < stack.number(PROGRESS) < MANY, seconds=60, what="a sweep under way")
    return MANY


def stop_the_database(stack: Stack, report: Report, people: list[Visitor]) -> None:
    completed = begin_sweep(stack)
    postgres = stack.containers("postgres")[0]
    docker("stop", postgres)
    answers = _ask_for(people, AWAY_SECONDS)
    states = {health(one) for one in stack.containers("web")}
    docker("start", postgres)
    friendly = [answer for answer in answers if answer.status == 503]
    slowest = max(answer.seconds for answer in answers)
    report.check(
        f"database away for {AWAY_SECONDS} s: pages say so with Retry-After",
        f"{len(friendly)} of {len(answers)}, slowest {slowest:.2f} s",
        holds=len(friendly) == len(answers)
        and all("retry-after" in answer.headers for answer in friendly),
    )
    within = sum(answer.seconds <= 1 for answer in answers)
    report.check("... within a second", f"{within} of {len(answers)}", holds=within == len(answers))
    words = "Tidy" in friendly[-1].body and "<html" in friendly[-1].body if friendly else False
    report.check("... as a page of Tidy's own", words, holds=words)
    report.check("web meanwhile", ", ".join(states), holds=states == {"healthy"})
    back = wait_for(lambda: people[0].get("/").status == 200, seconds=60, what="pages")
    took = wait_for(lambda: stack.number(ENDED) == 1, seconds=240, what="the sweep's end")
    report.check("pages after its return", f"{back:.1f} s", holds=back < 30)
    check_counts(stack, report, f"the sweep ended {took:.0f} s after that", completed)


def _ask_for(people: list[Visitor], seconds: float) -> list[Answer]:
    answers = []
    end = time.monotonic() + seconds
    # Those that were under way when it stopped are not counted.
    time.sleep(3)
    while time.monotonic() < end:
        answers += [person.get("/") for person in people[:2]]
        time.sleep(0.5)
    return answers
