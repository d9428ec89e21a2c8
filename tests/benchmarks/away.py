"""How long visitors wait for an answer when the database goes away, and how soon pages are back.

    python -m tests.benchmarks.away

gunicorn, as in gunicorn.conf.py, has a connection open for each of the visitors who ask at once.
Then connections to PostgreSQL are refused; or all of its processes are frozen; or nothing arrives
there any more, and nothing comes back. Ends with 1 if an answer takes longer than a second.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.checkout import copy_project
from tests.keys import SECRET_KEY
from tests.links import link_to
from tests.processes import Tidy, wait_until
from tests.servers import postgresql_server, valkey_server
from tests.sites import Answer, Site, collect_static, log_in, serving

#: As many as gunicorn has threads.
VISITORS = 8

#: How often each is done, and how often visitors ask again meanwhile.
TIMES, LATER = 5, 3

AT_MOST_MS = 1000.0


def main() -> None:
    """Take the database away in each way, and print how long that took to answer."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as name, ExitStack() as stack:
        os.environ["XDG_RUNTIME_DIR"] = name  # For PostgreSQL's lock.
        folder = Path(name)
        (folder / "valkey").mkdir()
        broker = stack.enter_context(valkey_server(folder / "valkey"))
        host = stack.enter_context(postgresql_server(folder))
        link = stack.enter_context(link_to(host / ".s.PGSQL.5432"))
        tidy = Tidy(copy_project(folder / "tidy"), settings(broker, link.port))
        assert tidy.manage("migrate", "-v0").returncode == 0
        collect_static(tidy)
        site = stack.enter_context(serving(tidy, folder / "web.log", cookies=log_in(tidy)))
        figures = [
            *away(site, "refused", link.refuse, link.restore),
            *away(site, "frozen", lambda: freeze(host), lambda: thaw(host)),
            *away(site, "swallowed", link.swallow, link.restore),
        ]
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


def settings(broker: str, port: int) -> dict[str, str]:
    return {
        "DJANGO_SECRET_KEY": SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_HTTPS": "false",
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/postgres",
        "REDIS_URL": broker,
    }


def away(
    site: Site, how: str, take: Callable[[], object], give_back: Callable[[], object]
) -> list[Figure]:
    """Take the database away several times; return how long the slowest answers took."""
    first, later, back = [], [], []
    for _ in range(TIMES):
        wait_until_pages(site)
        take()
        first.append(slowest(site))
        later.append(max(slowest(site) for _ in range(LATER)))
        give_back()
        back.append(wait_until_pages(site))
    return [
        milliseconds(f"{how}: first answers", first, at_most=AT_MOST_MS),
        milliseconds(f"{how}: later answers", later, at_most=AT_MOST_MS),
        milliseconds(f"{how}: pages are back after", back),
    ]


def slowest(site: Site) -> float:
    """Return how long (seconds) the last of all visitors waited to be told that it is away."""
    answers: list[Answer] = site.ask_at_once("/", VISITORS)
    assert {answer.status for answer in answers} == {503}, answers
    return max(answer.seconds for answer in answers)


def wait_until_pages(site: Site) -> float:
    """Return when everybody has a page again, and how long (seconds) that took."""
    begun = monotonic()
    wait_until(
        lambda: {answer.status for answer in site.ask_at_once("/", VISITORS)} == {200},
        seconds=30,
        otherwise=site.process.output,
    )
    return monotonic() - begun


def freeze(host: Path) -> None:
    """Stop all of the server's processes where they are."""
    signal_all(host, signal.SIGSTOP)
    sleep(0.1)  # A signal takes a moment to arrive.


def thaw(host: Path) -> None:
    signal_all(host, signal.SIGCONT)


def signal_all(host: Path, number: signal.Signals) -> None:
    master = int((host / ".s.PGSQL.5432.lock").read_text().splitlines()[0])
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    for pid in [master, *map(int, children)]:
        os.kill(pid, number)


if __name__ == "__main__":
    main()
