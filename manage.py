#!/usr/bin/env python
"""Django's command line for Tidy; reads `.env`, if there is one."""

import errno
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, OperationalError
from dotenv import load_dotenv

from project.environment import write_development_env
from tasks.engine.management.migrated import check_migrated, check_usable

ENV_FILE = Path(__file__).resolve().parent / ".env"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if sys.argv[1:2] == ["dev"] and "DJANGO_SECRET_KEY" not in os.environ:
        write_development_env(ENV_FILE)
    load_dotenv(ENV_FILE)  # Variables that are set already win.
    # A stream that was closed by the caller (`>&-`) is None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115  (stays open)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Only the output: a closed pipe, or a full disk.
        if error.errno not in {errno.EPIPE, errno.ENOSPC} or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(
            f"manage.py: cannot write the output: {error.strerror}. "
            "What was done before remains done."
        )
    except KeyboardInterrupt:
        sys.exit(130)  # It came before the command could handle it.
    except ImproperlyConfigured as error:
        reason = str(error).rstrip(".")
        sys.exit(
            f"manage.py: {reason}. .env.example explains every setting; `make run` needs none."
        )
    except (DatabaseError, InterfaceError) as error:
        explanation = None if "--traceback" in sys.argv else explained(error)
        if explanation is None:
            raise
        sys.exit(f"manage.py: {explanation}")


def explained(error: Exception) -> str | None:
    """Return in one line why the database failed; None if our code may be the cause."""
    try:
        check_usable(error)
        if sys.argv[1:2] != ["migrate"]:  # It applies what is missing, or says why it cannot.
            check_migrated()
    except CommandError as why:
        return str(why)
    if isinstance(error, OperationalError | InterfaceError):
        return f"the database failed: {' '.join(str(error).split())}"
    return None


if __name__ == "__main__":
    main()
