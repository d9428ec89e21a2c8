"""Tidy's only settings module, configured through the environment.

`.env.example` lists every variable. An invalid value, or a missing one that is required, stops the
program with one line that names it. Any variable can be read from a file instead, whose path is
given in NAME_FILE (for container secrets).
"""

from pathlib import Path
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from environs import validate

from project.addresses import (
    allowed_hosts,
    collector_address,
    sender,
    sentry_address,
    site_address,
    site_of,
    split_address,
    trusted_origins,
    with_password,
)
from project.databases import database_from
from project.environment import (
    PROXIES_UNKNOWN,
    Environment,
    alerts_from,
    broker_address,
    complaint,
    known_time_zone,
    mailer_from,
)
from project.logs.config import FORMATS, logging_config
from project.weak_secrets import (
    check_passwords,
    passwords_in,
    passwords_of,
    strong_key,
    strong_token,
)
from tasks.engine.conf import (
    DEFAULT_LIVENESS_SECONDS,
    MAX_LIVENESS_SECONDS,
    MIN_LIVENESS_SECONDS,
    dramatiq_broker,
)

BASE_DIR = Path(__file__).resolve().parent.parent

#: This machine's own data: the SQLite database and the embedded broker's files.
VAR_DIR = BASE_DIR / "var"

#: Where `manage.py dev` runs its embedded Valkey when REDIS_URL is unset.
VALKEY_DIR = VAR_DIR / "valkey"
VALKEY_SOCKET = VALKEY_DIR / "valkey.sock"
EMBEDDED_VALKEY_URL = f"unix://{quote(str(VALKEY_SOCKET))}"

env = Environment(strip_whitespace=True)
env.add_parser("database_url", database_from)
env.add_parser("mailer", mailer_from)

try:
    DEBUG = env.bool("DJANGO_DEBUG", False)
    SECRET_KEY = env.str(
        "DJANGO_SECRET_KEY", validate=validate.Length(min=1) if DEBUG else strong_key
    )
    # Without DEBUG there are no defaults: a missing value stops the program here.
    if DEBUG:
        ALLOWED_HOSTS = env.list(
            "DJANGO_ALLOWED_HOSTS",
            ["localhost", "127.0.0.1", "[::1]"],
            subcast=str.strip,
            validate=allowed_hosts,
        )
        VAR_DIR.mkdir(exist_ok=True)
        DATABASES = {
            "default": env.database_url(
                "DATABASE_URL", f"sqlite:///{quote(f'{VAR_DIR}/tidy.sqlite3')}"
            )
        }
        REDIS_URL = env.str("REDIS_URL", EMBEDDED_VALKEY_URL, validate=broker_address)
    else:
        ALLOWED_HOSTS = env.list(
            "DJANGO_ALLOWED_HOSTS",
            subcast=str.strip,
            validate=[validate.Length(min=1), allowed_hosts],
        )
        DATABASES = {"default": env.database_url("DATABASE_URL")}
        REDIS_URL = env.str("REDIS_URL", validate=broker_address)
    # Apart from the addresses: there, special characters would have to be escaped.
    if database_password := env.str("DATABASE_PASSWORD", ""):
        DATABASES["default"]["PASSWORD"] = database_password
    broker_password = env.str("REDIS_PASSWORD", "")
    REDIS_URL = with_password(REDIS_URL, broker_password)
    if not DEBUG:
        check_passwords(
            "DATABASE_PASSWORD" if database_password else "DATABASE_URL",
            *passwords_of(DATABASES["default"]),
        )
        check_passwords(
            "REDIS_PASSWORD" if broker_password else "REDIS_URL", *passwords_in(REDIS_URL)
        )
    CSRF_TRUSTED_ORIGINS: list[str] = env.list(
        "DJANGO_CSRF_TRUSTED_ORIGINS", [], subcast=str.strip, validate=trusted_origins
    )
    HTTPS = env.bool("DJANGO_HTTPS", not DEBUG)
    HSTS = env.str(
        "DJANGO_HSTS", "host", validate=validate.OneOf(["host", "subdomains", "preload"])
    )
    SITE_URL = env.str("SITE_URL", "", validate=site_address).rstrip("/") or (
        "http://127.0.0.1:8000" if DEBUG else site_of(ALLOWED_HOSTS[0])
    )
    #: The mail server; None if there is none.
    MAILER = env.mailer("EMAIL_URL", "")
    DEFAULT_FROM_EMAIL = (
        env.str("EMAIL_FROM", "", validate=sender)
        or f"Tidy <tidy@{split_address(SITE_URL).hostname}>"
    )
    ACCOUNTS_SIGN_UP = env.bool("ACCOUNTS_SIGN_UP", True)
    ACCOUNTS_STAFF_SECOND_FACTOR = env.bool("ACCOUNTS_STAFF_SECOND_FACTOR", False)
    LOG_FORMAT = env.str(
        "LOG_FORMAT", "logfmt" if DEBUG else "json", validate=validate.OneOf([*FORMATS])
    )
    ACCOUNTS_STAFF_SESSION_HOURS = env.int(
        "ACCOUNTS_STAFF_SESSION_HOURS", 12, validate=validate.Range(1, 168)
    )
    ACCOUNTS_STAFF_IDLE_MINUTES = env.int(
        "ACCOUNTS_STAFF_IDLE_MINUTES", 60, validate=validate.Range(5, 10_080)
    )
    #: None if it is not said, and none is trusted.
    PROXIES = env.int("TRUSTED_PROXIES", None, validate=validate.Range(0, 10))
    #: What Prometheus shows to read /metrics; empty: there is no such page.
    METRICS_TOKEN = env.str("METRICS_TOKEN", "", validate=strong_token)
    ALERTS = alerts_from(
        emails=env.list("ALERT_EMAILS", []),
        webhook_url=env.str("ALERT_WEBHOOK_URL", ""),
        webhook_secret=env.str("ALERT_WEBHOOK_SECRET", ""),
        check_in_url=env.str("ALERT_CHECK_IN_URL", ""),
        private_targets=env.bool("ALERT_PRIVATE_TARGETS", False),
        sends_mail=DEBUG or MAILER is not None,
    )
    SENTRY_DSN = env.str("SENTRY_DSN", "", validate=sentry_address)
    OTEL_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "", validate=collector_address)
    OTEL_HEADERS = env.str("OTEL_EXPORTER_OTLP_HEADERS", "")
    TIME_ZONE = env.str("TIME_ZONE", "UTC", validate=known_time_zone)
    TODO_KEEP_COMPLETED_DAYS = env.int(
        "TODO_KEEP_COMPLETED_DAYS", 0, validate=validate.Range(0, 3650)
    )
    TODO_SWEEP_BATCH_SIZE = env.int(
        "TODO_SWEEP_BATCH_SIZE", None, validate=validate.Range(1, 1_000_000)
    )
    TODO_SWEEP_PAUSE = env.float("TODO_SWEEP_PAUSE", None, validate=validate.Range(0, 10))
    TODO_TRASH_DAYS = env.int("TODO_TRASH_DAYS", 30, validate=validate.Range(0, 3650))
    TASKS_LIVENESS_SECONDS = env.int(
        "TASKS_LIVENESS_SECONDS",
        DEFAULT_LIVENESS_SECONDS,
        validate=validate.Range(MIN_LIVENESS_SECONDS, MAX_LIVENESS_SECONDS),
    )
