"""What people see while the database is away, from a real web server: at once, in their words."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from tests.checkout import copy_compiled
from tests.links import Link, link_to
from tests.processes import Tidy, wait_until
from tests.seam.injection import Value
from tests.servers import free_port, postgresql_database, valkey_server
from tests.sites import Answer, Site, collect_static, lives, log_in, serving

pytestmark = pytest.mark.e2e

#: The longest that anybody waits for an answer. At rest it takes less than a second, as
#: docs/operations.md says, and beside three other tests three times that; libpq's own time-outs
#: take five seconds and more.
PROMPT_SECONDS = 4.0

#: More than the web has threads.
CROWD = 12


@pytest.fixture(scope="module")
def link(postgresql: Path) -> Iterator[Link]:
    with link_to(postgresql / ".s.PGSQL.5432") as link:
        yield link


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("away")


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[str]:
    (folder / "valkey").mkdir()
    with valkey_server(folder / "valkey") as broker:
        yield broker


@pytest.fixture(scope="module")
def copy(checkout: Path, folder: Path, broker: str) -> Path:
    """A copy of the project with its static files, without which production shows no page."""
    copy = copy_compiled(checkout, folder / "tidy")
    collect_static(Tidy(copy, production(broker, "sqlite://:memory:")))
    return copy


@pytest.fixture(scope="module")
def of_site(postgresql: Path, migrated: str) -> Iterator[str]:
    """The address of the site's database, without the link."""
    with postgresql_database(postgresql, template=migrated) as database:
        yield database


@pytest.fixture(scope="module")
def running(copy: Path, folder: Path, of_site: str, link: Link, broker: str) -> Iterator[Site]:
    """The site, with its database at the other end of the link; alice is logged in."""
    impatient = f"{over(link, of_site)}?options=-c%20lock_timeout%3D2s"
    tidy = Tidy(copy, production(broker, impatient))
    with serving(tidy, folder / "web.log", cookies=log_in(tidy)) as site:
        yield site


@pytest.fixture
def site(running: Site, link: Link) -> Iterator[Site]:
    """The running site, each of whose threads has a connection to the database."""
    link.restore()
    wait_until_back(running)
    yield running
    link.restore()


def production(broker: str, database: str) -> dict[str, str]:
    return {
        "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_HTTPS": "false",
        "DATABASE_URL": database,
        "REDIS_URL": broker,
    }


def over(link: Link, database: str) -> str:
    """Return the address of a database by a link."""
    (name,) = re.findall(r"@/(\w+)\?", database)
    return f"postgresql://postgres@127.0.0.1:{link.port}/{name}"


def wait_until_back(site: Site) -> None:
    """Return when everybody gets pages again, still logged in."""
    wait_until(
        lambda: {answer.status for answer in site.ask_at_once("/", CROWD)} == {200},
        seconds=30,
        otherwise=site.process.output,
    )
    assert "alice" in site.ask("/").text


def assert_friendly(answers: list[Answer]) -> None:
    for answer in answers:
        assert answer.status == 503
        assert answer.headers["Retry-After"].isdecimal()
        assert answer.seconds < PROMPT_SECONDS
        assert "Tidy cannot reach its data at the moment." in answer.text


def test_no_connection_outlives_an_outage_unnoticed(site: Site, link: Link) -> None:
    """Those on which no request waited when the database failed over lead to nowhere, too."""
    link.abandon()
    answers = [site.ask("/") for _ in range(CROWD)]
    assert {answer.status for answer in answers} <= {200, 503}
    assert max(answer.seconds for answer in answers) < PROMPT_SECONDS
    wait_until_back(site)


