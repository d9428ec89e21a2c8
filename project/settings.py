"""Settings of Tidy: the only settings module, configured through the environment.

Every variable is named in `.env.example`. A value that is wrong, or missing where it must not be,
stops the program with one line that names it. Any variable can be read from a file instead, by
giving the file's path in NAME_FILE (as container secrets do).
"""

import os
from pathlib import Path
from urllib.parse import quote

import redis
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from dramatiq.results import Results
from environs import FileAwareEnv, validate

from project.environment import broker_address, complaint, database_from, known_time_zone
from project.logging import logging_config
from tasks.engine.runs.result_backend import ResultBackend

BASE_DIR = Path(__file__).resolve().parent.parent

#: What belongs to this machine alone: the SQLite database and the embedded broker's files.
VAR_DIR = BASE_DIR / "var"

#: Where `manage.py dev` runs its embedded Valkey when REDIS_URL is unset.
VALKEY_DIR = VAR_DIR / "valkey"
VALKEY_SOCKET = VALKEY_DIR / "valkey.sock"
EMBEDDED_VALKEY_URL = f"unix://{quote(str(VALKEY_SOCKET))}"

env = FileAwareEnv(strip_whitespace=True)
env.add_parser("database_url", database_from)

try:
    DEBUG = env.bool("DJANGO_DEBUG", False)
    SECRET_KEY = env.str("DJANGO_SECRET_KEY", validate=validate.Length(min=1))
    # Without DEBUG, nothing is assumed: what is not said stops the program here.
    if DEBUG:
        ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
        VAR_DIR.mkdir(exist_ok=True)
        DATABASES = {
            "default": env.database_url(
                "DATABASE_URL", f"sqlite:///{quote(f'{VAR_DIR}/tidy.sqlite3')}"
            )
        }
        REDIS_URL = env.str("REDIS_URL", EMBEDDED_VALKEY_URL, validate=broker_address)
    else:
        ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", validate=validate.Length(min=1))
        DATABASES = {"default": env.database_url("DATABASE_URL")}
        REDIS_URL = env.str("REDIS_URL", validate=broker_address)
    CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", [])
    HTTPS = env.bool("DJANGO_HTTPS", not DEBUG)
    TIME_ZONE = env.str("TIME_ZONE", "UTC", validate=known_time_zone)
    TODO_KEEP_COMPLETED_DAYS = env.int(
        "TODO_KEEP_COMPLETED_DAYS", 0, validate=validate.Range(0, 3650)
    )
    TODO_SWEEP_BATCH_SIZE = env.int(
        "TODO_SWEEP_BATCH_SIZE", None, validate=validate.Range(1, 1_000_000)
    )
    TODO_SWEEP_PAUSE = env.float("TODO_SWEEP_PAUSE", None, validate=validate.Range(0, 10))
    TODO_TRASH_DAYS = env.int("TODO_TRASH_DAYS", 30, validate=validate.Range(0, 3650))
    TASKS_LIVENESS_SECONDS = env.int("TASKS_LIVENESS_SECONDS", 60, validate=validate.Range(5, 3600))
except ValueError as error:
    raise ImproperlyConfigured(complaint(error)) from error


# Django

INSTALLED_APPS = [
    # First: its templates take the place of the admin's own.
    "project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    # Before `tasks`: it builds the broker that the actors register with.
    "django_dramatiq",
    "accounts",
    "todos",
    "tasks.engine",
    "tasks",
]

MIDDLEWARE = [
    # First, so that a probe by IP address and plain HTTP is answered.
    "project.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    *([] if DEBUG else ["whitenoise.middleware.WhiteNoiseMiddleware"]),
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "project.requests.RefuseMalformedMiddleware",
    "project.requests.ConflictMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
SESSION_ENGINE = "accounts.sessions"
# Such messages may quote a title: they wait in the visitor's browser alone, not in the database.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

LOGGING = logging_config(colors=DEBUG)


# Security

SECURE_CSP = {
    "default-src": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
# gunicorn speaks plain HTTP: with HTTPS on, a proxy that ends TLS stands before it and sets this
# header itself, whatever the visitor sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"


# Background work

#: A worker is woken when there is something to do (`tasks/engine/broker/waking.py`); it polls only
#: this often (ms). Dramatiq reads the variable from its environment, which `rundramatiq` passes on.
os.environ.setdefault("dramatiq_worker_timeout", "1000")

#: The schedules to start with, beside the engine's own.
TASKS_SCHEDULES = "tasks.schedules.SCHEDULES"

#: Actors live in `actors.py`. Our app is itself called `tasks`, the name django-dramatiq looks for.
DRAMATIQ_AUTODISCOVER_MODULES = ["actors"]
# It brings a task of its own, for a table that we do not fill.
DRAMATIQ_IGNORED_MODULES = ["django_dramatiq.tasks"]

#: How long a result is kept for whoever asks (ms).
RESULT_TTL = 24 * 60 * 60 * 1000

DRAMATIQ_BROKER = {
    "BROKER": "tasks.engine.broker.waking.WakingBroker",
    "OPTIONS": {
        "url": REDIS_URL,
        # What a dead worker had fetched goes back to the queue after this time (ms), in a
        # maintenance pass, which any command sets off with this chance in a million. By Dramatiq's
        # own 1,000, messages would wait for minutes.
        "heartbeat_timeout": TASKS_LIVENESS_SECONDS * 1000,
        "maintenance_chance": 200_000,
    },
    # This list replaces Dramatiq's own. "After" hooks run in reverse order: the clock of the time
    # limit stops first, then the ledger says how the run ended, then the result is stored; database
    # connections are closed last.
    "MIDDLEWARE": [
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Pipelines",
        "tasks.engine.worker.middleware.UnrecordedRetries",
        Results(
            backend=ResultBackend(
                # Waiting for a result blocks on the socket, so its time-out must outlast the wait;
                # by default redis-py gives up after 5 seconds.
                client=redis.Redis.from_url(REDIS_URL, socket_timeout=60)
            ),
            result_ttl=RESULT_TTL,
        ),
        "tasks.engine.worker.middleware.RunLedger",
        "dramatiq.middleware.TimeLimit",
    ],
}