except ValueError as error:
    raise ImproperlyConfigured(complaint(error)) from error

if HTTPS and PROXIES is None:
    # Guessed, either anybody could claim to come by HTTPS, or all would be redirected for ever.
    raise ImproperlyConfigured(PROXIES_UNKNOWN)
TRUSTED_PROXIES = PROXIES or 0


# Django

INSTALLED_APPS = [
    # First: their templates replace the admin's and django-allauth's own.
    "project",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "accounts.apps.SessionDetailsConfig",  # allauth.usersessions
    # Before `tasks`: it creates the broker that the actors register with.
    "django_dramatiq",
    "todos",
    "tasks.engine",
    "tasks",
]

MIDDLEWARE = [
    # Before all that answers by itself.
    "project.headers.HeadersMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    # Early: a probe comes by IP address and plain HTTP.
    "project.health.HealthMiddleware",
    "project.logs.request_id.RequestIdMiddleware",
    *(["project.tracing.RequestSpanMiddleware"] if OTEL_ENDPOINT else []),
    # Here for the same reason; and it counts what all others answer.
    "project.metrics.middleware.MetricsMiddleware",
    # Django's development server has a log of its own.
    *([] if DEBUG else ["project.logs.requests.RequestLogMiddleware"]),
    # Around all that answers by itself below `/api/`.
    "project.api.middleware.ApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    *([] if DEBUG else ["whitenoise.middleware.WhiteNoiseMiddleware"]),
    "project.middleware.NotKeptMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "project.middleware.RefuseMalformedMiddleware",
    # Before all that use the database.
    "project.away.DatabaseAwayMiddleware",
    *(["project.errors.AwayInDevelopmentMiddleware"] if DEBUG else []),
    "project.middleware.ConflictMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.ReaderMiddleware",
    "accounts.staff.sessions.StaffSessionMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
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
                "accounts.pages.context.site",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.pages.backend.Backend"]
# The first one hashes; the others check older passwords, which are hashed anew at the next log-in.
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher"
    for name in ("Argon2", "PBKDF2", "PBKDF2SHA1", "Scrypt")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
SESSION_ENGINE = "accounts.sessions"
# A message may quote a todo's title: keep it in the visitor's browser, out of the database.
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

# What rate limits count. Beside the broker's keys, under a prefix.
CACHES = {
    "default": {
        "BACKEND": "project.cache.SharedCache",
        # As a list: a string would be split at commas, which a password may contain.
        "LOCATION": [REDIS_URL],
        "KEY_PREFIX": "tidy",
        # Raised when values were stored otherwise: those of before are not read.
        "VERSION": 2,
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
FORMAT_MODULE_PATH = "project.formats"
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

LOGGING = logging_config(form=LOG_FORMAT, development=DEBUG, sentry_dsn=SENTRY_DSN)


# People

# In development, mails are shown in the terminal; elsewhere, without a server, none is sent.
NO_MAILER = "console" if DEBUG else "dummy"
SENDS_MAIL = DEBUG or MAILER is not None
MAILERS = {
    "default": MAILER or {"BACKEND": f"django.core.mail.backends.{NO_MAILER}.EmailBackend"},
}
SILENCED_SYSTEM_CHECKS = [
    # HSTS for other hosts, and for good, is a choice: DJANGO_HSTS.
    *("security.W005", "security.W021"),
    # So is a site without a mail server: its pages do not offer what takes mails.
    *([] if MAILER else ["mail.E001"]),
]

ACCOUNT_ADAPTER = "accounts.pages.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "accounts.pages.forms.LogInForm",
    "signup": "accounts.pages.forms.SignUpForm",
    "add_email": "accounts.pages.forms.AddressForm",
    "reauthenticate": "accounts.pages.forms.PasswordOnceMoreForm",
    "reset_password": "accounts.pages.forms.ForgottenPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
# An address is asked for, and has to be confirmed, where there is a mail server.
ACCOUNT_SIGNUP_FIELDS = ["username*", *(["email*"] if MAILER else []), "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if MAILER else "none"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = MAILER is not None
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_SESSION_REMEMBER = True
# The password once more, before the address is changed.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_METHODS = ["password", "mfa"]
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    # Per person as well, from wherever it is tried.
    "login_failed": "10/m/ip,60/h/ip,10/10m/key",
    "signup": "10/m/ip,60/h/ip",
    "reset_password": "10/m/ip,3/15m/key",
    "confirm_email": "1/3m/key",
    "manage_email": "10/m/user",
    "change_password": "10/10m/user",
    "reauthenticate": "10/m/user",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES

MFA_ADAPTER = "accounts.pages.adapter.SecondFactorAdapter"
MFA_FORMS = {
    "add_webauthn": "accounts.pages.forms.AddPasskeyForm",
    "edit_webauthn": "accounts.pages.forms.RenamePasskeyForm",
    "login_webauthn": "accounts.pages.forms.LogInByPasskeyForm",
    "authenticate_webauthn": "accounts.pages.forms.PasskeyForm",
    "reauthenticate_webauthn": "accounts.pages.forms.PasskeyOnceMoreForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEBUG
MFA_TOTP_ISSUER = "Tidy"
# Clocks of phones may be wrong by half a minute.
MFA_TOTP_TOLERANCE = 1
# Staff would be locked out whose address was never confirmed.
MFA_ALLOW_UNVERIFIED_EMAIL = True

#: When cleanups run: takes a moment, and returns the first one after it, None while none is to run.
TODO_NEXT_CLEANUP = "tasks.next_cleanup.next_cleanup"


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
SECURE_HSTS_INCLUDE_SUBDOMAINS = HSTS != "host"
SECURE_HSTS_PRELOAD = HSTS == "preload"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
# gunicorn speaks plain HTTP. A proxy that is counted ends TLS and overwrites this header, whatever
# the visitor sent; without one, it is the visitor's own word. X-Forwarded-Host is never believed.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"


# Background work

#: The default schedules, in addition to the engine's own.
TASKS_SCHEDULES = "tasks.schedules.SCHEDULES"

#: The modules with actors; by default django-dramatiq looks for `tasks.py`.
DRAMATIQ_AUTODISCOVER_MODULES = ["actors"]
# It has a task of its own, for a table that we do not fill.
DRAMATIQ_IGNORED_MODULES = ["django_dramatiq.tasks"]

TASKS_ALERT_EMAILS = ALERTS.emails
TASKS_ALERT_WEBHOOK_URL = ALERTS.webhook_url
TASKS_ALERT_WEBHOOK_SECRET = ALERTS.webhook_secret
TASKS_ALERT_CHECK_IN_URL = ALERTS.check_in_url
TASKS_ALERT_CHECK_IN_TASKS = ALERTS.check_in_tasks
TASKS_ALERT_PRIVATE_TARGETS = ALERTS.private_targets
TASKS_ALERT_SITE_URL = SITE_URL

DRAMATIQ_BROKER = dramatiq_broker(REDIS_URL, liveness_seconds=TASKS_LIVENESS_SECONDS)