@pytest.mark.parametrize("how", ["swallow", "refuse"])
def test_everybody_is_answered_at_once_and_the_log_has_two_lines(
    site: Site, link: Link, how: str
) -> None:
    """A server that is frozen, or behind a network that swallows, says nothing."""
    before = len(site.process.output())

    def told(event: str) -> int:
        return site.process.output()[before:].count(event)

    def both_met_it() -> bool:  # Which of the two processes answers is chance.
        assert_friendly(site.ask_at_once("/", CROWD))
        return told("database away") >= 2

    def both_are_back() -> bool:
        site.ask_at_once("/", CROWD)
        return told("database back") >= 2

    getattr(link, how)()
    wait_until(both_met_it, seconds=30, otherwise=site.process.output)
    assert_friendly(site.ask_at_once("/trash/", CROWD))
    assert_friendly([site.ask("/admin/"), site.ask("/accounts/login/")])
    assert site.ask("/livez").status == 200
    link.restore()
    wait_until_back(site)
    wait_until(both_are_back, seconds=30, otherwise=site.process.output)
    log = site.process.output()[before:]
    assert "Traceback" not in log
    # Each of the two processes says it once, and nothing else that is wrong.
    events = [json.loads(line) for line in log.splitlines()]
    events_told = Counter(
        line["event"] for line in events if line["logger"] == "tasks.engine.outages"
    )
    assert events_told == {"database away": 2, "database back": 2}
    assert {line["event"] for line in events if line["level"] == "error"} == {"database away"}


def test_page_is_in_the_readers_language_and_loads_nothing_from_elsewhere(
    site: Site, link: Link
) -> None:
    link.refuse()
    german = site.ask("/", Accept_Language="de")
    assert german.status == 503
    assert '<html lang="de">' in german.text
    assert "Gleich wieder da" in german.text
    assert german.headers["Content-Language"] == "de"
    assert german.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "no-store" in german.headers["Cache-Control"]


def test_who_sends_something_is_told_that_it_was_not_saved(site: Site, link: Link) -> None:
    link.swallow()
    first = site.ask("/add/", "POST")  # It may have got as far as the database.
    assert first.status == 503
    assert re.search("was not saved|may have been saved, or not", first.text)
    assert_friendly(site.ask_at_once("/", CROWD))  # Now both processes know.
    page = site.ask("/add/", "POST")
    assert "It was not saved. Go back, and send it again" in page.text
    line = site.ask("/add/", "POST", HX_Request="true")
    assert line.headers["Content-Type"].startswith("text/plain")
    assert line.text == (
        "Tidy cannot reach its data at the moment. It was not saved. Try again in a moment."
    )


def test_console_says_what_it_can_and_is_whole_again_by_itself(site: Site, link: Link) -> None:
    link.refuse()
    assert_friendly(site.ask_at_once("/", CROWD))
    wait_for(lambda: "cannot be read since <time" in site.ask("/admin/background/").text)
    page = site.ask("/admin/background/")
    assert page.status == 503
    assert "The broker answers." in page.text
    assert 'hx-get="/admin/background/"' in page.text
    live = site.ask("/admin/background/", HX_Request="true")
    assert (live.status, "<html" in live.text) == (503, False)
    assert "the database cannot be read" in live.text
    assert "All well" not in page.text + live.text
    link.restore()
    wait_until_back(site)
    assert "No scheduler is alive" in site.ask("/admin/background/", HX_Request="true").text


