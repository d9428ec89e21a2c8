"""What programs wait for: the API, beside the same written plainly in Django REST framework.

    python -m tests.benchmarks.api

One worker of gunicorn with four threads, warm, under production settings, asked by eight
connections at once, which another process has: in turns, each for some seconds, for a page of the
list of somebody with 10,000 todos among 200,000 of other people, the first one and one deep inside,
and for a new todo, with an Idempotency-Key. Limits are those of production, so there are hundreds
of tokens. Then what the API adds to a process, when it is first asked for.

Ends with 1 if a bar is missed: 1.2 times as many requests per second as the plain one, a p99 that
is not longer, and nothing of the API in a process that serves pages. `--fast` takes few turns.
"""

import os
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from django.utils.crypto import get_random_string

from tests.benchmarks.asking import Question, asked
from tests.benchmarks.figures import Figure, header, milliseconds, ratios
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say
from tests.benchmarks.visits import LIST
from tests.checkout import compile_project, copy_project
from tests.processes import Tidy
from tests.servers import valkey_server
from tests.sites import collect_static, serving

SIZE = Size(users=2_000, todos=200_000)

#: The person whose list it is, the last of the people, and how long it is.
PERSON, TODOS = SIZE.users, 10_000

#: No token is asked with more often than the site allows, nor does anybody add more todos.
TOKENS, ADDERS = 200, 1_000

CONNECTIONS = 8
TURNS, TURN_SECONDS, WARMING_SECONDS = 7, 4.0, 2.0

#: How often a process is started to see what it imports.
STARTS = 9

BODY = '{"title": "Todo %d", "description": "Some words about it", "due_on": "2026-12-01"}'

#: Prints what the API adds to a process that serves pages: seconds, MB and modules.
IMPORT = """
import sys
from time import perf_counter
import django
django.setup()
import project.urls
from django.urls import get_resolver
from tests.benchmarks.memory import growth
get_resolver().resolve("/")
loaded = sum(name.split(".")[0] in {"ninja", "pydantic"} for name in sys.modules)
began = perf_counter()
def load():
    import project.api.urls
grown = growth(load)
print(perf_counter() - began, grown, loaded)
"""


def main() -> None:
    """Fill the tables, ask, and print what it took."""
    turns = 3 if "--fast" in sys.argv else TURNS
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        with (
            valkey_server(folder / "valkey") as broker,
            server(folder, SIZE, turns, broker=broker) as stage,
            gunicorn(folder, broker) as port,
        ):
            say("filling the tables")
            stage.fill(SIZE)
            stage.execute(LIST, user=PERSON, todos=TODOS)
            figures = [*compare(stage, port), *imports()]
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


@contextmanager
def gunicorn(folder: Path, broker: str) -> Iterator[int]:
    """Serve the site, and what it is compared with, until the block ends; yield the port."""
    settings = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.plainly.settings",
        "REDIS_URL": broker,
        "DJANGO_HTTPS": "false",
    }
    tidy = Tidy(copy_project(folder / "checkout"), settings)
    collect_static(tidy)
    with serving(tidy, folder / "gunicorn.log", "--workers=1", "--threads=4") as site:
        yield site.port


def compare(stage: Server, port: int) -> Iterator[Figure]:
    """Ask both sides in turns, case by case."""
    readers = make_tokens([PERSON] * TOKENS)
    writers = make_tokens(people(ADDERS))
    deep = stage.number(
        f"SELECT id FROM todos_todo WHERE user_id = {PERSON} ORDER BY id OFFSET {TODOS // 10}"
    )
    stage.settle()
    ours, plain = "/api/v1/todos", "/api/plain/todos"
    our_page = partial(Question, secrets=readers, items="items")
    plain_page = partial(Question, secrets=readers, items="results")
    new = partial(Question, secrets=writers, body=BODY, status=201)
    cases = {
        "first page": (our_page(path=ours), plain_page(path=plain)),
        "page deep inside": (
            our_page(path=f"{ours}?{our_cursor(deep)}"),
            plain_page(path=f"{plain}?{plain_cursor(deep)}"),
        ),
        "first page, a connection each": (
            our_page(path=ours, keeps_alive=False),
            plain_page(path=plain, keeps_alive=False),
        ),
        "new todo": (new(path=ours), new(path=plain)),
    }
    for what, questions in cases.items():
        say(what)
        yield from turns_of(what, port, stage.runs, *questions)


