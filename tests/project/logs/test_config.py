"""The log: one event a line, whatever is in it and whoever says it."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from project.logs.filters import (
    Seldom,
    without_arguments,
    without_request_lines,
    without_static,
    without_targets,
)
from project.logs.lines import told_line
from tasks.actors import todo_cleanup

#: "milk", which the lines of code in a traceback do not show.
MILK = "bytes.fromhex('6d696c6b').decode()"

HOSTILE = r"'Buy milk\nlevel=error event=forged\x1b[31m\r\u2028\x7f\x9b\u202e\ud800'"


def logged(code: str, *, form: str = "json", development: bool = False) -> list[str]:
    """Run Python with Tidy's logging set up; return the lines on standard error."""
    setup = "import logging.config, warnings; from project.logs.config import logging_config; "
    config = f"logging_config(form={form!r}, development={development})"
    done = subprocess.run(
        [sys.executable, "-c", f"{setup}logging.config.dictConfig({config})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert not done.stdout
    return done.stderr.splitlines()


def event_of(code: str) -> dict[str, Any]:
    """Run Python that logs one event; return it."""
    (line,) = logged(code)
    event: dict[str, Any] = json.loads(line)
    return event


def test_event_is_one_line_of_json() -> None:
    event = event_of("import structlog; structlog.get_logger('x').info('swept', todos=3, why=None)")
    assert [*event][:4] == ["timestamp", "level", "event", "logger"]
    assert {name: value for name, value in event.items() if name != "timestamp"} == {
        "level": "info",
        "event": "swept",
        "logger": "x",
        "todos": 3,
        "why": None,
    }


def test_event_is_one_line_of_keys_and_values_where_that_is_wanted() -> None:
    code = "import structlog; structlog.get_logger('x').info('todos swept', todos_deleted=3)"
    (line,) = logged(code, form="logfmt")
    for part in ("level=info", 'event="todos swept"', "todos_deleted=3"):
        assert part in line


@pytest.mark.parametrize(
    "code",
    [
        "import logging; logging.getLogger('gunicorn.error').warning('Said %s', 'this')",
        "import logging; logging.getLogger('dramatiq.MainProcess').warning('Said %s', 'this')",
        "import warnings; warnings.warn('Said this', RuntimeWarning)",
    ],
)
def test_libraries_and_warnings_have_the_same_form(code: str) -> None:
    event = event_of(code)
    assert "Said this" in event["event"]
    assert event["level"] == "warning"


def test_what_is_only_for_debugging_is_not_logged() -> None:
    assert logged("import logging; logging.getLogger('django.db.backends').debug('SELECT 1')") == []


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_text_from_outside_cannot_forge_a_line_or_colour_a_terminal(form: str) -> None:
    lines = logged(
        f"import structlog; structlog.get_logger('x').info('seen', title={HOSTILE})\n"
        f"structlog.get_logger('x').info({HOSTILE})\n"
        f"logging.getLogger('django').warning('Not Found: %s', {HOSTILE})\n"
        f"warnings.warn({HOSTILE})\n"
        f"try:\n    raise LookupError({HOSTILE})\n"
        "except LookupError:\n    logging.getLogger('x').exception('broken')",
        form=form,
    )
    assert len(lines) == 5
    assert all(line.isprintable() and line.isascii() for line in lines)


def test_traceback_stays_on_its_events_line_and_quotes_nobody() -> None:
    event = event_of(
        "def fail(title):\n    raise ValueError(title)\n"
        f"try:\n    fail({MILK})\nexcept ValueError as error:\n"
        "    try:\n        raise ConnectionRefusedError(111, 'Connection refused') from error\n"
        "    except OSError:\n        logging.getLogger('x').exception('broken')"
    )
    assert event["event"] == "broken"
    assert event["exception"].count("Traceback (most recent call last):") == 2
    assert "ValueError, whose message is not logged" in event["exception"]
    assert event["exception"].endswith("ConnectionRefusedError: Connection refused")
    assert "milk" not in str(event)


def test_developers_read_the_message_of_an_error() -> None:
    code = (
        "try:\n    int('milk')\nexcept ValueError:\n    logging.getLogger('x').exception('broken')"
    )
    (line,) = logged(code, form="logfmt", development=True)
    assert "invalid literal for int() with base 10: 'milk'" in line


class WorseError(AttributeError):
    """An error of a project's own."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AttributeError("no attribute 'x'"), "AttributeError: no attribute 'x'"),
        (WorseError("Buy milk"), "WorseError, whose message is not logged"),
        (KeyError("Buy milk"), "KeyError, whose message is not logged"),
        (FileNotFoundError(2, "No such file", "/milk"), "FileNotFoundError: No such file"),
        (OSError("milk@example.com"), "OSError, whose message is not logged"),
    ],
)
def test_message_of_an_error_is_logged_only_where_it_quotes_nobody(
    error: Exception, line: str
) -> None:
    assert told_line(error) == line


@pytest.mark.parametrize("kind", ["Thread(target=fail, name='t').start()", "fail()"])
def test_error_that_nothing_catches_is_a_line_like_any_other(kind: str) -> None:
    code = (
        "import logging.config; from threading import Thread\n"
        "from project.logs.config import logging_config\n"
        "from project.logs.uncaught import log_uncaught\n"
        "logging.config.dictConfig(logging_config())\nlog_uncaught()\n"
        f"def fail():\n    raise ValueError({MILK})\n{kind}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    (line,) = done.stderr.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["level"]) == ("uncaught error", "critical")
    assert "milk" not in line


def record(name: str, message: str, *args: object) -> logging.LogRecord:
    """Return what a library logs."""
    return logging.LogRecord(name, logging.WARNING, "", 1, message, args, None)


@pytest.mark.parametrize(
    ("request_line", "status", "told"),
    [
        ("GET / HTTP/1.1", "200", True),
        ("GET /static/site.css HTTP/1.1", "200", False),
        ("GET /static/site.css HTTP/1.1", "304", False),
        ("GET /static/gone.css HTTP/1.1", "404", True),
    ],
)
def test_files_that_every_page_loads_are_not_logged(
    request_line: str, status: str, *, told: bool
) -> None:
    line = record("django.server", '"%s" %s %s', request_line, status, "12")
    assert without_static(line) == told


def test_other_lines_of_the_server_are_logged() -> None:
    assert without_static(record("django.server", "Broken pipe"))


@pytest.mark.parametrize(
    ("request_line", "told"),
    [
        ("GET /todos/7/edit/?next=%2F HTTP/1.1", "GET /todos/7/edit/ HTTP/1.1"),
        ("GET /calendar/tidy_c2VjcmV0.ics HTTP/1.1", "GET /calendar/<secret>.ics HTTP/1.1"),
        ("GET http://x/calendar/c2VjcmV0.ics HTTP/1.1", "GET /calendar/<secret>.ics HTTP/1.1"),
        ("get /unsubscribe/c2Vj/c2VjcmV0?x HTTP/1.1", "get /<unknown> HTTP/1.1"),
        ("GET /?token=c2VjcmV0 HTTP/1.1", "GET / HTTP/1.1"),
        ("code 400, message Bad request syntax ('GET /c2VjcmV0')", None),
    ],
)
def test_server_of_make_run_names_pages_without_secrets(
    request_line: str, told: str | None
) -> None:
    line = record("django.server", '"%s" %s %s', request_line, "200", "12")
    assert without_targets(line)
    assert "c2Vj" not in line.getMessage()
    assert told is None or line.getMessage() == f'"{told}" 200 12'


def test_messages_are_named_by_task_and_id_without_their_arguments() -> None:
    message = todo_cleanup.message(user_id=4711)
    line = record("dramatiq.worker.WorkerThread", "Failed to process message %s.", message)
    assert without_arguments(line)
    assert line.getMessage() == f"Failed to process message todo.cleanup {message.message_id}."


@pytest.mark.parametrize(
    ("message", "args", "told"),
    [
        ("Error handling request %s %s", ("GET", "/reset/c2VjcmV0/"), "Error handling request"),
        (
            "Invalid request from ip=192.0.2.7: Invalid HTTP request line: 'GET /reset/c2VjcmV0/'",
            (),
            "Invalid request from ip=192.0.2.7: Invalid HTTP request line",
        ),
        (
            "Invalid request from ip=::1: Invalid HTTP Header: 'Cookie: c2VjcmV0\n'",
            (),
            "Invalid request from ip=::1: Invalid HTTP Header",
        ),
        # Over a Unix socket.
        (
            "Invalid request from ip=: Invalid HTTP request line: 'GET /reset/c2VjcmV0/\\xff'",
            (),
            "Invalid request from ip=: Invalid HTTP request line",
        ),
        (
            'Invalid request from ip=: Expected HTTP/2 connection preface, got "it\'s c2VjcmV0"',
            (),
            "Invalid request from ip=: Expected HTTP/2 connection preface, got ",
        ),
        (
            "WSGI app sent body bytes on a no-body response (method=%s status=%s); dropping.",
            ("C2VJCMV0", 204),
            "WSGI app sent body bytes on a no-body response",
        ),
        ("Worker exiting (pid: %s)", (7,), "Worker exiting (pid: 7)"),
    ],
)
def test_server_quotes_nothing_of_a_request(
    message: str, args: tuple[object, ...], told: str
) -> None:
    line = record("gunicorn.error", message, *args)
    assert without_request_lines(line)
    assert line.getMessage() == told


def test_server_that_tells_all_for_debugging_tells_no_request() -> None:
    line = record("gunicorn.error", "%s %s", "GET", "/reset/c2VjcmV0/")
    line.levelno = logging.DEBUG
    assert not without_request_lines(line)


def test_collector_that_is_away_is_told_once_in_a_minute() -> None:
    seldom = Seldom()
    name = "opentelemetry.exporter.otlp"
    first, second = (record(name, "http://user:pw@host failed") for _ in range(2))
    assert [seldom(first), seldom(second)] == [True, False]
    assert first.getMessage() == "traces not delivered"
    assert seldom(record("tasks", "another"))
