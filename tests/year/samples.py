"""What is measured on each day: memory, threads, files, connections, keys, sizes."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

import psycopg
import redis

#: A figure's last days may be this many times its first ones, beside what is small in itself.
FLAT = 1.10
#: What a figure may grow by and still be small: MB, kB and numbers of things alike.
SMALL: Mapping[str, float] = {"MB": 4, "kB": 512, "": 6}

#: Rows and indexes, without what vacuum has freed for the next rows.
SIZES = """
    SELECT relname, pg_total_relation_size(relid) / 1024 FROM pg_stat_user_tables
    WHERE schemaname = 'clock' AND relname <> 'driven'
"""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"

type Sample = dict[str, tuple[float, str]]


def sample(
    processes: Mapping[str, int], database: psycopg.Connection, broker: redis.Redis
) -> Sample:
    """Return each figure and its unit.

    Args:
        processes: the id of each process that was started, by name. Its children count as well.
    """
    found: Sample = {}
    for name, pid in processes.items():
        family = [pid, *descendants(pid)]
        found[f"{name}: memory"] = sum(map(private_megabytes, family)), "MB"
        found[f"{name}: threads"] = sum(count(f"/proc/{one}/task") for one in family), ""
        found[f"{name}: open files"] = sum(count(f"/proc/{one}/fd") for one in family), ""
    found["connections to the database"] = number(database, CONNECTIONS), ""
    for table, kilobytes in database.execute(SIZES):
        found[f"table {table}"] = float(kilobytes), "kB"
    found["keys in Valkey"] = float(broker.dbsize()), ""
    found["memory of Valkey"] = broker.info("memory")["used_memory"] / 1024, "kB"
    return found


def growth(samples: list[Sample], name: str, steady_from: int) -> tuple[float, float, str]:
    """Return the median of a figure in the first and in the last third of the steady days."""
    steady = [day[name] for day in samples[steady_from:] if name in day]
    third = max(1, len(steady) // 3)
    values = [value for value, _ in steady]
    return median(values[:third]), median(values[-third:]), steady[0][1]


def grew(first: float, last: float, unit: str) -> bool:
    """Say whether a figure is not flat."""
    return last > first * FLAT and last - first > SMALL[unit]


def number(database: psycopg.Connection, query: str) -> float:
    row = database.execute(query.encode()).fetchone()
    assert row
    return float(row[0])


def descendants(pid: int) -> Iterable[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        for child in map(int, children.read_text(encoding="ascii").split()):
            yield child
            yield from descendants(child)


def private_megabytes(pid: int) -> float:
    """Return the memory of a process, with its share of what it has in common with others."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            return int(found[1]) / 1024
    return 0.0


def count(folder: str) -> int:
    with suppress(OSError):
        return len(list(Path(folder).iterdir()))
    return 0