def turns_of(what: str, port: int, turns: int, ours: Question, plain: Question) -> Iterator[Figure]:
    """Ask both for so many turns, and compare each turn with the other's."""
    from tests.benchmarks.measuring import in_turns  # noqa: PLC0415  (needs the settings)

    sides = [
        partial(asked, port, one, connections=CONNECTIONS, seconds=TURN_SECONDS)
        for one in (ours, plain)
    ]
    for side in sides:
        side(seconds=WARMING_SECONDS)
    mine, its = in_turns(turns, *sides)
    yield Figure(what=f"{what}: requests", runs=[one.rate for one in mine], unit="/s")
    yield Figure(what=f"{what}: the plain one's", runs=[one.rate for one in its], unit="/s")
    yield ratios(
        f"{what}: requests, by the plain one's",
        [one.rate for one in mine],
        [one.rate for one in its],
        at_least=1.2,
        note=f"the asking process is busy for {max(one.busy for one in [*mine, *its]):.0%}",
    )
    for name in ("p50", "p99"):
        times, its_times = ([getattr(one, name) for one in side] for side in (mine, its))
        note = f"the plain one's {1000 * median(its_times):.1f} ms"
        yield milliseconds(f"{what}: {name}", times, note=note)
    yield ratios(
        f"{what}: p99, by the plain one's",
        [one.p99 for one in mine],
        [one.p99 for one in its],
        at_most=1,
    )


def people(number: int) -> list[int]:
    """Return so many people who may log in."""
    from accounts.models import User  # noqa: PLC0415  (needs the settings)

    return list(User.objects.active().order_by("pk").values_list("pk", flat=True)[:number])


def make_tokens(user_ids: list[int]) -> list[str]:
    """Make each of these people a token that was used just now; return the secrets.

    Past the service: a person may not have so many.
    """
    from django.utils import timezone  # noqa: PLC0415  (needs the settings)

    from accounts.models import Access, Token  # noqa: PLC0415  (as above)

    now = timezone.now()
    prefixes = [get_random_string(8) for _ in user_ids]
    secrets = [f"tidy_{prefix}_{get_random_string(32)}" for prefix in prefixes]
    Token.objects.bulk_create(
        Token(
            user_id=user_id,
            name="benchmark",
            access=Access.WRITE,
            prefix=prefix,
            digest=sha256(secret.encode()).hexdigest(),
            last_used_at=now,
        )
        for user_id, prefix, secret in zip(user_ids, prefixes, secrets, strict=True)
    )
    return secrets


def our_cursor(pk: int) -> str:
    from todos.api.cursors import write  # noqa: PLC0415  (needs the settings)

    return urlencode({"cursor": write(pk)})


def plain_cursor(pk: int) -> str:
    return urlencode({"cursor": b64encode(f"p={pk}".encode()).decode()})


def imports() -> Iterator[Figure]:
    """Start processes, and see what the API adds to them."""
    say("starting processes")
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = copy_project(Path(name) / "checkout")
        compile_project(folder)
        environment = {**os.environ, "DJANGO_HTTPS": "false"}
        said = [
            subprocess.run(
                [sys.executable, "-c", IMPORT],
                cwd=folder,
                env=environment,
                capture_output=True,
                check=True,
                text=True,
            ).stdout
            for _ in range(STARTS)
        ]
    seconds, grown, loaded = zip(*(map(float, line.split()) for line in said), strict=True)
    yield milliseconds("first request: import the API", seconds)
    yield Figure(what="first request: memory", runs=grown, unit="MB")
    yield Figure(what="pages alone: modules of ninja and pydantic", runs=[max(loaded)], at_most=0)


if __name__ == "__main__":
    main()
