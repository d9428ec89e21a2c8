"""Answers the health probes `/livez` and `/readyz` of an orchestrator or a load balancer.

This is a middleware, not a view: a probe comes by IP address and plain HTTP, which the host check
and the redirect to HTTPS would refuse.
"""

from collections.abc import Callable

import structlog
from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from project.draining import is_draining
from tasks.engine.broker.clients import client_for
from tasks.engine.management.migrated import check_migrated

logger = structlog.get_logger(__name__)


class HealthMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.migrated = False
        self.broker = client_for(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return self.ready()
        return self.get_response(request)

    def ready(self) -> HttpResponse:
        """Answer 200, or 503 with what this process cannot reach; the log has the reasons."""
        failing = []
        if is_draining():
            failing.append("stopping")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            if not self.migrated:
                check_migrated()
            self.migrated = True
        except CommandError as error:
            logger.warning("not ready", failing="database", reason=str(error))
            failing.append("database: lacks migrations")
        except DatabaseError as error:
            logger.warning("not ready", failing="database", reason=str(error))
            failing.append("database: cannot be reached")
        try:
            self.broker.ping()
        except RedisError as error:
            logger.warning("not ready", failing="broker", reason=str(error))
            failing.append("broker: cannot be reached")
        body = "".join(f"{line}\n" for line in failing or ["ok"])
        status = 503 if failing else 200
        return HttpResponse(body, content_type="text/plain", status=status)
