"""Configuration through the environment: wrong values stop the program, and all are documented."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copy2

import pytest

from tests.checkout import copy_project
from tests.env_example import FOR_COMPOSE, examples
from tests.preforked import run_to_its_end

PRODUCTION = {
    "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DJANGO_ALLOWED_HOSTS": "tidy.example",
    "DATABASE_URL": "sqlite://:memory:",
    "REDIS_URL": "redis://localhost",
    "TRUSTED_PROXIES": "1",
}
DEVELOPMENT = {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "made-up"}

#: Django's and Dramatiq's own, which we only give a default.
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "dramatiq_worker_timeout"}

#: Prints what the settings made of each variable, then which variables the project's code looked
#: up (environs reads on its behalf), whatever way it took to `os.environ`.
REPORT = """
import json, os, sys
looked_up = set()

class Recorder(type(os.environ)):
    def __getitem__(self, name):
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in {"os", "collections.abc", "environs"}:
            frame = frame.f_back
        if frame.f_code.co_filename.startswith(os.getcwd()):
            looked_up.add(name)
        return super().__getitem__(name)

os.environ.__class__ = Recorder
from project import settings
print(json.dumps([settings.env.dump(), sorted(looked_up)]))
"""


def run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy of the project, with this environment and no other."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def report(checkout: Path, **environment: str) -> tuple[dict[str, object], set[str]]:
    """Return what the settings read in this environment: the values, and the names looked up."""
    completed = run(checkout, "-c", REPORT, **environment)
    assert completed.returncode == 0, completed.stderr
    values, names = json.loads(completed.stdout)
    return values, set(names)


# Wrong and missing values


REQUIRED = [
    *("DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"),
    # While HTTPS is on, as it is by default.
    "TRUSTED_PROXIES",
]


@pytest.mark.parametrize("name", REQUIRED)
def test_production_does_not_start_without(checkout: Path, name: str) -> None:
    rest = {other: value for other, value in PRODUCTION.items() if other != name}
    assert_refused(checkout, name, rest)


@pytest.mark.parametrize("name", REQUIRED)
def test_empty_value_is_as_good_as_none(checkout: Path, name: str) -> None:
    assert_refused(checkout, name, PRODUCTION | {name: ""})


def test_development_does_not_start_without_a_secret_key(checkout: Path) -> None:
    assert_refused(checkout, "DJANGO_SECRET_KEY", {"DJANGO_DEBUG": "true"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DJANGO_DEBUG", "perhaps"),
        ("DJANGO_HTTPS", "perhaps"),
        ("DJANGO_HSTS", "always"),
        ("TRUSTED_PROXIES", "-1"),
        ("TIME_ZONE", "Mars/Olympus_Mons"),
        ("TIME_ZONE", "../../etc/passwd"),
        ("TIME_ZONE", ""),
        ("TODO_KEEP_COMPLETED_DAYS", "three"),
        ("TODO_KEEP_COMPLETED_DAYS", "-1"),
        ("TODO_KEEP_COMPLETED_DAYS", "3651"),
        ("TODO_KEEP_COMPLETED_DAYS", ""),
        ("TODO_SWEEP_BATCH_SIZE", "0"),
        ("TODO_SWEEP_BATCH_SIZE", "1.5"),
        ("TODO_SWEEP_BATCH_SIZE", "1000001"),
        ("DJANGO_SECRET_KEY", "short"),
        ("DJANGO_SECRET_KEY", "hunter2-0123456789-abcdefghijklmnopqrstuvwxyz-012"),
        ("DJANGO_SECRET_KEY", "hunter2" * 10),
        ("DJANGO_SECRET_KEY", "django-insecure-hunter2-0123456789-abcdefghijklmnopqrstuvwxyz"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@localhost/tidy"),
        ("DATABASE_URL", "postgresql://tidy:Hunter2-hunter2@localhost/tidy"),
        ("DATABASE_PASSWORD", "x"),
        ("DATABASE_PASSWORD", "postgrespassword"),
        ("DATABASE_PASSWORD", "Change-Me-123456"),
        ("DATABASE_PASSWORD", "123456789012"),
        ("DATABASE_PASSWORD", "xyxyxyxyxyxyxyxy"),
        ("DATABASE_URL", "postgresql://tidy@localhost/tidy?password=hunter2-123"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one,[::1]/tidy"),
        ("REDIS_URL", "redis://:hunter2@localhost"),
        ("REDIS_URL", "redis://:valkey%2Dpassword%2D1@localhost"),
        ("REDIS_URL", "unix:///run/valkey.sock?password=hunter2"),
        ("REDIS_URL", "redis+sentinel://one,two/tidy?sentinel_password=hunter2"),
        ("REDIS_PASSWORD", "hunter2"),
        ("DATABASE_URL", "mysql://tidy:hunter2@localhost/tidy"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@localhost:port/tidy"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@[localhost/tidy"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@one,two/tidy"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@one,two/tidy?target_session_attrs=standby"),
        ("DATABASE_URL", "postgresql://tidy:hunter2@one,,/tidy?target_session_attrs=read-write"),
        ("DATABASE_URL", "postgresql://:hunter2@/x?host=a,b&target_session_attrs=read-write"),
        *(
            ("DATABASE_URL", f"postgresql://tidy:Kf7-ahT9xq2m@localhost{rest}")
            for rest in (
                *("", "/", ":5432", ":5432/", ":0/tidy", f"/{'x' * 64}", "/tidy%00hunter2"),
                *(
                    "/tidy?hunter2",
                    "/tidy?hunter2=x",
                    "/tidy?connect_timeout=hunter2",
                    "/tidy?port=0",
                ),
                *("/tidy?keepalives=true", "/tidy?tcp_user_timeout=2147483648"),
                *("/tidy?sslmode=hunter2", "/tidy?sslmode=require&sslmode=hunter2"),
                *("/tidy?sslmode=verify-full&sslrootcert=/hunter2", "/tidy?service=hunter2"),
                *("/tidy?options=5&pool=true", "/tidy?prepare_threshold=hunter2"),
            )
        ),
        (
            "DATABASE_URL",
            "postgresql://tidy:hunter2@one,two:0/tidy?target_session_attrs=read-write",
        ),
        *(
            ("DATABASE_URL", f"sqlite://{rest}")
            for rest in (
                *(
                    "",
                    "/",
                    "/hunter2:memory:",
                    "/hunter2.sqlite3",
                    "hunter2/tidy.sqlite3",
                    "hunter2//tidy.sqlite3",
                ),
                *("//tidy.sqlite3?hunter2=x", "//tidy.sqlite3?timeout=hunter2"),
                "//tidy.sqlite3?transaction_mode=hunter2",
            )
        ),
        ("REDIS_URL", "amqp://tidy:hunter2@localhost"),
        ("REDIS_URL", "redis://:hunter2@localhost:port"),
        ("REDIS_URL", "redis://:hunter2@[localhost"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://:hunter2@localhost?no_such_option=hunter2"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one,two"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one,two:port/tidy"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one,/tidy"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one/tidy/hunter2"),
        ("REDIS_URL", "redis+sentinel://:hun/ter2@one/tidy"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one:0/tidy"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one/tidy?protocol=9"),
        *(
            ("REDIS_URL", f"rediss://:hunter2@localhost{rest}")
            for rest in (
                *(
                    ":0",
                    "/hunter2",
                    "/-1",
                    "/0/x",
                    "?db=-1",
                    "?db=hunter2",
                    "?hunter2",
                    "?protocol=",
                ),
                *("?max_connections=0", "?max_connections=hunter2", "?socket_timeout=nan"),
                *("?socket_timeout=inf", "?socket_connect_timeout=-1", "?protocol=9"),
                *("?protocol=2&protocol=3", "?encoding=hunter2", "?decode_responses=true"),
                *("?ssl_cert_reqs=hunter2", "?ssl_min_version=5", "?ssl_ciphers=hunter2"),
                *("?ssl_ca_certs=/hunter2", "?ssl_ca_path=/hunter2", "?ssl_keyfile=/hunter2"),
                *("?ssl_ca_certs=/dev/null", "?ssl_certfile=/hunter2", "?ssl_ca_data=hunter2"),
            )
        ),
        ("REDIS_URL", "redis://:12?hunter2@localhost"),
        ("REDIS_URL", "redis://:hunter2@.svc.cluster.local:6379/0"),
        ("REDIS_URL", f"redis://:hunter2@{'a' * 70}.example"),
        ("REDIS_URL", "redis://:hunter2@%2Frun%2Fvalkey.sock/0"),
        ("REDIS_URL", "redis://localhost?ssl_ca_certs=/hunter2"),
        ("REDIS_URL", "unix://hunter2.sock"),
        ("METRICS_TOKEN", "hunter2"),
        ("METRICS_TOKEN", "hunter2hunter22"),
        ("METRICS_TOKEN", "2" * 32),
        ("METRICS_TOKEN", "hunter2 0123456789-abcdefg"),
        ("LOG_FORMAT", "xml"),
        ("SENTRY_DSN", "https://hunter2"),
        ("SENTRY_DSN", "ftp://hunter2@sentry.example/1"),
        ("SENTRY_DSN", "https://hunter2@sentry.example"),
        ("SENTRY_DSN", "https://hunter2@sentry.example/tidy"),
        ("SENTRY_DSN", "https://hunter2@sentry.example:99999/1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318?key=hunter2"),
        ("SITE_URL", "tidy.example"),
        ("SITE_URL", "https://tidy.example\n.org"),
        ("SITE_URL", "https://tidy .example"),
        ("SITE_URL", "https://tidy:hunter2@tidy.example"),
        ("SITE_URL", "https://tidy.example/?key=hunter2"),
        ("SITE_URL", "https://tidy.example/#hunter2"),
        ("SITE_URL", "https://tidy.example:99999"),
        ("SITE_URL", "https://*.tidy.example"),
        ("EMAIL_URL", "smtp://tidy:hunter2@mail.example:port"),
        ("EMAIL_URL", "smtp://tidy:hunter2@mail.example:0"),
        ("EMAIL_URL", "smtp://tidy:25/hunter2@mail.example"),
        ("EMAIL_URL", "smtp://tidy:25?hunter2@mail.example"),
        ("EMAIL_URL", "smtp://tidy:hunter2@mail .example"),
        ("EMAIL_FROM", "Tidy <tidy@tidy.example>\nBcc: all@tidy.example"),
        ("EMAIL_FROM", "Tidy"),
        ("EMAIL_FROM", "tidy@exa mple.org"),
        ("EMAIL_FROM", "Tidy <tidy@tidy..example>"),
        ("EMAIL_FROM", "tidy@tidy.example, all@tidy.example"),
        ("DJANGO_ALLOWED_HOSTS", ","),
        ("DJANGO_ALLOWED_HOSTS", "http://tidy.example"),
        ("DJANGO_ALLOWED_HOSTS", "tidy.example,localhost:8000"),
        ("DJANGO_ALLOWED_HOSTS", "*.tidy.example"),
        ("DJANGO_ALLOWED_HOSTS", "::1"),
        ("DJANGO_ALLOWED_HOSTS", "tidy_web"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "tidy.example"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "https://tidy.example/"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "https://tidy.example,https://other.example:99999"),
        ("ALERT_EMAILS", "ops"),
        ("ALERT_EMAILS", "ops@tidy.example"),
        ("ALERT_WEBHOOK_URL", "https://user:hunter2@tidy.example/"),
        ("ALERT_WEBHOOK_SECRET", "hunter2"),
        ("ALERT_WEBHOOK_SECRET", "made-up-0123456789-abcdefghijklmn-hunter2"),
        ("ALERT_CHECK_IN_URL", "tidy.example/hunter2"),
        ("ALERT_CHECK_IN_URL", "https://tidy.example:0/hunter2"),
        ("ALERT_PRIVATE_TARGETS", "perhaps"),
    ],
)
def test_wrong_value_stops_the_program(checkout: Path, name: str, value: str) -> None:
    assert_refused(checkout, name, PRODUCTION | {name: value})


ADDRESSES = {
    "ALERT_CHECK_IN_URL": "https",
    "ALERT_WEBHOOK_URL": "https",
    "DATABASE_URL": "postgresql",
    "EMAIL_URL": "smtp",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http",
    "REDIS_URL": "redis+sentinel",
    "SENTRY_DSN": "https",
    "SITE_URL": "https",
}


@pytest.mark.parametrize(("name", "scheme"), ADDRESSES.items())
@pytest.mark.parametrize(
    "rest",
    [
        # What Python's own error would quote.
        *("tidy:hunter2\u2100@tidy.example/1", "tidy:hunter2@[::1/1", "tidy:hunter2@[x]/1"),
        "tidy:hunter2@tidy.example:99999/1",
        # What Python would leave out, or take for the end.
        *("tidy:hunter2\nx@tidy.example/1", "tidy:1#hunter2@tidy.example/1"),
    ],
)
def test_address_that_cannot_be_split_is_named_and_never_repeated(
    checkout: Path, name: str, scheme: str, rest: str
) -> None:
    environment = PRODUCTION | {name: f"{scheme}://{rest}"}
    assert_refused(checkout, name, environment)


@pytest.mark.parametrize("name", ["DATABASE_URL", "EMAIL_URL", "REDIS_URL", "SENTRY_DSN"])
def test_no_traceback_of_a_wrong_setting_repeats_it(checkout: Path, name: str) -> None:
    environment = PRODUCTION | {name: f"{ADDRESSES[name]}://tidy:hunter2\u2100@tidy.example/1"}
    completed = run(checkout, "-c", "import project.settings", **environment)
    assert f'ImproperlyConfigured: Environment variable "{name}": is not' in completed.stderr
    assert "hunter2" not in completed.stderr


def test_any_host_does_not_say_where_the_site_is(checkout: Path) -> None:
    any_host = PRODUCTION | {"DJANGO_ALLOWED_HOSTS": "*"}
    assert_refused(checkout, "SITE_URL", any_host)
    values, _ = report(checkout, **any_host, SITE_URL="https://tidy.example")
    assert values["DJANGO_ALLOWED_HOSTS"] == ["*"]


@pytest.mark.parametrize(
    ("package", "name", "value", "extra"),
    [
        ("sentry_sdk", "SENTRY_DSN", "https://hunter2@sentry.example/1", "sentry"),
        ("opentelemetry", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://hunter2@collector", "tracing"),
    ],
)
def test_setting_whose_extra_is_not_installed_stops_the_program(
    checkout: Path, package: str, name: str, value: str, extra: str
) -> None:
    code = f"import sys; sys.modules['{package}'] = None; sys.argv[1:] = ['check']\n"
    code += "import manage; manage.main()"
    with_it = run(checkout, "-c", code, **PRODUCTION, **{name: value})
    assert with_it.returncode == 1
    assert with_it.stderr.startswith("manage.py: ")
    assert with_it.stderr.count("\n") == 1
    assert name in with_it.stderr
    assert f"install the extra `{extra}`" in with_it.stderr
    assert "hunter2" not in with_it.stderr
    without = run(checkout, "-c", code, **PRODUCTION)
    assert without.returncode == 0, without.stderr


@pytest.mark.parametrize("secret", ["", "hunter2", "hunter2" * 10])
def test_webhook_without_a_strong_secret_stops_the_program(checkout: Path, secret: str) -> None:
    environment = PRODUCTION | {
        "ALERT_WEBHOOK_URL": "https://alerts.example/",
        "ALERT_WEBHOOK_SECRET": secret,
    }
    assert_refused(checkout, "ALERT_WEBHOOK_SECRET", environment)


def assert_refused(checkout: Path, name: str, environment: dict[str, str]) -> None:
    """Check that `manage.py` ends with one line, which names the variable and no password."""
    completed = run_to_its_end(("check",), checkout, environment)
    assert completed.returncode == 1
    assert completed.stdout == ""
    assert completed.stderr.count("\n") == 1
    assert re.match(rf"manage\.py: .*\b{name}\b", completed.stderr)
    assert "hunter2" not in completed.stderr


def test_without_https_no_proxy_needs_to_be_counted(checkout: Path) -> None:
    environment = PRODUCTION | {"DJANGO_HTTPS": "false"}
    del environment["TRUSTED_PROXIES"]
    values, _ = report(checkout, **environment)
    assert values["TRUSTED_PROXIES"] is None


#: As docs/operations.md has it.
SEVERAL_HOSTS = {
    "DATABASE_URL": "postgresql://tidy:Kf7-ahT9xq2m@one,two:5433,[::1]:5434/tidy"
    "?target_session_attrs=read-write",
    "REDIS_URL": "redis+sentinel://:Kf7-ahT9xq2m@one,two:26380,[::1]/tidy/0"
    "?sentinel_password=m2qx9Tha-7fK",
}


def test_passwords_of_servers_may_stand_apart_from_their_addresses(checkout: Path) -> None:
    password = "p@ss:w/rd? #%"
    show = """
