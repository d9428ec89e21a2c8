"""Asks one replica, on this machine, whether it works: `python -m project.healthcheck KIND`.

For the health command of a container, or of whatever else supervises processes. It needs no
settings and starts in a fraction of the time of `manage.py`, as it runs every few seconds.
"""

import http.client
import sys
from argparse import ArgumentParser
from http import HTTPStatus
from pathlib import Path

from tasks.engine.alive import fault_of_file, fault_of_folder

#: Where gunicorn.conf.py has the site listen.
ADDRESS = "127.0.0.1:8000"

#: How long the site may take to answer.
TIMEOUT_SECONDS = 4.0


def main() -> None:
    """Exit with 0 if the replica is well, else with 1 and one line that says why."""
    parser = ArgumentParser(prog="python -m project.healthcheck", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    web = kinds.add_parser("web", help="is well if it answers /livez")
    web.add_argument("address", nargs="?", default=ADDRESS, help="HOST:PORT (%(default)s)")
    web.add_argument("--ready", action="store_true", help="ask /readyz, which asks the database")
    worker = kinds.add_parser("worker", help="is well if all of its processes are")
    worker.add_argument("folder", type=Path, help="the --alive-folder of rundramatiq")
    scheduler = kinds.add_parser("scheduler", help="is well if it claims and relays")
    scheduler.add_argument("file", type=Path, help="the --alive-file of runscheduler")
    given = parser.parse_args()
    match given.kind:
        case "web":
            fault = fault_of_site(given.address, "/readyz" if given.ready else "/livez")
        case "worker":
            fault = fault_of_folder(given.folder)
        case _:
            fault = fault_of_file(given.file)
    if fault:
        sys.exit(f"unhealthy: {fault}")


def fault_of_site(address: str, path: str) -> str:
    """Return what the site answers to a probe unless it is well; empty if it is."""
    # Not urllib, which would use a proxy if the environment names one.
    site = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        site.request("GET", path)
        answer = site.getresponse()
        body = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{path} of {address}: {error}"
    finally:
        site.close()
    return "" if answer.status == HTTPStatus.OK else f"{path} answers {answer.status}: {body}"


if __name__ == "__main__":
    main()
