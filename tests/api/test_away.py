"""What programs are answered while the database is away, by a real web server."""

import json
import re
from pathlib import Path

import pytest

from tests.checkout import copy_compiled
from tests.links import link_to
from tests.processes import Tidy, wait_until
from tests.servers import valkey_server
from tests.sites import Answer, Site, collect_static, serving

pytestmark = pytest.mark.e2e

#: The longest that anybody waits for an answer, beside other tests.
PROMPT_SECONDS = 4.0

#: Adds somebody, and prints the secret of a token of theirs.
ADD_ALICE = """
from accounts.models import Access, User
from accounts.tokens.services import TokenService
alice = User.objects.create_user("alice")
print(TokenService.create(user=alice, name="Script", access=Access.WRITE).secret)
"""


def test_program_is_told_to_wait_at_once_and_goes_on_by_itself(
    checkout: Path, postgresql: Path, migrated_database: str, tmp_path: Path
) -> None:
    (name,) = re.findall(r"@/(\w+)\?", migrated_database)
    copy = copy_compiled(checkout, tmp_path / "tidy")
    (tmp_path / "valkey").mkdir()
    with (
        valkey_server(tmp_path / "valkey") as broker,
        link_to(postgresql / ".s.PGSQL.5432") as link,
    ):
        settings = {
            "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
            "DJANGO_HTTPS": "false",
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{link.port}/{name}",
            "REDIS_URL": broker,
        }
        tidy = Tidy(copy, settings)
        collect_static(tidy)
        added = tidy.manage("shell", "-v0", "-c", ADD_ALICE)
        assert added.returncode == 0, added.stderr
        secret = added.stdout.strip()
        with serving(tidy, tmp_path / "web.log", "--workers=1") as site:
            wait_until_well(site, secret)
            for cut in (link.swallow, link.refuse):
                cut()
                for path in ("todos", "me", "export", "trash/1"):
                    assert_away(ask(site, path, secret))
                assert_away(ask(site, "trash/restore-last-night", secret, "POST"))
                assert_away(site.ask("/api/v1/me"))
                link.restore()
                wait_until_well(site, secret)
            log = site.process.output()
    assert "Traceback" not in log
    assert secret.rpartition("_")[2] not in log


def ask(site: Site, path: str, secret: str, method: str = "GET") -> Answer:
    return site.ask(f"/api/v1/{path}", method, Authorization=f"Bearer {secret}")


def wait_until_well(site: Site, secret: str) -> None:
    wait_until(
        lambda: ask(site, "me", secret).status == 200, seconds=30, otherwise=site.process.output
    )


def assert_away(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Retry-After"].isdecimal()
    assert answer.seconds < PROMPT_SECONDS
    assert "Tidy cannot reach its data" in json.loads(answer.text)["detail"]
