"""Django's PostgreSQL backend, for a database that may fail over to another host.

libpq finds the host that accepts writes (`target_session_attrs`), but only when it connects. So a
connection is given up as soon as its server accepts none any more; and the host that was found last
is tried first, or every new connection would wait for one that is gone.
"""

from typing import Any

import psycopg
from django.db.backends.postgresql import base

#: The host and port that took the last connection, in this process.
_found: tuple[str, int] | None = None


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        return with_first(params, _found)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        global _found  # noqa: PLW0603  (for the connections of all threads)
        connection = super().get_new_connection(conn_params)
        _found = (connection.info.host, connection.info.port)
        return connection

    def is_usable(self) -> bool:
        """Say whether the connection works, and its server accepts writes."""
        if self.connection is None:
            return False
        try:
            # As Django asks, past its own cursors.
            answer = self.connection.execute("SHOW transaction_read_only").fetchone()
        except psycopg.Error:
            return False
        return bool(answer == ("off",))


def with_first(params: dict[str, Any], found: tuple[str, int] | None) -> dict[str, Any]:
    """Return parameters of a connection that try a host first, if it is one of theirs."""
    if "," not in params.get("host", ""):
        return params
    hosts = list(zip(params["host"].split(","), params["port"].split(","), strict=True))
    hosts.sort(key=lambda host: host != (found and (found[0], str(found[1]))))
    names, ports = zip(*hosts, strict=True)
    return {**params, "host": ",".join(names), "port": ",".join(ports)}
