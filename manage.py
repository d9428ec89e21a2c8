#!/usr/bin/env python
"""Django's command line for Tidy; reads the settings in `.env`, where there is one."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError
from dotenv import load_dotenv

from project.environment import write_development_env

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
    except ImproperlyConfigured as error:
        reason = str(error).rstrip(".")
        sys.exit(
            f"manage.py: {reason}. .env.example explains every setting; `make run` needs none."
        )
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"manage.py: the database failed: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
