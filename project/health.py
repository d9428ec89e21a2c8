"""Answers the health probes `/livez` and `/readyz` of an orchestrator or a load balancer.

A middleware does so, not a view: a probe comes by IP address and plain HTTP, which the host check
and the redirect to HTTPS would turn away.
"""

from collections.abc import Callable

import redis
import structlog
from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from tasks.engine.management.migrated import check_migrated

logger = structlog.get_logger(__name__)


def is_migrated() -> bool:
    """Return whether all migrations of this version have been applied; log what is wrong."""
    try:
        check_migrated()
    except CommandError as error:
        logger.warning("not ready", failing="database", reason=str(error))
        return False
    return True


class HealthMiddleware:
    """Answers the health probes and passes every other request on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.migrated = False
        self.broker = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return self.ready()
        return self.get_response(request)

    def ready(self) -> HttpResponse:
        """Return 200 if this process can reach all it needs, or 503 with what it cannot reach.

        The reasons go to the log, not into the response.
        """
        failing = []
        try:
            connection.ensure_connection()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            self.migrated = self.migrated or is_migrated()
            if not self.migrated:
                failing.append("database: lacks migrations")
        except DatabaseError as error:
            logger.warning("not ready", failing="database", reason=str(error))
            failing.append("database: cannot be reached")
        try:
            self.broker.ping()
        except RedisError as error:
            logger.warning("not ready", failing="broker", reason=str(error))
            failing.append("broker: cannot be reached")
        return HttpResponse(
            "".join(f"{line}\n" for line in failing or ["ok"]),
            content_type="text/plain",
            status=503 if failing else 200,
        )
