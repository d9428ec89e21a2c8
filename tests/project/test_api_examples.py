"""What docs/api.md offers to paste works word for word, against a site that runs, in its order."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accounts.api.callers import REQUESTS_A_MINUTE
from accounts.tokens.services import MAX_TOKENS
from project.api.codes import all_codes
from project.api.requests import MAX_BODY_BYTES
from tests.checkout import ROOT
from tests.keys import SECRET_KEY
from tests.processes import Tidy
from tests.servers import valkey_server
from tests.sites import serving
from todos.api.schemas import MAX_IDS, MAX_PAGE_SIZE
from todos.bounds import MAX_TODOS
from todos.limits import ADDS_A_MINUTE
from todos.pages.calendar import ASKS_A_MINUTE
from todos.validators import EARLIEST_DUE, LATEST_DUE, MAX_DESCRIPTION, MAX_TITLE

TEXT = (ROOT / "docs/api.md").read_text(encoding="utf-8")

#: A block of code: its language and its text.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: The examples whose values are a reader's own.
GIVEN = "export TIDY="

#: What separates the outputs of two examples.
MARK = "---- the next example ----"

LOCATION = re.compile(r"(Location: .*/)(\d+)")

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

#: How many todos somebody has, besides those that the document speaks of.
TODOS = 150

#: Somebody whose list has pages. Last night took one of their todos. Prints the secrets of a token
#: and of a calendar.
PREPARE = f"""
from datetime import timedelta
from django.utils import timezone
from accounts.models import Access, User
from accounts.tokens.services import TokenService
from tasks.engine.scheduler.defaults import add_missing_schedules
from todos.models import Todo, TrashedTodo
add_missing_schedules()
robin = User.objects.create_user("robin", "robin@example.com")
now = timezone.now()
Todo.objects.bulk_create(Todo(user=robin, title=f"Todo {{number}}") for number in range({TODOS}))
Todo.objects.create(user=robin, title="Water", completed_at=now)
TrashedTodo.objects.create(
    pk=10_000, user=robin, title="Harvest", completed_at=now - timedelta(days=9), trashed_at=now,
    run_id=1, trash_days=30,
)
print(TokenService.create(user=robin, name="a script", access=Access.WRITE).secret)
print(TokenService.create(user=robin, name="a calendar", access=Access.CALENDAR).secret)
"""


@dataclass(frozen=True)
class Example:
    """A command, and what the document shows of its output; None if it shows nothing."""

    command: str
    shown: str | None = None


def examples() -> list[Example]:
    """Return the commands of the document, each with the output that stands below it."""
    found: list[Example] = []
    for language, text in BLOCK.findall(TEXT):
        if language == "sh":
            found.append(Example(text))
        else:
            assert found[-1].shown is None, f"of which command is this the output? {text}"
            found[-1] = Example(found[-1].command, text)
    return [example for example in found if not example.command.startswith(GIVEN)]


@dataclass
class Reader:
    """Somebody who reads the document, and has made a token as it tells them to.

    Attributes:
        environment: of their shell.
        folder: where they work.
        ids: which todo each number in the document stands for.
    """

    environment: dict[str, str]
    folder: Path
    ids: dict[int, int] = field(default_factory=dict)

    def run(self, commands: list[str]) -> list[str]:
        """Have one shell run commands; return what each has written."""
        marked = [f"{command}printf '\\n%s\\n' '{MARK}'\n" for command in commands]
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", "".join(marked)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        *found, rest = done.stdout.replace("\r", "").split(f"\n{MARK}\n")
        assert (done.returncode, rest) == (0, ""), f"{done.stdout}\n{done.stderr}"
        return found

    def sees(self, shown: str, output: str) -> bool:
        """Say whether an output has all lines and all of the JSON that the document shows of it."""
        lines, body = split_at_json(shown)
        real_lines, real_body = split_at_json(output)
        return all(any(self.is_line(line, real) for real in real_lines) for line in lines) and (
            not body or self.is_excerpt(json.loads(body), json.loads(real_body))
        )

    def is_line(self, shown: str, real: str) -> bool:
        """Say whether a line is what is shown, but for names and values that differ."""
        if shown.startswith("ETag: "):
            return bool(re.fullmatch(r'ETag: "[0-9a-f]{16}"', real))
        if shown.startswith("HTTP/"):  # What a status is called differs between Pythons.
            return shown.split()[:2] == real.split()[:2]
        place, place_of_real = LOCATION.fullmatch(shown), LOCATION.fullmatch(real)
        if place and place_of_real:
            same = self.is_excerpt(int(place[2]), int(place_of_real[2]), "id")
            return place[1] == place_of_real[1] and same
        return shown == real

    def is_excerpt(self, shown: Any, real: Any, name: str = "") -> bool:
        """Say whether an answer has all that is shown of it; moments and ids may be others."""
        if isinstance(shown, dict):
            return all(
                key in real and self.is_excerpt(value, real[key], key)
                for key, value in shown.items()
            )
        if isinstance(shown, list):
            return len(shown) == len(real) and all(map(self.is_excerpt, shown, real))
        if name == "id":
            is_new = shown not in self.ids and real not in self.ids.values()
            if is_new:
                self.ids[shown] = real
            return is_new or self.ids.get(shown) == real
        if isinstance(shown, str) and MOMENT.fullmatch(shown):
            return bool(MOMENT.fullmatch(real))
        return bool(shown == real)


def split_at_json(text: str) -> tuple[list[str], str]:
    """Return the lines before an object, and the object; empty if there is none."""
    above, brace, rest = re.split(r"^(\{)|\Z", text, maxsplit=1, flags=re.MULTILINE)
    return [line for line in above.splitlines() if line], (brace or "") + rest


@pytest.fixture
def reader(tmp_path: Path, checkout: Path, migrated_database: str) -> Iterator[Reader]:
    """A reader, and a site in production's own web server, with a broker that counts requests."""
    if shutil.which("curl") is None:
        pytest.fail("There is no curl, which docs/api.md uses: install it", pytrace=False)
    (tmp_path / "valkey").mkdir()
    (tmp_path / "home").mkdir()
    with valkey_server(tmp_path / "valkey") as broker:
        tidy = Tidy(
            checkout,
            {
                "DJANGO_SECRET_KEY": SECRET_KEY,
                "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
                "DJANGO_HTTPS": "false",
                "DATABASE_URL": migrated_database,
                "REDIS_URL": broker,
            },
            logs=tmp_path,
        )
        done = tidy.manage("shell", "-v0", "-c", PREPARE)
        assert done.returncode == 0, done.stderr
        token, calendar = done.stdout.split()
        with serving(tidy, tmp_path / "web.log", "--workers=1") as site:
            address = f"http://127.0.0.1:{site.port}"
            given = {
                "PATH": os.environ["PATH"],
                "TIDY": address,
                "TIDY_TOKEN": token,
                "TIDY_CALENDAR": f"{address}/calendar/{calendar}.ics",
            }
            yield Reader(given, tmp_path / "home")


