"""The API as schemathesis asks it: the site in one thread, and what holds for all answers."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from gzip import decompress
from typing import Any
from unittest.mock import patch

import schemathesis
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections, transaction
from django.db.models import QuerySet
from django.urls import Resolver404, resolve
from hypothesis import strategies as st
from schemathesis import Case, Config, Response
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.run import PhaseName
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.schemas import BaseSchema
from schemathesis.transport.wsgi import WSGITransport

from accounts.models import Access, Token, User, available_time_zones
from accounts.tokens.services import TokenService
from project.api.document import operations
from project.api.problems import CONTENT_TYPE
from tests.factories import new_todo, trash
from tests.fuzz.cast import mark
from todos.api.cursors import write
from todos.models import IdempotencyKey, Todo, TrashedTodo

DOCUMENT = "/api/v1/openapi.json"

#: What every error has.
MEMBERS = {"type", "title", "status", "code", "detail"}

#: What no answer shows: it is another person's.
SECRET = mark("bob", "todo")

#: A converter in a route, which the document has without its kind.
KIND = re.compile(r"<\w+:(\w+)>")

#: Rows of each person in each of the list and the trash.
EACH = 4

#: One request for each operation; each limit, and what lies beyond it; much; and along the links.
PHASES = ("examples", "coverage", "fuzzing", "stateful")
PLANTED_ALONE = {"extra-data-sources": {"responses": False}}

type Start = Callable[..., Any]
type Row = Token | Todo | TrashedTodo | User


@dataclass
class Planted:
    """What a person has, as each request is to find it, and what another one has.

    Attributes:
        secret: of a token that may change.
        rows: theirs.
        others: the other person's, whose ids are asked for, too.
    """

    secret: str
    rows: list[Row]
    others: list[Row]

    def ids(self, kind: type[Todo | TrashedTodo]) -> list[int]:
        """Return ids of todos: most of them the person's."""
        rows = [*self.rows, *self.others[::EACH]]
        return [row.pk for row in rows if isinstance(row, kind)]

    def put_back(self) -> None:
        """Have the person's rows as they were planted."""
        with transaction.atomic():
            for model in (Todo, TrashedTodo, Token):
                QuerySet(model).filter(user=self.rows[0].pk).delete()
            for row in self.rows:
                row.save()


def plant() -> Planted:
    """Give two people todos, done and open, in the list and in the trash, and one a token."""
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    token, secret = TokenService.create(user=alice, name="fuzz", access=Access.WRITE)
    for number in range(EACH):
        new_todo(alice, completed_at=None) if number % 2 else new_todo(alice)
        new_todo(bob, title=SECRET, description=SECRET)
    trash(alice, *map(str, range(EACH)))
    trash(bob, *[SECRET] * EACH)
    return Planted(secret, [alice, token, *todos_of(alice)], todos_of(bob))


def todos_of(user: User) -> list[Row]:
    """Return a person's todos on the list and in the trash."""
    on_list, in_trash = Todo.objects.filter(user=user), TrashedTodo.objects.filter(user=user)
    return [*on_list.order_by("pk"), *in_trash.order_by("pk")]


@dataclass
class Server:
    """The site as its web server calls it. One thread answers, whoever asks: it has a connection.

    Attributes:
        puts_back: whether each request finds what was planted, or what earlier ones have left.
        answers: how many there were, by operation and status.
        broken: what answers have not kept that all of them have to, each with the first request.
    """

    planted: Planted
    thread: ThreadPoolExecutor
    puts_back: bool = True
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)
    handler: WSGIHandler = field(default_factory=WSGIHandler)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer a request."""
        status, headers, body = self.thread.submit(self._answer, environ).result()
        start(status, list(headers.items()))
        return [body]

    def answered(self, operation: str) -> list[int]:
        """Return the statuses with which an operation has answered."""
        return [status for name, status in self.answers if name == operation]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
        cache.clear()  # Or most requests would only be too many.
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            begun.append((status, headers))

        response = self.handler(environ, start)
        body = b"".join(response)
        response.close()
        ((status, given),) = begun
        headers = dict(given)
        if headers.pop("Content-Encoding", "") == "gzip":
            body = decompress(body)  # As clients do; the one of schemathesis does not.
        code = int(status.split()[0])
        self.answers[operation_of(environ), code] += 1
        for wrong in wrong_with(code, headers, body):
            self.broken.setdefault(wrong, f"{status} of {operation_of(environ)}: {environ}")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            self._after_change()
        return status, headers, body

    def _after_change(self) -> None:
        """Put back what would be in the way of the next request."""
        # Of the same key with other data, the second request is refused, and rightly so.
        IdempotencyKey.objects.all().delete()
        if self.puts_back:
            self.planted.put_back()
        for row in self.planted.rows:
            if isinstance(row, Token):
                row.save()  # It may have revoked itself.


def operation_of(environ: dict[str, Any]) -> str:
    """Return the operation that a request asks for, by the names of the document."""
    try:
        route = resolve(environ["PATH_INFO"]).route
    except Resolver404:
        return "none"
    return f"{environ['REQUEST_METHOD']} /{KIND.sub(r'{\1}', route)}"


def wrong_with(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """Yield what an answer lacks that each has; an error, that each error has."""
    if headers.get("Cache-Control") != "no-store":
        yield "It may be kept."
    if SECRET.encode() in body:
        yield "It shows what is another person's."
    if status < 400:
        return
    if headers.get("Content-Type") != CONTENT_TYPE:
        yield f"An error is {headers.get('Content-Type')}."
        return
    problem = json.loads(body)
    if not MEMBERS <= problem.keys() <= MEMBERS | {"errors"} or problem["status"] != status:
        yield f"A problem has {sorted(problem)}."


@contextmanager
def serving() -> Iterator[Server]:
    """Yield the site, with somebody's rows."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        server = Server(thread.submit(plant).result(), thread)
        try:
            yield server
        finally:
            thread.submit(connections.close_all).result()


