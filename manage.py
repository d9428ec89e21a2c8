#!/usr/bin/env python
"""Django's command line for Tidy; reads the settings in `.env`, where there is one."""

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

#: How writing to somebody who has gone, or to a full disk, fails.
UNWRITABLE = {errno.EPIPE, errno.ENOSPC}


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if sys.argv[1:2] == ["dev"] and "DJANGO_SECRET_KEY" not in os.environ:
        write_development_env(ENV_FILE)
    # What the environment says wins over the file.
    load_dotenv(ENV_FILE)
    # Closed by whoever started this (`>&-`): then what is printed goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115  (until the end)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(
            f"manage.py: what there is to print cannot be written: {error.strerror}. "
            "What was done before stays done."
        )
    except KeyboardInterrupt:
        sys.exit(130)  # Before a command could see to it; it has done nothing yet.
    except ImproperlyConfigured as error:
        reason = str(error).rstrip(".")
        sys.exit(
            f"manage.py: {reason}. .env.example explains every setting; `make run` needs none."
        )
    except (DatabaseError, InterfaceError) as error:
        if "--traceback" in sys.argv:
            raise
        if (explanation := explained(error)) is None:
            raise
        sys.exit(f"manage.py: {explanation}")


def explained(error: Exception) -> str | None:
    """Return in one line why the database failed; None if that may be a fault of the code."""
    try:
        check_usable(error)
        if sys.argv[1:2] != ["migrate"]:  # Which is about to mend that, and says why it cannot.
            check_migrated()
    except CommandError as why:
        return str(why)
    if isinstance(error, OperationalError | InterfaceError):
        return f"the database failed: {' '.join(str(error).split())}"
    return None


if __name__ == "__main__":
    main()
