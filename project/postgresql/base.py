"""Django's PostgreSQL backend, for a database that may be away, or fail over to another host.

A web request waits for a new connection only briefly: libpq waits for at least two seconds, and for
the name server without a limit.

libpq finds the host that accepts writes (`target_session_attrs`), but only when it connects. So a
connection is given up as soon as its server accepts none any more; and the host that was found last
is tried first, or every new connection would wait for one that is gone.
"""

from functools import partial
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from project.gate import gate

#: The host and port that took the last connection, in this process.
_found: tuple[str, int] | None = None


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        return with_first(params, _found)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect: in a request as `Gate.connect` does, elsewhere patiently."""
        global _found  # noqa: PLW0603  (for the connections of all threads)
        connect = partial(super().get_new_connection, conn_params)
        connection = (
            gate.connect(connect, hosts=len(hosts_of(conn_params))) if gate.has_me() else connect()
        )
        _found = (connection.info.host, connection.info.port)
        return connection

    def is_usable(self) -> bool:
        """Say whether the connection works, and its server still is the one that is wanted."""
        if self.settings_dict["OPTIONS"].get("target_session_attrs", "any") == "any":
            usable: bool = super().is_usable()
            return usable
        if self.connection is None:
            return False
        try:
            # As Django asks, past its own cursors.
            answer = self.connection.execute("SHOW transaction_read_only").fetchone()
        except psycopg.Error:
            return False
        return bool(answer == ("off",))


def hosts_of(params: dict[str, Any]) -> list[str]:
    """Return the hosts that are tried, one after the other."""
    return str(params.get("host", "")).split(",")


def with_first(params: dict[str, Any], found: tuple[str, int] | None) -> dict[str, Any]:
    """Return parameters of a connection that try a host first, if it is one of theirs."""
    if len(hosts_of(params)) == 1:
        return params
    hosts = list(zip(hosts_of(params), params["port"].split(","), strict=True))
    hosts.sort(key=lambda host: host != (found and (found[0], str(found[1]))))
    names, ports = zip(*hosts, strict=True)
    return {**params, "host": ",".join(names), "port": ",".join(ports)}