def settings_of(
    planted: Planted, *, examples: int, seed: int, phases: Collection[str]
) -> dict[str, Any]:
    """Return how schemathesis is to ask: with all of its checks, and ids that mostly exist."""
    of_phases: dict[str, dict[str, Any]] = {
        # What an earlier answer has shown is gone: the rows are put back.
        "examples": {**PLANTED_ALONE, "fill-missing": True},
        "coverage": PLANTED_ALONE,
        "fuzzing": PLANTED_ALONE,
        "stateful": {"generation": {"max-examples": 3 * examples}},
    }
    return {
        "seed": seed,
        "generation": {"max-examples": examples, "database": "none"},
        "suppress-health-check": ["all"],
        "phases": {
            name: {**values, "enabled": name in phases} for name, values in of_phases.items()
        },
        # The secret is that of a test.
        "output": {"sanitization": {"enabled": False}},
        "auth": {"openapi": {"BearerToken": {"bearer": planted.secret}}},
        "checks": {
            # It is right to refuse a change if the todo has not the state that If-Match makes up.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "404", "409", "412"]},
        },
        "dictionaries": {
            "on-list": {"values": planted.ids(Todo)},
            "in-trash": {"values": planted.ids(TrashedTodo)},
        },
        "operations": [
            {"include-path-regex": f"/{part}", "parameters": {name: mostly(dictionary)}}
            for part, name, dictionary in (
                ("todos/.todo_id", "path.todo_id", "on-list"),
                ("trash/.todo_id", "path.todo_id", "in-trash"),
                ("trash/(delete|restore)", "body.ids[*]", "in-trash"),
            )
        ],
    }


def mostly(dictionary: str) -> dict[str, Any]:
    return {"dictionary": dictionary, "probability": 0.8}


SEND = WSGITransport.send


def send_in_process(transport: WSGITransport, case: Case[Any], **values: Any) -> Response:
    """Send a request without what only a network takes; some checks of schemathesis give that."""
    for name in ("max_redirects", "verify", "cert"):
        values.pop(name, None)
    return SEND(transport, case, **values)


def ask(server: Server, *, examples: int, seed: int, phases: Collection[str] = PHASES) -> list[str]:
    """Ask for all that the served document describes, as it describes it and otherwise.

    Args:
        server: answers.
        examples: of each operation, with valid and invalid data; thrice as many along the links.
        seed: of the data.
        phases: which of PHASES.

    Returns:
        What was found, each with how to ask for it.
    """
    settings = settings_of(server.planted, examples=examples, seed=seed, phases=phases)
    tags = [f'"{row.state}"' for row in server.planted.rows if isinstance(row, Todo)]
    formats = {
        "cursor": [write(pk) for pk in server.planted.ids(Todo)],
        "time-zone": sorted(available_time_zones()),
        "entity-tags": ["*", 'W/"of-none"', ", ".join(tags), *tags],
    }
    for name, values in formats.items():
        schemathesis.openapi.format(name, st.sampled_from(values))
    with patch.object(WSGITransport, "send", send_in_process):
        schema = schemathesis.openapi.from_wsgi(DOCUMENT, server, config=Config.from_dict(settings))
        schema.hook("filter_failure")(unless_of_formats(formats))
        found = list(dict.fromkeys(run(schema, server)))
    silent = [
        f"{name} has never answered with success."
        for name in names_of(schema)
        if not any(200 <= status < 300 for status in server.answered(name))
    ]
    broken = [f"{wrong} {request}" for wrong, request in server.broken.items()]
    return [*found, *silent, *broken]


def unless_of_formats(formats: dict[str, list[str]]) -> Callable[..., bool]:
    """Return what says whether a failure is one.

    It is none if data was refused that only seemed valid: where schemathesis tries constants of the
    program, it takes no notice of formats that we have made up.
    """

    def is_failure(context: object, failure: Failure, case: Case[Any], response: Response) -> bool:
        if not isinstance(failure, RejectedPositiveData):
            return True
        body = case.body if isinstance(case.body, dict) else {}
        zone, cursor = body.get("time_zone", ""), case.query.get("cursor")
        return zone in ["", *formats["time-zone"]] and cursor in [None, *formats["cursor"]]

    return is_failure


def names_of(schema: BaseSchema) -> list[str]:
    """Return the operations of a document."""
    return [f"{method.upper()} {path}" for path, method, _ in operations(schema.raw_schema)]


def run(schema: BaseSchema, server: Server) -> Iterator[str]:
    """Yield what each event says that is wrong."""
    for event in from_schema(schema).execute():
        match event:
            case events.PhaseStarted():
                # Along links, what one request has done is what the next one is about.
                server.puts_back = event.phase.name != PhaseName.STATEFUL_TESTING
            case events.ScenarioFinished():
                yield from failures(event)
            case events.NonFatalError():
                yield f"{event.label}: {event.info.format()}"
            case events.FatalError():
                raise event.exception


def failures(event: events.ScenarioFinished) -> Iterator[str]:
    """Yield each check that has failed, with how to ask again."""
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                yield (
                    f"{event.phase.value}: {check.name}: {failure.operation}: {failure.title}\n"
                    f"{failure.message}\n{check.failure_info.code_sample}"
                )
