"""Answers the health probes `/livez` and `/readyz` of an orchestrator or a load balancer.

This is a middleware, not a view: a probe comes by IP address and plain HTTP, which the host check
and the redirect to HTTPS would refuse.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from project import static_files
from project.asking import Asker
from project.draining import is_draining
from project.gate import ANSWER_SECONDS, PATIENCE, end
from tasks.engine.broker.clients import client_for
from tasks.engine.database import drop_connection
from tasks.engine.errors import error_name
from tasks.engine.management.migrated import missing_migrations
from tasks.engine.words import count

#: How long to wait for the database, as long as the gate does at most, and then for the broker.
#: Together it is less than the three seconds that a proxy gives a probe.
DATABASE_SECONDS = ANSWER_SECONDS * PATIENCE
BROKER_SECONDS = 0.5


@dataclass(frozen=True)
class Part:
    """How a part is: `ok`, `away`, `missing` or `unknown`, and why it is not `ok`.

    Anyone may read the reason: it holds nothing that a server has said.
    """

    state: str = "ok"
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether it is well."""
        return self.state == "ok"


class Readiness(JsonResponse):
    """The answer of `/readyz`. Django does not log each that is not 200."""

    _has_been_logged = True  # Django's mark, which it looks for.


SILENT = Part("away", "does not answer")
UNKNOWN = Part("unknown", "the database is away")


def look_at_static_files() -> Part:
    if found := static_files.fault():
        advice = "run manage.py collectstatic, and start the site again"
        return Part("missing", f"{found}: {advice}")
    return Part()


class HealthMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.was_migrated = False
        self.broker = client_for(
            settings.REDIS_URL,
            socket_connect_timeout=BROKER_SECONDS,
            socket_timeout=BROKER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        # The kept connection on which the database is asked, as long as it has not answered.
        self.waiting: psycopg.Connection[Any] | None = None
        self.ask_database = Asker(self.look_at_database).ask
        self.ask_broker = Asker(self.look_at_broker).ask

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return self.ready()
        return self.get_response(request)

    def ready(self) -> HttpResponse:
        """Answer how each part is: 503 if pages do not work, as they do without the broker.

        A site that is about to stop says so, and that it is not ready.
        """
        database, migrations = self.ask_database(DATABASE_SECONDS) or self.give_up_database()
        broker = self.ask_broker(BROKER_SECONDS)
        broker = SILENT if broker is None else broker
        parts = {
            "database": database,
            "migrations": migrations,
            "broker": broker,
            "static_files": look_at_static_files(),
        }
        stopping = {"stopping": True} if is_draining() else {}
        is_ready = bool(database and migrations and parts["static_files"] and not stopping)
        shown = {name: {k: v for k, v in asdict(part).items() if v} for name, part in parts.items()}
        status = 200 if is_ready else 503
        return Readiness({"ready": is_ready, **stopping, **shown}, status=status)

    def give_up_database(self) -> tuple[Part, Part]:
        """Return that the database is silent; one that was kept and leads nowhere is ended."""
        if (waiting := self.waiting) is not None:
            end(waiting)
        return SILENT, UNKNOWN

    def look_at_database(self) -> tuple[Part, Part]:
        """Return how the database is, and its migrations.

        The connection is kept: over a slow network, to connect takes many times as long as to ask.
        """
        was_connected = connection.connection is not None
        self.waiting = connection.connection if connection.vendor == "postgresql" else None
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            self.waiting = None
            missing = 0 if self.was_migrated else missing_migrations()
        except (DatabaseError, InterfaceError) as error:
            drop_connection()
            if was_connected:  # It may have been closed since the last probe.
                return self.look_at_database()
            return Part("away", f"cannot be used: {error_name(error)}"), UNKNOWN
        # A later version may have applied more: what was there once, is there.
        self.was_migrated = not missing
        if missing:
            return Part(), Part("missing", f"{count(missing, 'migration')}: run manage.py migrate")
        return Part(), Part()

    def look_at_broker(self) -> Part:
        try:
            self.broker.ping()
        except RedisError as error:
            return Part("away", f"cannot be used: {type(error).__name__}")
        return Part()
