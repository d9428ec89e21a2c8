"""The bill of materials is whole, licences are known, and who asked nobody says so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.supply.audit import FOUND, NOT_ASKED, audit
from tests.supply.bill import Bill, bill, gaps
from tests.supply.licences import is_allowed, refused

WEAKNESS = {
    "id": "TEST-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "Made up",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "django"}, "versions": ["6.1.3"]}],
}


@cache
def whole_bill() -> Bill:
    """Have it made once."""
    return bill()


@pytest.fixture
def made() -> Bill:
    return whole_bill()


@contextmanager
def weakness_service(*, of: str) -> Iterator[str]:
    """Run a service like OSV.dev until the block ends, which knows a weakness of one package."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            queries = json.loads(self.rfile.read(length))["queries"]
            known = {"id": WEAKNESS["id"], "modified": WEAKNESS["modified"]}
            self.answer(
                {
                    "results": [
                        {"vulns": [known]} if query["package"]["name"] == of else {}
                        for query in queries
                    ]
                }
            )

        def do_GET(self) -> None:
            self.answer(WEAKNESS)

        def answer(self, what: object) -> None:
            body = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_bill_is_whole_and_licences_are_known(made: Bill) -> None:
    assert len(made["components"]) > 30
    assert not gaps(made)
    assert not refused(made)


def test_bill_is_the_same_each_time(made: Bill) -> None:
    assert bill() == made
    assert "timestamp" not in json.dumps(made)


def test_package_that_a_bill_lacks_is_named(made: Bill) -> None:
    rest = [one for one in made["components"] if one["name"] != "django"]
    (first, *others) = gaps({**made, "components": rest})
    assert first.startswith("django 6.")
    assert others  # What needs it leads nowhere.


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT OR Apache-2.0", True),
        ("MPL-2.0 AND MIT", True),
        ("BSD-3-Clause", True),
        ("AGPL-3.0-only", False),
        ("MIT AND AGPL-3.0-only", False),
        ("Proprietary", False),
    ],
)
def test_licence_is_allowed_if_all_of_it_is(licence: str, allowed: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    assert is_allowed(licence) is allowed


def test_package_that_says_nothing_of_its_licence_is_refused() -> None:
    unknown = {"components": [{"name": "a-package-that-is-not-there"}]}
    assert refused(unknown) == ["a-package-that-is-not-there: says nothing of its licence."]


def test_known_weakness_is_named() -> None:
    with weakness_service(of="django") as service:
        code, said = audit(service)
    assert code == FOUND
    assert "django 6.1.3" in said


def test_audit_that_finds_nothing_is_green() -> None:
    with weakness_service(of="a package of others") as service:
        assert audit(service)[0] == 0


def test_audit_that_could_ask_nobody_says_so_in_one_line() -> None:
    code, said = audit("http://127.0.0.1:1")
    assert code == NOT_ASKED
    assert said.startswith("Not audited: http://127.0.0.1:1 could not be asked (")
    assert said.count("\n") == 0
