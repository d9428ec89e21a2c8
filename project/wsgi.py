"""The WSGI application: what a web server loads."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_wsgi_application()

# Not before Django has been set up.
from project.gate import gate  # noqa: E402

gate.enable()
