"""A clock that the test drives: the servers' and every process's, ahead by the same time."""

import struct
from datetime import timedelta
from pathlib import Path
from time import sleep

import psycopg
import redis

#: In front of the functions that PostgreSQL has under these names. Whatever Tidy reads or stamps
#: time with finds them here, defaults of columns included, as the tables are made with this path.
FUNCTIONS = """
    CREATE SCHEMA clock;
    CREATE TABLE clock.driven (ahead interval NOT NULL);
    INSERT INTO clock.driven VALUES ('0');
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + (SELECT ahead FROM clock.driven)';
    CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + (SELECT ahead FROM clock.driven)';
    CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + (SELECT ahead FROM clock.driven)';
    ALTER DATABASE postgres SET search_path = clock, pg_catalog, public;
"""

#: In each process: a thread sets its clock ahead as the file says, and leaves the monotonic one.
#: The process that starts and its forks each need a thread of their own.
SITECUSTOMIZE = """
import os, struct, threading, time
from pathlib import Path

import time_machine  # Not in the thread: a fork in mid-import would leave its lock taken for ever.

file = Path(os.environ.get("DRIVEN_CLOCK", ""))


def follow():
    real, ahead, travel = time.time, 0.0, None
    while True:
        (wanted,) = struct.unpack("d", file.read_bytes())
        if wanted != ahead:
            if travel:
                travel.shift(wanted - ahead)
            else:
                travel = time_machine.travel(real() + wanted, tick=True).start()
            ahead = wanted
        pause.wait(0.02)


def start():
    global pause
    pause = threading.Event()
    threading.Thread(target=follow, daemon=True, name="driven clock").start()


if file.is_file():
    start()
    os.register_at_fork(after_in_child=start)
"""


class Clock:
    """Time, for a database, a broker, and the processes that get `environment`."""

    def __init__(self, folder: Path, database: psycopg.Connection, broker: "redis.Redis") -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        self._file = folder / "ahead"
        self._database = database
        self._broker = broker
        self._ahead = timedelta()
        self.environment = {"PYTHONPATH": str(folder), "DRIVEN_CLOCK": str(self._file)}
        self._tell()
        database.execute(FUNCTIONS)

    def go_forward(self, by: timedelta) -> None:
        """Set the time forward for all: for the processes first.

        While their time and the database's are an hour apart, a cleanup would refuse to run.
        """
        self._ahead += by
        self._tell()
        sleep(0.5)  # The processes look at the file fifty times a second, if they get to it.
        self._database.execute("UPDATE clock.driven SET ahead = %s", [self._ahead])
        for key in self._broker.scan_iter(count=1000):
            self._age(key, int(by.total_seconds() * 1000))

    def _age(self, key: bytes, by: int) -> None:
        """Have a key that expires do so earlier by so many milliseconds."""
        left = self._broker.pttl(key)
        if left >= 0:
            self._broker.pexpire(key, left - by)

    def _tell(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(struct.pack("d", self._ahead.total_seconds()))
        new.replace(self._file)
