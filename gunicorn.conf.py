"""How gunicorn serves the site: `gunicorn`, in this folder, with no more words.

Its command line overrides each value here. Like manage.py, it reads `.env`, if there is one, and
says in one line what is wrong with a setting: the master does not start then.
"""

import signal
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from dotenv import load_dotenv

from project import draining

load_dotenv(Path(__file__).resolve().parent / ".env")  # Variables that are set already win.
try:
    import project.settings  # noqa: F401  (workers would read it too late: after a hundred lines)
except ImproperlyConfigured as error:
    reason = str(error).rstrip(".")
    sys.exit(f"gunicorn: {reason}. .env.example explains every setting.")

wsgi_app = "project.wsgi"
bind = "127.0.0.1:8000"
workers = 2
threads = 4

# Whoever shares requests out among replicas has to learn that this one is about to stop: for this
# long it says so, and serves on.
DRAIN_SECONDS = 4


def when_ready(arbiter: Any) -> None:
    """Have SIGTERM stop the master a little later."""

    def drain(*_: object) -> None:
        draining.begin()
        signal.alarm(DRAIN_SECONDS)

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGALRM, lambda *_: arbiter.signal(signal.SIGTERM, None))


# Requests in hand get 20 s when it stops; whoever kills it must wait for longer.
graceful_timeout = 20

# Requests are logged by the site itself (project/logs/requests.py), without the secrets of links.
accesslog = None
# Its own lines have the form of the site's.
logger_class = "project.logs.server.ServerLog"

# Workers show the master that they are alive by touching a file, in memory: on a slow disk that
# would stall them.
memory = Path("/dev/shm")  # noqa: S108  (gunicorn makes a file of its own there, and unlinks it)
worker_tmp_dir = str(memory) if memory.is_dir() else None

# A proxy's headers are believed by the site alone, and only where TRUSTED_PROXIES counts one.
# gunicorn would take a visitor's own word, over loopback and Unix sockets, for scheme and path.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

control_socket_disable = True
