"""The log: one event a line, whatever is in it."""

import logging
import subprocess
import sys

import pytest

from project.log_config import is_told


def logged(code: str) -> list[str]:
    """Run Python with Tidy's logging set up; return the lines on standard error."""
    setup = "import logging.config; from project.log_config import logging_config; "
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{setup}logging.config.dictConfig(logging_config(colors=True))\n{code}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stderr.splitlines()


def test_event_is_one_line_of_keys_and_values() -> None:
    (line,) = logged(
        "import structlog; structlog.get_logger('x').info('todos swept', todos_deleted=3)"
    )
    assert "level=info" in line
    assert 'event="todos swept"' in line
    assert "todos_deleted=3" in line


def test_text_from_outside_cannot_forge_a_line_or_colour_a_terminal() -> None:
    hostile = r"'Buy milk\nlevel=error event=forged\x1b[31m\r\u2028'"
    lines = logged(
        f"import structlog; structlog.get_logger('x').info('seen', title={hostile})\n"
        f"logging.getLogger('django').warning('Not Found: %s', {hostile})"
    )
    assert len(lines) == 2
    assert all("\x1b" not in line for line in lines)


def test_traceback_stays_on_its_events_line() -> None:
    (line,) = logged(
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('x').exception('broken')"
    )
    assert "event=broken" in line
    assert "ZeroDivisionError" in line


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
    args = (request_line, status, "12")
    record = logging.LogRecord("django.server", logging.INFO, "", 1, '"%s" %s %s', args, None)
    assert is_told(record) == told


def test_other_lines_of_the_server_are_logged() -> None:
    assert is_told(
        logging.LogRecord("django.server", logging.INFO, "", 1, "Broken pipe", None, None)
    )
