"""Addresses that are right, however they are written, and that are read without a connection."""

import certifi
import pytest

from project.addresses import sender
from project.databases import database_from
from project.environment import broker_address

SENTINELS = "redis+sentinel://:Kf7@one,two:26380,[::1]/tidy/0?sentinel_password=m2q"


@pytest.mark.parametrize(
    "address",
    [
        *("redis://localhost", "redis://localhost/", "redis://[::1]:6379/3", "redis://h/0/"),
        *("unix:///run/valkey.sock?db=2&password=x", "unix://tidy:x@/run/valkey.sock"),
        *("redis://h?protocol=2&health_check_interval=0&encoding=utf-8&client_name=x", SENTINELS),
        "rediss://u:p@h:6380/1?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_min_version=771",
        f"rediss://h?ssl_ca_certs={certifi.where()}&",
        *(
            "rediss://h?ssl_validate_ocsp=false&encoding_errors=replace",
            "redis://[fe80::1%25eth0]/0",
        ),
        "rediss+sentinel://one/tidy?ssl_ca_path=/&socket_timeout=0.5&max_connections=1",
    ],
)
def test_address_of_a_broker_is_accepted(address: str) -> None:
    broker_address(address)


@pytest.mark.parametrize(
    "address",
    [
        *("postgresql://tidy:x@h/tidy", "postgresql://%2Frun%2Fpostgresql/tidy"),
        *("postgresql:///tidy?host=/run/postgresql", "postgresql://h:5/tidy?hostaddr=10.0.0.1"),
        "postgresql://one,two:5433,[::1]:5434/tidy?target_session_attrs=read-write",
        "postgresql://h/tidy?options=-c%20lock_timeout%3D2s&sslmode=require&connect_timeout=3",
        "postgresql://h/tidy?sslmode=verify-full&sslrootcert=system&currentSchema=todos",
        "postgresql://h/tidy?prepare_threshold=0&assume_role=x&server_side_binding=true",
        "postgresql://h/tidy?gssencmode=require&sslmode=require&sslcert=/none&isolation_level=2&",
        *("sqlite://:memory:", "sqlite:////a/its%20own%3F.sqlite3?timeout=5"),
        "sqlite:////a/b?transaction_mode=immediate&cached_statements=10",
    ],
)
def test_address_of_a_database_is_accepted_wherever_it_is(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where libpq's own variables say something else."""
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGPORT", "1,2")
    assert database_from(address)["ENGINE"] in {"project.postgresql", "project.sqlite"}


@pytest.mark.parametrize(
    "text", ["tidy@mail", "Ü. Tidy <tidy@exämple.de>", '"T, Inc." <a.b+c@d.e>']
)
def test_sender_is_accepted(text: str) -> None:
    sender(text)
