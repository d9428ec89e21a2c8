#!/usr/bin/env python
"""Django's command line for Tidy; reads the settings in `.env`, where there is one."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
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
        sys.exit(f"manage.py: {error}. .env.example explains every setting; `make run` needs none.")


if __name__ == "__main__":
    main()