from urllib.parse import unquote, urlsplit
from project import settings
broker = urlsplit(settings.REDIS_URL)
print(broker.username, unquote(broker.password), broker.hostname, broker.port, broker.path)
print(settings.DATABASES["default"]["USER"], settings.DATABASES["default"]["PASSWORD"])
"""
    shown = run(
        checkout,
        *("-c", show),
        **PRODUCTION
        | {
            "DATABASE_URL": "postgresql://tidy:old@db:5432/tidy",
            "DATABASE_PASSWORD": password,
            "REDIS_URL": "redis://tidy:old@valkey:6379/0",
            "REDIS_PASSWORD": password,
        },
    ).stdout
    assert shown == f"tidy {password} valkey 6379 /0\ntidy {password}\n"


def test_right_values_are_accepted(checkout: Path) -> None:
    for environment in (PRODUCTION, DEVELOPMENT):
        completed = run(checkout, "manage.py", "check", **environment)
        assert completed.returncode == 0, completed.stderr


def test_hosts_and_addresses_are_accepted_however_they_are_written(checkout: Path) -> None:
    environment = PRODUCTION | {
        "DJANGO_ALLOWED_HOSTS": ".tidy.example, Other.example,192.0.2.1,[::1],*",
        "DJANGO_CSRF_TRUSTED_ORIGINS": "https://*.tidy.example, http://[::1]:8000",
        "EMAIL_URL": "smtp://tidy:my app%23word@mail.example:587/",
        "EMAIL_FROM": "\u00dc. Tidy <tidy@localhost>",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://tidy:hunter2@collector:4318/otlp",
        "SENTRY_DSN": "https://key:hunter2@sentry.example:9000/path/17",
        "SITE_URL": "https://t\u00efdy.example:8443/",
    }
    values, _ = report(checkout, **environment)
    assert values["DJANGO_ALLOWED_HOSTS"] == [
        *(".tidy.example", "Other.example", "192.0.2.1", "[::1]", "*"),
    ]
    assert values["DJANGO_CSRF_TRUSTED_ORIGINS"] == ["https://*.tidy.example", "http://[::1]:8000"]


def test_strong_passwords_are_accepted_and_in_development_weak_ones(checkout: Path) -> None:
    strong = {
        "DATABASE_URL": "postgresql://tidy:Kf7-ahT9%2Bxq2m@localhost/tidy",
        "REDIS_URL": "redis://:correct-horse-battery-staple@localhost",
    }
    weak = {"DATABASE_URL": "postgresql://tidy:x@localhost/tidy", "REDIS_URL": "redis://:x@host"}
    for environment in (PRODUCTION | strong, DEVELOPMENT | weak):
        values, _ = report(checkout, **environment)
        assert values["REDIS_URL"] == environment["REDIS_URL"]


def test_several_hosts_are_accepted(checkout: Path) -> None:
    values, _ = report(checkout, **PRODUCTION | SEVERAL_HOSTS)
    database = values["DATABASE_URL"]
    assert isinstance(database, dict)
    assert (database["HOST"], database["PORT"]) == ("one,two,::1", "5432,5433,5434")


# Values from files


def test_value_is_read_from_the_file_that_name_file_gives(checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    values, _ = report(checkout, DJANGO_DEBUG="true", DJANGO_SECRET_KEY_FILE=str(file))
    assert values["DJANGO_SECRET_KEY"] == "from-a-file"


def test_missing_file_is_named(checkout: Path, tmp_path: Path) -> None:
    environment = DEVELOPMENT | {"DJANGO_SECRET_KEY_FILE": str(tmp_path / "none")}
    assert_refused(checkout, "DJANGO_SECRET_KEY_FILE", environment)


def test_file_that_is_no_text_is_named(checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfehunter2")
    for path in (str(file), f"{tmp_path}/{'x' * 300}"):
        environment = DEVELOPMENT | {"DJANGO_SECRET_KEY_FILE": path}
        assert_refused(checkout, "DJANGO_SECRET_KEY_FILE", environment)


def test_environment_wins_over_the_env_file(checkout: Path, tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "tidy", checkout)
    (copy / ".env").write_text("TIME_ZONE=Mars/Olympus_Mons\n")
    assert_refused(copy, "TIME_ZONE", DEVELOPMENT)
    assert run(copy, "manage.py", "check", TIME_ZONE="UTC", **DEVELOPMENT).returncode == 0


# .env.example


def names_in_the_code(checkout: Path) -> Iterator[str]:
    """Yield the name in each `env.str("NAME")` and the like, in branches not taken as well."""
    for path in set(checkout.rglob("*.py")) - set(checkout.glob("tests/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="env"), attr=method), args=[name, *_]
                ) if method != "add_parser":
                    yield ast.literal_eval(name)


def test_env_example_names_every_setting_and_no_other(checkout: Path) -> None:
    names = set(names_in_the_code(checkout))
    looked_up = set().union(*(report(checkout, **e)[1] for e in (PRODUCTION, DEVELOPMENT)))
    assert "TIME_ZONE" in looked_up
    files = {f"{name}_FILE" for name in names}
    # What only running it shows, a reader other than `env` for one, must be in the code's list.
    assert looked_up - files - NOT_OURS <= names
    assert set(examples()) == names | FOR_COMPOSE


def test_env_example_explains_each_setting() -> None:
    for name, example in examples().items():
        assert example.line_before.startswith("# "), name


def test_env_example_shows_the_defaults(checkout: Path) -> None:
    shown = {
        name: example.value
        for name, example in examples().items()
        if example.commented_out and name not in PRODUCTION
    }
    defaults, _ = report(checkout, **PRODUCTION)
    values, _ = report(checkout, **PRODUCTION, **shown)
    # Unset, these depend on the database.
    by_database = {"TODO_SWEEP_BATCH_SIZE": 5_000, "TODO_SWEEP_PAUSE": 0}
    assert {name: defaults.pop(name) for name in by_database} == dict.fromkeys(by_database)
    assert {name: values.pop(name) for name in by_database} == by_database
    assert values == defaults


def test_env_example_has_no_usable_secret() -> None:
    for name, example in examples().items():
        if not example.commented_out or re.search("KEY|PASSWORD|SECRET|TOKEN", name):
            assert example.value == "", name


def test_copy_of_env_example_starts_nothing(checkout: Path, tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "tidy", checkout)
    copy2(copy / ".env.example", copy / ".env")
    assert_refused(copy, "DJANGO_SECRET_KEY", {})
