"""What is loaded at the first request below its prefix: no other start pays for it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.checks.urls import check_url_config, check_url_namespaces_unique
from django.test import Client, RequestFactory
from django.urls import Resolver404, include, path, resolve, reverse
from pytest_django import Settings

from project.lazy import lazily
from project.logs.paths import pattern_of, shown_path
from tests.checkout import ROOT
from tests.routes import routes

#: What a process begins with that serves other pages, or none; and then the first requests.
BEGINNING = """
import sys, django
django.setup()
import project.urls
from django.core import checks
from django.test import Client
from django.test.utils import setup_test_environment
from django.urls import Resolver404, resolve, reverse
setup_test_environment()
assert not checks.run_checks()
assert reverse("todos:list") == "/"
assert Client().get("/").status_code < 400
try:
    resolve("/calendars/x.ics")
except Resolver404:
    pass
assert not {"icalendar", "ninja"} & {*sys.modules}, "loaded"
"""

ASKED = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
assert not {"icalendar", "ninja"} & {*sys.modules}, "loaded"
from accounts.models import Access, User
from accounts.tokens.services import TokenService
alice = User.objects.create_user("alice")
secret = TokenService.create(user=alice, name="Phone", access=Access.CALENDAR).secret
response = Client().get(f"/calendar/{secret}.ics")
assert response.status_code == 200
assert b"BEGIN:VCALENDAR" in response.content
assert "icalendar" in sys.modules
assert "ninja" not in sys.modules
assert Client().get("/api/v1/me").status_code == 401
assert "ninja" in sys.modules
"""

REVERSED = """
assert reverse("calendar:feed", args=["x"]) == "/calendar/x.ics"
"""

AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
paths = ["/calendar/x.ics", "/api/v1/nothing"] * 4
together = Barrier(len(paths))
def ask(path):
    together.wait()
    return Client().get(path).status_code
with ThreadPoolExecutor(len(paths)) as pool:
    assert [*pool.map(ask, paths)] == [404] * len(paths)
"""


@pytest.mark.parametrize("then", [ASKED, REVERSED, AT_ONCE])
def test_process_loads_it_when_it_is_asked_for_and_no_sooner(tmp_path: Path, then: str) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/tidy.sqlite3",
    }
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + then],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_its_addresses_are_among_those_of_the_site() -> None:
    found = routes()
    assert "/calendar/<str:secret>.ics" in found
    assert "/api/v1/todos" in found


def test_its_paths_are_shown_without_their_values() -> None:
    assert pattern_of(resolve("/calendar/c2VjcmV0.ics")) == "/calendar/<secret>.ics"
    assert shown_path(RequestFactory().get("/calendar/c2VjcmV0.ics")) == "/calendar/<secret>.ics"


class Included:
    """An URL configuration with the same patterns twice: as Django has them, and lazily."""

    deep: ClassVar[list[Any]] = [lazily("er/", "todos.pages.urls", namespace="deeper")]
    urlpatterns: ClassVar[list[Any]] = [
        path("eager/", include(("todos.pages.urls", "todos"), namespace="eager")),
        lazily("lazy/", "todos.pages.urls", namespace="lazy"),
        path("deep/", include(deep)),
    ]


@pytest.fixture
def _both(settings: Settings) -> None:
    settings.ROOT_URLCONF = Included


@pytest.mark.usefixtures("_both")
def test_it_resolves_and_reverses_as_what_is_included_does() -> None:
    for name, prefix in (("eager", "eager"), ("lazy", "lazy"), ("deeper", "deep/er")):
        assert reverse(f"{name}:edit", args=[17]) == f"/{prefix}/todos/17/edit/"
        assert reverse(f"{name}:list") == f"/{prefix}/"
        match = resolve(f"/{prefix}/todos/17/edit/")
        assert (match.view_name, match.kwargs) == (f"{name}:edit", {"todo_id": 17})
        assert match.route == f"{prefix}/todos/<row:todo_id>/edit/"
        with pytest.raises(Resolver404):
            resolve(f"/{prefix}/nothing/")


@pytest.mark.usefixtures("_both")
def test_checks_of_django_pass() -> None:
    assert not check_url_config(None)
    assert not check_url_namespaces_unique(None)


def test_module_that_is_broken_is_told_at_each_request(settings: Settings, db: None) -> None:
    settings.ROOT_URLCONF = type(
        "Broken", (), {"urlpatterns": [lazily("x/", "project.no_module", namespace="x")]}
    )
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_module"):
            Client().get("/x/")


@pytest.mark.parametrize("address", ["/calendar/x.ics", "/calendar/", "/nothing/"])
def test_developers_read_which_patterns_were_tried(
    client: Client, db: None, settings: Settings, address: str
) -> None:
    settings.DEBUG = True
    response = client.get(address)
    assert response.status_code == 404
    assert b"calendar/" in response.content
