"""What is no HTTP, or hardly, as bytes on a connection."""

import socket
from pathlib import Path

from hypothesis import strategies as st

#: How long to wait for an answer (seconds).
PATIENCE_SECONDS = 20

LINES = (
    *(b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"GET /livez HTTP/1.1"),
    *(b"GET /static/site/site.css HTTP/1.1", b"POST /accounts/login/ HTTP/1.1", b"HEAD / HTTP/1.1"),
    *(b"GET / HTTP/9.9", b"GET / HTTP/2", b"GET /", b"GET", b"", b"\0\xff\xfe", b"get / http/1.1"),
    *(b"GET http://evil.example/ HTTP/1.1", b"GET //evil.example/ HTTP/1.1", b"GET * HTTP/1.1"),
    *(b"CONNECT evil.example:443 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"PRI * HTTP/2.0"),
    *(
        b"GET /\xff\xfe%00%ff HTTP/1.1",
        b"GET /../../etc/passwd HTTP/1.1",
        b"GET /%2e%2e/x HTTP/1.1",
    ),
    *(b"GET /static/%2e%2e/%2e%2e/manage.py HTTP/1.1", b"GET /static//etc/passwd HTTP/1.1"),
    *(b"GET /" + b"a" * 9_000 + b" HTTP/1.1", b"G" * 200 + b" / HTTP/1.1", b"GET  /  HTTP/1.1"),
    *(b"GET / HTTP/1.1\nX: 1", b"GET\t/\tHTTP/1.1", b"GET /?" + b"&a=1" * 1_500 + b" HTTP/1.1"),
)

FIELDS = (
    *(b"Host: localhost", b"Host: localhost", b"Host: evil.example", b"Host: localhost\r\nHost: x"),
    *(b"Host: [::1", b"Host:", b"Host : localhost", b"Host: localhost:99999", b" folded: x"),
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6"),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: +5", b"Content-Length: 0x5"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: x"),
    *(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding : chunked"),
    *(b"Expect: 100-continue", b"Connection: upgrade\r\nUpgrade: h2c", b"Content-Encoding: gzip"),
    *(b"X-Forwarded-Proto: https", b"X-Forwarded-For: x\0y", b"SCRIPT_NAME: /x", b"PATH_INFO: /y"),
    *(b"Proxy: http://evil.example", b"Range: bytes=0-,0-,0-,0-", b"Range: bytes=9-1", b"no colon"),
    *(b"Cookie: sessionid=\xff\xfe", b"Cookie: " + b"a=b; " * 1_500, b"X: " + b"y" * 9_000),
    *(b"X\x00Y: 1", b"X: a\rb", b"X: \x7f\x01", b"\xc3\xa4: x", b"Accept-Language: \xff"),
    *(b"\r\n".join(b"X-%d: 1" % number for number in range(150)), b"If-None-Match: \xe4", b"::"),
)

BODIES = (
    *(
        b"",
        b"",
        b"a=b&c",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"-5\r\nx\r\n0\r\n\r\n",
    ),
    *(
        b"5;x=" + b"y" * 5_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX: y\r\n\r\nGET /livez HTTP/1.1\r\n\r\n",
    ),
    *(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 99,
    ),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return something like a request."""
    if draw(st.integers(0, 15)) == 15:
        return draw(st.binary(max_size=200))
    lines = [draw(st.sampled_from(LINES)), *draw(st.lists(st.sampled_from(FIELDS), max_size=4))]
    end = draw(st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")))
    return end.join([*lines, b"", draw(st.sampled_from(BODIES))])


def exchange(address: int | Path, sent: bytes) -> bytes:
    """Send bytes and no more; return all that comes back until the server hangs up.

    Args:
        address: a port, or a Unix socket.
        sent: the bytes.
    """
    is_port = isinstance(address, int)
    with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        received = b""
        try:
            connection.connect(("127.0.0.1", address) if is_port else str(address))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        except ConnectionError:  # It has hung up in the midst of it.
            pass
        return received
