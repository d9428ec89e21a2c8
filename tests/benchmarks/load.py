"""How many visitors at once the pages bear, by themselves and beside a sweep of a million todos.

    python -m tests.benchmarks.load

wrk asks gunicorn, with the two workers of four threads that it has by default, for a list, the
trash, a search and the completed ones in turn, over more and more connections. Then, over as many
as gave all that it can give, and four times as many, while `cleanup_todos` sweeps. Ends with 1 if
a single request fails. It needs wrk (`apt-get install wrk`).

Each request has a connection of its own, as behind the proxies of docs/operations.md: one that is
kept stays with the worker that took it, and eight of them may all be with one.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say
from tests.benchmarks.visits import LIST, VISITOR, gunicorn, log_in
from tests.servers import valkey_server

#: A million of them are completed; people who opted out or are not active keep some of those.
SIZE = Size(users=10_000, todos=2_100_000)
SWEPT_AT_LEAST = 950_000

WORKERS = 2
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
#: The rate bends where as many connections give so much of the highest.
BENDS_AT = 0.95
SECONDS, SECONDS_BESIDE_SWEEP = 8, 3

ASK = """
local paths = {"/", "/trash/", "/search/?q=words", "/", "/completed/"}
local last = 0
request = function()
    last = last %% #paths + 1
    return wrk.format("GET", paths[last], {
        ["Cookie"] = "sessionid=%s", ["Accept-Encoding"] = "gzip", ["Connection"] = "close"
    })
end
"""
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}


@dataclass(frozen=True)
class Load:
    """What wrk has found.

    Attributes:
        connections: how many asked at once.
        rate: answers a second.
        p50, p99: seconds.
        answers: how many.
        failed: those that were errors, or never came.
    """

    connections: int
    rate: float
    p50: float
    p99: float
    answers: int
    failed: int


def main() -> None:
    """Fill the tables, raise the load, and print what it took."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        with (
            valkey_server(folder / "valkey") as broker,
            server(folder, SIZE, 1, broker=broker) as stage,
            gunicorn(folder, broker, workers=WORKERS) as port,
        ):
            figures = raise_load(stage, folder, port)
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


def raise_load(stage: Server, folder: Path, port: int) -> list[Figure]:
    fill(stage)
    script = folder / "ask.lua"
    script.write_text(ASK % log_in(VISITOR), encoding="ascii")
    wrk(script, port, connections=4, seconds=SECONDS)  # Warms it up.
    alone = [wrk(script, port, connections=some, seconds=SECONDS) for some in CONNECTIONS]
    enough = BENDS_AT * max(load.rate for load in alone)
    bends = next(load.connections for load in alone if load.rate >= enough)
    figures = [figure for load in alone for figure in told("alone", [load])]
    for connections in (bends, 4 * bends):
        figures += beside_a_sweep(stage, script, port, connections)
    return figures


def fill(stage: Server) -> None:
    say("filling the tables")
    stage.fill(SIZE)
    stage.execute(LIST, user=VISITOR, todos=100)
    stage.settle()


def beside_a_sweep(stage: Server, script: Path, port: int, connections: int) -> list[Figure]:
    """Ask again and again until a sweep has ended."""
    fill(stage)
    started, loads = perf_counter(), []
    command = [sys.executable, "manage.py", "cleanup_todos", "--keep-days=1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        while sweep.poll() is None:
            load = wrk(script, port, connections=connections, seconds=SECONDS_BESIDE_SWEEP)
            loads.append(load)
    assert sweep.returncode == 0
    seconds = perf_counter() - started
    swept = stage.number("SELECT count(*) FROM todos_trashedtodo")
    assert swept > SWEPT_AT_LEAST, swept
    note = f"while {swept:,} todos were swept in about {seconds:.0f} s"
    return told("beside a sweep", loads, note)


def told(what: str, loads: list[Load], note: str = "") -> list[Figure]:
    """Return the figures of loads of as many connections; of the times, the worst."""
    what = f"{what}, {loads[0].connections} at once"
    answers, failed = sum(load.answers for load in loads), sum(load.failed for load in loads)
    return [
        Figure(what=f"{what}: rate", runs=[load.rate for load in loads], unit="/s", note=note),
        milliseconds(f"{what}: p50", [load.p50 for load in loads]),
        milliseconds(f"{what}: p99, the worst", [max(load.p99 for load in loads)]),
        Figure(what=f"{what}: failed", runs=[failed], at_most=0, note=f"of {answers:,}"),
    ]


def wrk(script: Path, port: int, *, connections: int, seconds: int) -> Load:
    say(f"{connections} connections")
    command = [
        *("wrk", f"--threads={min(connections, 2)}", f"--connections={connections}"),
        *(f"--duration={seconds}s", "--timeout=30s", "--latency", f"--script={script}"),
        f"http://localhost:{port}",
    ]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout

    def found(pattern: str, default: str = "") -> str:
        match = re.search(pattern, text, re.MULTILINE)
        assert match or default, text
        return match[1] if match else default

    def time(percent: int) -> float:
        value = found(rf"^\s+{percent}%\s+(\S+)\s*$")
        amount = re.match(r"[\d.]+", value)
        assert amount, text
        return float(amount[0]) * UNITS[value[amount.end() :]]

    sockets = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    return Load(
        connections=connections,
        rate=float(found(r"^Requests/sec:\s+([\d.]+)")),
        p50=time(50),
        p99=time(99),
        answers=int(found(r"^\s+(\d+) requests in")),
        failed=int(found(r"Non-2xx or 3xx responses: (\d+)", "0"))
        + sum(map(int, re.findall(r"\d+", sockets[0] if sockets else ""))),
    )


if __name__ == "__main__":
    main()
