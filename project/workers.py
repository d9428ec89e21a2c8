"""`python -m project.workers`: Dramatiq's command line, whose master logs as all else does."""

import logging.config
import os
import sys

from django.conf import settings
from dramatiq.cli import main, make_argument_parser


def run() -> int:
    """Run workers until they are told to stop; return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    # Dramatiq leaves what is set up as it is. Its processes set it up once more, for their pipe.
    logging.config.dictConfig(settings.LOGGING)
    arguments = make_argument_parser().parse_args()
    # By which SIGHUP starts it again.
    sys.argv = [sys.executable, "-m", "project.workers", *sys.argv[1:]]
    code: int = main(arguments)
    return code


if __name__ == "__main__":
    sys.exit(run())