def test_slow_page_is_no_outage(site: Site, of_site: str) -> None:
    """A lock keeps pages for longer than the gate is patient; the database answers others."""
    before = len(site.process.output())
    with psycopg.connect(of_site) as lock, ThreadPoolExecutor() as pool:
        lock.execute("LOCK TABLE todos_todo IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(site.ask, "/")
        wait_for(lambda: site.ask("/accounts/login/").status == 302)
        assert not waiting.done()
        answer = waiting.result()
    assert answer.seconds > 1.5  # The database's lock_timeout ends it.
    assert "Something else is changing it" in answer.text
    assert "database away" not in site.process.output()[before:]


def test_slow_network_is_no_outage(
    copy: Path, broker: str, tmp_path: Path, postgresql: Path, migrated_database: str
) -> None:
    """There and back takes longer than the gate gives a database of which it knows nothing."""
    with link_to(postgresql / ".s.PGSQL.5432") as link:
        tidy = Tidy(copy, production(broker, over(link, migrated_database)))
        with serving(tidy, tmp_path / "web.log", "--workers=1", cookies=log_in(tidy)) as site:
            wait_until_back(site)
            link.slow_down(0.25)
            wait_for(lambda: statuses(site) == {200})  # At first it may be taken for away.
            assert [statuses(site) for _ in range(2)] == 2 * [{200}]
            # Its first connection may take longer than a probe waits, and is kept.
            wait_for(lambda: site.ask("/readyz").status == 200)
            for _ in range(3):
                ready(site, 200)
            link.swallow()
            assert_friendly(site.ask_at_once("/", CROWD))


def statuses(site: Site) -> set[int]:
    return {answer.status for answer in site.ask_at_once("/", 4)}


# Probes


def test_readiness_names_each_part_and_follows_them_without_a_restart(
    copy: Path, broker: str, tmp_path: Path, postgresql: Path, link: Link
) -> None:
    link.restore()
    with postgresql_database(postgresql) as empty:
        tidy = Tidy(copy, production(broker, over(link, empty)))
        with serving(tidy, tmp_path / "web.log", "--workers=1") as site:
            answer = ready(site, 503)
            assert re.fullmatch(
                r'{"ready": false, "database": {"state": "ok"}, "migrations": {"state": "missing",'
                r' "reason": "\d+ migrations: run manage.py migrate"}, "broker": {"state": "ok"},'
                r' "static_files": {"state": "ok"}}',
                answer.text,
            )
            assert tidy.manage("migrate", "-v0").returncode == 0
            assert '"ready": true' in ready(site, 200).text
            for cut in (link.swallow, link.refuse):
                cut()
                away = ready(site, 503)
                assert '"database": {"state": "away"' in away.text
                assert '"migrations": {"state": "unknown"' in away.text
                assert '"broker": {"state": "ok"}' in away.text
                assert "127.0.0.1" not in away.text
                assert site.ask("/livez").status == 200
            link.restore()
            wait_for(lambda: site.ask("/readyz").status == 200)


def test_site_is_ready_without_the_broker_and_says_so(
    copy: Path, tmp_path: Path, migrated_database: str
) -> None:
    tidy = Tidy(copy, production(f"unix://{tmp_path}/nothing.sock", migrated_database))
    with serving(tidy, tmp_path / "web.log", "--workers=1") as site:
        assert '"broker": {"state": "away"' in ready(site, 200).text


def test_broker_that_takes_another_password_is_not_said_to_be_silent(
    copy: Path, tmp_path: Path, postgresql: Path, migrated_database: str
) -> None:
    (tmp_path / "valkey").mkdir()
    with (
        valkey_server(tmp_path / "valkey") as broker,
        link_to(postgresql / ".s.PGSQL.5432") as link,
        redis.Redis.from_url(broker) as operator,
    ):
        operator.config_set("requirepass", "another-password-0123456789")
        tidy = Tidy(copy, production(broker, over(link, migrated_database)))
        with serving(tidy, tmp_path / "web.log", "--workers=1", cookies=log_in(tidy)) as site:
            assert "cannot be used: AuthenticationError" in ready(site, 200).text
            wait_until_back(site)
            link.refuse()
            assert_friendly(site.ask_at_once("/", CROWD))
            page = site.ask("/admin/background/")
            assert "The broker cannot be used, either: AuthenticationError." in page.text
            assert str(tmp_path) not in page.text


def test_developer_sees_the_page_of_a_database_that_is_away_and_tracebacks_of_all_else(
    copy: Path, folder: Path, of_site: str, link: Link, broker: str, site: Site
) -> None:
    settings = {**production(broker, over(link, of_site)), "DJANGO_DEBUG": "true"}
    tidy = Tidy(copy, settings, logs=folder)
    tidy.inject(Value("todos.pages.preferences:render", "no function"))
    port = free_port()
    with tidy.start("runserver", "--noreload", f"127.0.0.1:{port}") as web:
        mine = Site(port, web, site.cookies)
        wait_until(lambda: lives(mine), seconds=60, otherwise=web.output)
        wait_until_back(mine)
        mistake = mine.ask("/preferences/")
        assert mistake.status == 500
        assert "TypeError at /preferences/" in mistake.text

        link.refuse()
        page = mine.ask("/admin/background/")
        assert page.status == 503
        assert "the database cannot be read" in page.text
        assert "Traceback" not in page.text
        assert_friendly(mine.ask_at_once("/", CROWD))
        link.restore()
        wait_until_back(mine)
        assert mine.ask("/admin/background/").status == 200


def ready(site: Site, status: int) -> Answer:
    answer = site.ask("/readyz")
    assert answer.status == status, answer
    assert answer.seconds < 3
    assert answer.headers["Content-Type"] == "application/json"
    return answer


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, seconds=20, otherwise=lambda: "it did not come")
