#!/usr/bin/env python
"""Django's command line for Tidy; reads the settings in `.env`, where there is one."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, OperationalError
from dotenv import load_dotenv

from project.environment import write_development_env
from tasks.management.migrated import check_migrated, check_usable

ENV_FILE = Path(__file__).resolve().parent / ".env"


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if sys.argv[1:2] == ["dev"] and "DJANGO_SECRET_KEY" not in os.environ:
        write_development_env(ENV_FILE)
    # What the environment says wins over the file.
    load_dotenv(ENV_FILE)
    try:
        execute_from_command_line(sys.argv)
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
