"""nginx, with the block of the page, in front of the site."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import wait_until
from tests.runbook.host import Host, listens
from tests.runbook.page import chapter
from tests.servers import free_port

#: What Debian's nginx.conf says, but for its places.
CONFIGURATION = """
daemon off;
pid {root}/run/nginx.pid;
error_log {root}/log/nginx.log;
events {{}}
http {{
    access_log off;
    types {{ text/css css; text/javascript js; image/svg+xml svg; }}
    client_body_temp_path {root}/nginx/body;
    proxy_temp_path {root}/nginx/proxy;
    fastcgi_temp_path {root}/nginx/fastcgi;
    uwsgi_temp_path {root}/nginx/uwsgi;
    scgi_temp_path {root}/nginx/scgi;
    {block}
}}
"""


def nginx_program() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def write_configuration(host: Host, http_port: int, https_port: int) -> Path:
    """Write nginx's configuration for a host, with a certificate; return the file."""
    (host.root / "nginx").mkdir()
    keys = host.root / "etc/ssl/tidy"
    keys.mkdir(parents=True)
    key, certificate = keys / "key.pem", keys / "fullchain.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=tidy.example.org", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    block = host.here(chapter("nginx"))
    block = block.replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    block = block.replace("listen 443 ssl;", f"listen 127.0.0.1:{https_port} ssl;")
    file = host.root / "nginx/nginx.conf"
    file.write_text(CONFIGURATION.format(root=host.root, block=block), encoding="utf-8")
    return file


@contextmanager
def proxy(host: Host) -> Iterator[int | None]:
    """Run nginx until the block ends; yield its port for HTTPS, None if there is no nginx here."""
    program = nginx_program()
    if program is None:
        yield None
        return
    port = free_port()
    file = write_configuration(host, free_port(), port)
    with (host.root / "log/nginx.out").open("wb") as log:
        server = subprocess.Popen([program, "-c", str(file)], stdout=log, stderr=log)
    try:
        wait_until(
            lambda: listens(port),
            seconds=10,
            otherwise=(host.root / "log/nginx.out").read_text,
        )
        yield port
    finally:
        server.terminate()
        server.wait(10)
