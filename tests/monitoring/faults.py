"""The faults by which each alert is made to fire, and how an operator mends them."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread

from tests.monitoring.stage import Stage

#: How long a table is locked at a time (seconds): longer than people should wait for a page.
LOCKED_SECONDS = 1.6

#: A run that fails at once: no run has this number.
RUN_THAT_FAILS = """
from tasks.actors import todo_restore
from tasks.engine.runs.enqueue import enqueue
enqueue(todo_restore, run_id=10**9)
"""
ACKNOWLEDGE = """
from accounts.models import User
from tasks.engine.models import TaskRun
for run in TaskRun.objects.unacknowledged():
    run.acknowledge(User.objects.get(username="alice"))
"""
DEAD_LETTER = """
from tests.actors.lost_replies import break_down
break_down.send()
"""
DISCARD = """
from tasks.engine.broker import dead_letters
dead_letters.discard(dead_letters.read(["default"], limit=1000))
"""


@contextmanager
def workers_killed(stage: Stage) -> Iterator[None]:
    """Kill all workers."""
    stage.kill("worker")
    yield
    stage.start("worker")


@contextmanager
def worker_frozen(stage: Stage) -> Iterator[None]:
    """Freeze a worker."""
    stage.send("worker", signal.SIGSTOP)
    yield
    stage.send("worker", signal.SIGCONT)


@contextmanager
def scheduler_killed(stage: Stage) -> Iterator[None]:
    """Kill all schedulers."""
    stage.kill("scheduler")
    yield
    stage.start("scheduler")


@contextmanager
def broker_stopped(stage: Stage) -> Iterator[None]:
    """Stop the broker."""
    stage.stop_valkey()
    yield
    stage.start_valkey()


@contextmanager
def postgresql_stopped(stage: Stage) -> Iterator[None]:
    """Stop PostgreSQL."""
    stage.signal_postgresql(signal.SIGQUIT)
    yield
    stage.postgresql.ensure_postgres_running()


@contextmanager
def postgresql_frozen(stage: Stage) -> Iterator[None]:
    """Freeze PostgreSQL: it accepts connections, and never answers."""
    pids = stage.signal_postgresql(signal.SIGSTOP)
    try:
        yield
    finally:
        stage.signal_pids(pids, signal.SIGCONT)


@contextmanager
def web_stopped(stage: Stage) -> Iterator[None]:
    """Stop the web server."""
    stage.stop_web()
    yield
    stage.start_web()


@contextmanager
def target_forgotten(stage: Stage) -> Iterator[None]:
    """Leave the web server out of Prometheus's configuration."""
    stage.prometheus.look_at([])
    yield
    stage.prometheus.look_at([stage.port])


@contextmanager
def dead_letter(stage: Stage) -> Iterator[None]:
    """Have a message be given up."""
    stage.shell(DEAD_LETTER)
    yield
    stage.shell(DISCARD)


@contextmanager
def run_failing(stage: Stage) -> Iterator[None]:
    """Have a run fail."""
    stage.shell(RUN_THAT_FAILS)
    yield
    stage.shell(ACKNOWLEDGE)


@contextmanager
def table_missing(stage: Stage) -> Iterator[None]:
    """Take the table of todos away: pages and cleanups fail."""
    with stage.connect() as database:
        database.execute("ALTER TABLE todos_todo RENAME TO todos_todo_away")
        try:
            yield
        finally:
            database.execute("ALTER TABLE todos_todo_away RENAME TO todos_todo")
    stage.shell(ACKNOWLEDGE)


@contextmanager
def table_locked(stage: Stage) -> Iterator[None]:
    """Lock the table of todos again and again: pages wait."""
    ended = Event()

    def lock() -> None:
        with stage.connect() as database:
            while not ended.is_set():
                with database.transaction():
                    database.execute("LOCK TABLE todos_todo IN ACCESS EXCLUSIVE MODE")
                    ended.wait(LOCKED_SECONDS)
                ended.wait(0.05)

    thread = Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)
    stage.shell(ACKNOWLEDGE)


type Fault = Callable[[Stage], AbstractContextManager[None]]

#: Each fault with the alerts that it must make fire; others may.
FAULTS: Mapping[Fault, tuple[str, ...]] = {
    workers_killed: ("TidyNoWorker", "TidyQueueOld", "TidyNeedsAttention"),
    worker_frozen: ("TidyHeartbeatOld",),
    scheduler_killed: ("TidyNoScheduler", "TidyNightNotSucceeded"),
    broker_stopped: ("TidyBrokerNotReadable", "TidyOutboxStuck"),
    postgresql_stopped: ("TidyDatabaseNotReadable",),
    postgresql_frozen: ("TidyDatabaseNotReadable",),
    web_stopped: ("TidyDown",),
    target_forgotten: ("TidyNotScraped",),
    dead_letter: ("TidyDeadLetters",),
    run_failing: ("TidyRunFailed",),
    table_missing: ("TidyErrors",),
    table_locked: ("TidySlow",),
}
