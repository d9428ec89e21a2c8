"""The log: one event a line, whatever is in it."""

import subprocess
import sys


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
