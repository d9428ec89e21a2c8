"""gunicorn's log, in the form of the site's: for its setting `logger_class`."""

import logging.config
import os
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class ServerLog(Logger):  # type: ignore[misc]  # It ships no types.
    """Hands lines on to the site's handlers, in the master as well; keeps no log of addresses."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logging.config.dictConfig(settings.LOGGING)
        for name in ("gunicorn.error", "gunicorn.access"):
            logging.getLogger(name).handlers.clear()
        self.error_log.propagate = True
