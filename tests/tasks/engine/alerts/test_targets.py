"""Where requests of alerts may go, and what ends them: real servers, and names that lead astray."""

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import active_count
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from tasks.engine.alerts import exchange
from tasks.engine.alerts.exchange import NotDelivered, send
from tasks.engine.alerts.targets import parse_target
from tests.processes import wait_until
from tests.receiver import Receiver, receiver

PRIVATE = "its host has an address in a private network"

#: Addresses that no request may go to, as names may lead to them.
FORBIDDEN = [
    "0.0.0.0",  # noqa: S104  (nobody listens there)
    *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::"),
    *("2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "::127.0.0.1"),
    # Site-local, translated, tunneled (with each of two bits that may be set), for examples.
    *("fec0::1", "feff::1", "::ffff:0:10.0.0.1", "::ffff:0:1.1.1.1", "64:ff9b:1::1.1.1.1"),
    *("2a00::5efe:10.0.0.1", "2a00::200:5efe:7f00:1", "2a00::300:5efe:127.0.0.1", "3fff::1"),
    *("3fff:fff::1", "2002:a00:1::1", "2002:c0a8:101::5efe:1.1.1.1", "64:ff9b::10.0.0.1"),
    # Teredo, by a private server and to a private client, whose bits are inverted.
    *("2001:0:a00:1::fefe:fefe", "2001:0:101:101::f5ff:fffe", "::1.1.1.1", "5f00::1", "4000::1"),
]
#: As people, and others, write some of them.
HOSTS = [
    *("localhost", "127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001"),
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "10.0.0.1", "0"),
    *("2852039166", "[fe80::1]", "localhost.", "LOCALHOST"),
]


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has names lead to addresses, the next ones each time, and notes what is asked for."""
    real, asked = socket.getaddrinfo, []

    def lead(name: str, *answers: list[str]) -> list[str]:
        turns = iter(answers)

        def resolve(host: str, port: int, *args: object, **kwargs: int) -> list[object]:
            if host != name:
                return list(real(host, port, **kwargs))
            asked.append(host)
            return [entry for address in next(turns) for entry in real(address, port, **kwargs)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return asked

    return lead


def get(url: str, *, private_targets: bool = False) -> None:
    send("GET", url, headers={"X-Kind": "test"}, private_targets=private_targets)


def failure(url: str, *, private_targets: bool = False) -> str:
    with pytest.raises(NotDelivered) as refused:
        get(url, private_targets=private_targets)
    return str(refused.value)


# Private networks.


@pytest.mark.parametrize("address", FORBIDDEN)
def test_name_that_leads_to_a_private_network_gets_no_connection(
    names: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    names("alerts.test", [address], [address])
    assert failure("http://alerts.test/") == PRIVATE
    assert failure("https://alerts.test/") == PRIVATE


@pytest.mark.parametrize("host", HOSTS)
def test_private_address_gets_no_connection_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    assert failure(f"http://{host}/") in {PRIVATE, "its host name cannot be resolved"}


def no_connection(address: tuple[str, int], *_: object) -> None:
    pytest.fail(f"connected to {address}")


PUBLIC = [
    *("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2a00::5efe:101:101"),
    "2a00:1450:4001:81b::200e",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_connected_to(
    names: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    connected = []

    def connect(where: tuple[str, int], *_: object) -> None:
        connected.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    names("alerts.test", [address])
    assert failure("http://alerts.test:8080/") == "ConnectionRefusedError"
    assert connected == [(address, 8080)]


def test_one_private_address_among_public_ones_is_one_too_many(
    names: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    names("alerts.test", ["1.1.1.1", "127.0.0.1"])
    assert failure("http://alerts.test/") == PRIVATE


def test_name_is_asked_for_once_and_connected_to_where_it_led_then(
    names: Callable[..., list[str]], web: Receiver
) -> None:
    # A second answer, as of a name server that wants the request elsewhere, would not be refused.
    asked = names("alerts.test", ["127.0.0.1"], ["127.0.0.2"])
    get(f"http://alerts.test:{web.port}/", private_targets=True)
    assert asked == ["alerts.test"]
    assert web.requests[0].headers["Host"] == f"alerts.test:{web.port}"


def test_private_network_is_allowed_where_the_settings_say_so(web: Receiver) -> None:
    get(web.url, private_targets=True)
    (request,) = web.requests
    assert (request.method, request.path) == ("GET", "/hook?key=k")
    assert failure(web.url) == PRIVATE
    assert len(web.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(web: Receiver, status: int) -> None:
    with receiver() as other:
        web.status, web.location = status, other.url
        said = failure(web.url, private_targets=True)
        assert other.requests == []
    assert said == f"HTTP {status}, and redirects are not followed"


def test_proxy_of_the_environment_is_ignored(
    web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    get(web.url, private_targets=True)
    assert len(web.requests) == 1


# Addresses that are none.


@pytest.mark.parametrize(
    "url",
    [
        *("", "alerts.test", "//alerts.test/", "ftp://alerts.test/", "file:///etc/passwd"),
        *(
            "gopher://alerts.test/",
            "javascript:alert(1)",
            "https://",
            "https:///path",
            "http://:80/",
        ),
        *(
            "http://alerts.test:port/",
            "http://alerts.test:99999/",
            "http://alerts.test:0/",
            "http://[::1/",
            "http://[x]/",
        ),
        *("http://alerts.test/\r\nX: y", "http://alerts.test/ x", "http://alerts.test/\x00"),
        *("http://alérts.test/", "http://user@alerts.test/", "http://alerts.test@127.0.0.1/"),
        *("http://alerts.test:1#hunter2@other.test/", "http://alerts.test/#"),
        *("http://:hunter2@alerts.test/", "http://user:hunter2@alerts.test/"),
    ],
)
def test_wrong_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?:must|is) [^/]*") as refused:
        parse_target(url)
    assert "hunter2" not in str(refused.value)
    assert failure(url).startswith("its address ")


# What ends a request.


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_answer_other_than_success_is_a_failure(web: Receiver, status: int) -> None:
    web.status = status
    assert failure(web.url, private_targets=True) == f"HTTP {status}"


def test_server_that_is_not_there_is_a_failure(web: Receiver) -> None:
    with receiver() as gone:
        url = gone.url
    assert failure(url, private_targets=True) == "ConnectionRefusedError"


@pytest.mark.parametrize("how", ["stalls", "drips"])
def test_server_that_never_ends_its_answer_is_left_in_time_and_leaves_no_thread(
    web: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGE_SECONDS", 0.5)
    web.drips = how == "drips"
    if how == "stalls":
        web.go_on.clear()
    before, begun = active_count(), monotonic()
    assert failure(web.url, private_targets=True) == "timed out"
    assert monotonic() - begun < exchange.WAIT_SECONDS
    web.go_on.set()
    wait_until(lambda: active_count() <= before, seconds=30, otherwise=lambda: "a thread is left")


def test_server_that_takes_no_connection_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "WAIT_SECONDS", 0.3)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            said = failure(f"http://127.0.0.1:{full.getsockname()[1]}/", private_targets=True)
    assert said == "timed out"


# TLS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for alerts.test, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), timezone.now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alerts.test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("alerts.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, unlocked = serialization.Encoding.PEM, serialization.NoEncryption()
    written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unlocked)
    file = tmp_path_factory.mktemp("certificate") / "alerts.pem"
    file.write_bytes(made.public_bytes(pem) + written)
    return file


def test_certificate_is_checked_for_the_name_and_not_for_the_address(
    certificate: Path, names: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(certificate) as web:
        names("alerts.test", ["127.0.0.1"], ["127.0.0.1"])
        url = f"https://alerts.test:{web.port}/"
        assert failure(url, private_targets=True) == "its certificate is not valid for it"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        get(url, private_targets=True)
        assert len(web.requests) == 1
        other = f"https://localhost:{web.port}/"
        assert failure(other, private_targets=True) == "its certificate is not valid for it"
        assert len(web.requests) == 1