@pytest.mark.e2e
def test_every_example_does_what_the_document_shows(reader: Reader) -> None:
    found = examples()
    assert len(found) > 20
    for example, output in zip(found, reader.run([one.command for one in found]), strict=True):
        shown = example.shown or ""
        assert reader.sees(shown, output), f"{example.command}\n{shown}\n{output}"

    listed = (reader.folder / "todos.txt").read_text(encoding="utf-8").splitlines()
    assert len(set(listed)) == len(listed) == TODOS + 5
    exported = json.loads((reader.folder / "tidy.json").read_text(encoding="utf-8"))
    assert len(exported["todos"]) == len(listed)
    assert (reader.folder / "tidy.csv").read_text(encoding="utf-8-sig").startswith("in_trash,")


def test_reader_notices_what_is_not_as_shown() -> None:
    reader = Reader({}, Path())
    output = 'HTTP/1.1 200 OK\nETag: "0123456789abcdef"\nLocation: /todos/7\n\n{"id": 7, "a": [1]}'
    assert reader.sees('HTTP/1.1 200 OK\nETag: "fedcba9876543210"\n\n{"id": 3}', output)
    assert reader.sees("Location: /todos/3\n", output)
    for wrong in ("HTTP/1.1 201 OK", "Location: /todos/4", '{"id": 4}', '{"b": 1}', '{"a": []}'):
        assert not reader.sees(f"{wrong}\n", output), wrong


def rows(table: str) -> dict[str, str]:
    """Return the first column of a table of the document with what stands beside it."""
    (found,) = re.findall(rf"^{re.escape(table)}.*\n\|.*\n((?:^\|.*\n)+)", TEXT, re.MULTILINE)
    return dict(re.findall(r"^\| (.*?) \| (.*) \|$", found, re.MULTILINE))


def test_limits_are_those_of_the_code() -> None:
    numbers = {
        name: [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", text)]
        for name, text in rows("| what | how much").items()
    }
    assert numbers == {
        "requests": [REQUESTS_A_MINUTE],
        "todos added": [ADDS_A_MINUTE],
        "a calendar": [ASKS_A_MINUTE],
        "a body": [MAX_BODY_BYTES // 1024],
        "a title, a description": [MAX_TITLE, MAX_DESCRIPTION],
        "a day on which a todo is due": [EARLIEST_DUE.year, LATEST_DUE.year],
        "a page of a list": [MAX_PAGE_SIZE],
        "ids in one request": [MAX_IDS],
        "todos on a list": [MAX_TODOS],
        "tokens of a person": [MAX_TOKENS],
    }


def test_every_code_of_an_error_is_in_the_document() -> None:
    (table,) = re.findall(r"^\| status \| `code`.*\n((?:^\|.*\n)+)", TEXT, re.MULTILINE)
    told = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d+) \| (.*?) \|", table, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", codes)
    }
    assert told == {(status, code) for status, code, _ in all_codes()}


def test_there_is_a_heading_for_each_link_within_the_document() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert {*re.findall(r"\]\(#([^)]+)\)", TEXT)} <= anchors
