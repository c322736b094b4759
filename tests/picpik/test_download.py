"""Which URLs may be fetched, and what is connected to."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from alphabeam.transforms.picpik import (
    AnswerInvalidError,
    ApiUnavailableError,
    PicpikClient,
    ResultRefusedError,
)
from alphabeam.transforms.picpik.connections import tls_context
from alphabeam.transforms.picpik.download import ResultFetcher, is_loopback, is_public, own_domain
from alphabeam.transforms.picpik.transport import ExchangeFailedError
from tests.picpik.conftest import answering, client_of, closing, http, server

PNG = b"\x89PNG\r\n\x1a\n and so on"


def fetcher(
    api: str = "api.picpik.ai",
    addresses: dict[str, list[str]] | None = None,
    allowed: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
) -> ResultFetcher:
    table = addresses or {}
    return ResultFetcher(
        api,
        allowed_hosts=allowed,
        timeout=urllib3.Timeout(connect=2.0, read=2.0),
        max_bytes=1000,
        total_seconds=5.0,
        max_connections=2,
        tls=tls or tls_context(),
        resolve=lambda host, port: table.get(host, []),
    )


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("api.picpik.ai", "picpik.ai"),
        ("API.PicPikAI.com.", "picpikai.com"),
        ("picpik.ai", "picpik.ai"),
        ("a.b.picpik.ai", "picpik.ai"),
        ("api.picpik.com.cn", "picpik.com.cn"),
        ("picpik.co.uk", "picpik.co.uk"),
        ("x.y.picpik.co.uk", "picpik.co.uk"),
        ("internal", "internal"),
    ],
)
def test_the_apis_own_domain(host: str, domain: str) -> None:
    assert own_domain(host) == domain


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # the clouds' metadata
        ("100.64.0.1", False),
        ("100.100.100.200", False),  # a Chinese cloud's metadata
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:0a00:0001::", False),  # 6to4 of 10.0.0.1
        ("64:ff9b::a9fe:a9fe", False),  # NAT64 of 169.254.169.254
        ("64:ff9b::808:808", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback("localhost.picpik.ai") and not is_loopback("10.0.0.1")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://res.picpik.ai/a.png", "not https"),
        ("ftp://res.picpik.ai/a.png", "not https"),
        ("file:///etc/passwd", "no host"),
        ("data:image/png;base64,AAAA", "no host"),
        ("https://evil.example/a.png", "does not allow.*add 'evil.example' to allowed_hosts"),
        ("https://picpik.ai.evil.example/a.png", "does not allow"),
        ("https://evilpicpik.ai/a.png", "does not allow"),
        ("https://user@res.picpik.ai/", "user name"),
        ("https://res.picpik.ai@evil.example/", "user name"),
        ("https://localhost/a.png", "this machine itself"),
        ("https://127.0.0.1/a.png", "this machine itself"),
        ("https://[::1]/a.png", "this machine itself"),
        ("https://8.8.8.8/a.png", "does not allow"),
        ("https://res.picpik.ai/a b", "blanks"),
        ("https://res.picpik.ai/a\r\nHost: x", "blanks"),
        ("https://r\u0435s.picpik.ai/a", "unusual"),  # a Cyrillic letter
        ("https://res.picpik.ai:99999/", "not a URL"),
        ("https://[::1/a", "not a URL"),
        ("", "no host"),
    ],
)
def test_urls_that_are_not_fetched(url: str, why: str) -> None:
    with pytest.raises(ResultRefusedError, match=why) as caught:
        fetcher(addresses={"res.picpik.ai": ["8.8.8.8"]}).fetch(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://picpik.ai/a", ()),
        ("https://res.cn.PICPIK.ai/a", ()),
        ("https://cdn.example.com/a", ("cdn.example.com",)),
        ("https://a.b.example.com/a", ("*.example.com",)),
        ("https://cdn.example.com/a", ("CDN.example.com",)),
    ],
)
def test_hosts_that_are_allowed(url: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ExchangeFailedError, match="no address"):  # past the rules, to the resolver
        fetcher(allowed=allowed).fetch(url)


@pytest.mark.parametrize("host", ["example.com", "xexample.com", "a.example.org"])
def test_a_wildcard_is_for_what_lies_beneath(host: str) -> None:
    with pytest.raises(ResultRefusedError, match="does not allow"):
        fetcher(allowed=("*.example.com",)).fetch(f"https://{host}/")


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["169.254.169.254"]]
)
def test_an_allowed_name_must_not_lead_inside(addresses: list[str]) -> None:
    with pytest.raises(ResultRefusedError, match="not public"):
        fetcher(addresses={"res.picpik.ai": addresses}).fetch("https://res.picpik.ai/a.png")


def test_messages_leave_out_the_query() -> None:
    with pytest.raises(ResultRefusedError) as caught:
        fetcher().fetch("https://evil.example/a.png?token=abc123")
    assert "abc123" not in str(caught.value)


# --------------------------------------------------------------- over loopback


def download(url: str, endpoint: str, **options: object) -> bytes:
    return client_of(endpoint, **options).download(url)


def test_http_is_for_a_loopback_endpoint_only() -> None:
    with server(answering(lambda r, n: http(PNG))) as (endpoint, seen):
        assert download(f"{endpoint}/a.png", endpoint) == PNG
        remote = PicpikClient("https://api.picpik.ai", "a", "b", allowed_hosts=["127.0.0.1"])
        with pytest.raises(ResultRefusedError, match="this machine itself"):
            remote.download(f"{endpoint}/a.png")
        assert len(seen) == 1


def test_a_loopback_endpoint_does_not_open_other_hosts() -> None:
    with pytest.raises(ResultRefusedError, match="not https"):
        download("http://res.picpik.ai/a", "http://127.0.0.1:1")
    with pytest.raises(ResultRefusedError, match="does not allow"):
        download("https://res.picpik.ai/a", "http://127.0.0.1:1")


def test_redirects_stay_within_their_origin() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        path = connection.recv(4096).split()[1]
        replies = {
            b"/result": http(PNG),
            b"/start": http(b"", "307 Temporary Redirect", "Location: /result\r\n"),
            b"/loop": http(b"", "302 Found", "Location: /loop\r\n"),
            b"/nowhere": http(b"", "302 Found", "Location: http://[\r\n"),
            b"/away": http(b"", "302 Found", "Location: https://evil.example/x\r\n"),
        }
        connection.sendall(closing(replies[path]))

    with server(handle) as (endpoint, seen):
        assert download(f"{endpoint}/start", endpoint) == PNG
        for path, why in (
            ("loop", "redirects more than 3 times"),
            ("away", "redirects to https://evil.example/x"),
        ):
            before = len(seen)
            with pytest.raises(ResultRefusedError, match=why):
                download(f"{endpoint}/{path}", endpoint)
            assert len(seen) - before == (4 if path == "loop" else 1)
        with pytest.raises(ResultRefusedError):
            download(f"{endpoint}/nowhere", endpoint)


@pytest.mark.parametrize(
    ("begin", "good"),
    [
        (b"\x89PNG\r\n\x1a\n", True),
        (b"\xff\xd8\xff\xe0", True),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", True),
        (b"RIFF\x00\x00\x00\x00WAVE", False),
        (b"<svg xmlns=", False),
        (b"GIF89a", False),
        (b"", False),
    ],
)
def test_content_is_told_by_its_first_bytes(begin: bytes, good: bool) -> None:
    reply = http(begin, headers="Content-Type: image/png\r\n")
    with server(answering(lambda r, n: reply)) as (endpoint, _):
        if good:
            assert download(f"{endpoint}/a", endpoint) == begin
        else:
            with pytest.raises(AnswerInvalidError, match="begins with"):
                download(f"{endpoint}/a", endpoint)


@pytest.mark.slow
def test_a_dripping_result_ends_at_its_time() -> None:
    stop = threading.Event()

    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + PNG)
        while not stop.wait(0.02):
            connection.sendall(b"x")

    with server(handle) as (endpoint, _):
        with pytest.raises(ApiUnavailableError, match=r"not done within 0.2 s"):
            download(f"{endpoint}/a", endpoint, download_timeout=0.2)
        stop.set()


def test_connections_to_a_result_host_are_used_again() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        while connection.recv(4096):
            connection.sendall(http(PNG))

    with server(handle) as (endpoint, seen):
        client = client_of(endpoint)
        for _ in range(5):
            client.download(f"{endpoint}/a")
        assert len(seen) == 1
        client.close()


# --------------------------------------------------------------- TLS to a checked address


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for res.picpik.ai, with its key, in one PEM file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "res.picpik.ai")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("res.picpik.ai")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "res.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[tuple[int, list[str]]]:
    """A TLS server on loopback; gives its port and the names that clients asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str] = []
    context.sni_callback = lambda sock, name, ctx: asked.append(str(name))

    def handle(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            head = secure.recv(4096).decode()
            asked.extend(x for x in head.split("\r\n") if x.startswith("Host"))
            secure.sendall(http(PNG))

    with server(handle) as (endpoint, _):
        yield int(endpoint.rpartition(":")[2]), asked


def test_the_address_checked_is_the_one_connected_to(
    certificate: Path, tls_port: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver answers once; a name that is resolved again could then lead elsewhere."""
    port, asked = tls_port
    calls: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        calls.append(host)
        return ["127.0.0.1"]

    def refuse(*args: object, **named: object) -> object:
        assert ipaddress.ip_address(str(args[0])), "a name was resolved behind the check's back"
        return real(*args, **named)  # type: ignore[arg-type]

    real = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("alphabeam.transforms.picpik.download.is_public", lambda address: True)
    one = fetcher(tls=tls_context(str(certificate)))
    one._resolve = resolve
    answer = one.fetch(f"https://res.picpik.ai:{port}/a.png")
    assert answer.body == PNG
    assert calls == ["res.picpik.ai"]
    assert asked == ["res.picpik.ai", f"Host: res.picpik.ai:{port}"]


@pytest.mark.parametrize("trusted", [True, False])
def test_the_certificate_must_be_trusted_and_bear_the_urls_name(
    trusted: bool,
    certificate: Path,
    tls_port: tuple[int, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, _ = tls_port
    monkeypatch.setattr("alphabeam.transforms.picpik.download.is_public", lambda address: True)
    host = "other.picpik.ai" if trusted else "res.picpik.ai"
    one = fetcher(
        addresses={host: ["127.0.0.1"]},
        tls=tls_context(str(certificate) if trusted else None),
    )
    with pytest.raises(ExchangeFailedError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        one.fetch(f"https://{host}:{port}/a.png")
    assert caught.value.permanent


def test_ipv6_addresses_are_connected_to() -> None:
    try:
        with server(answering(lambda r, n: http(PNG)), "::1") as (endpoint, _):
            assert download(f"{endpoint}/a", endpoint) == PNG
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


def test_a_host_that_no_name_can_be_is_refused() -> None:
    client = PicpikClient("https://api.picpik.ai", "a", "b")
    with pytest.raises(ResultRefusedError, match="not a host's name"):
        client.download(f"https://{'a' * 70}.picpik.ai/a.png")


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "²", "abc"])
def test_odd_lengths_are_survived(length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode("latin-1")
    with server(answering(lambda r, n: head + PNG)) as (endpoint, _):
        try:
            assert download(f"{endpoint}/a", endpoint) == PNG
        except (ApiUnavailableError, AnswerInvalidError, ResultRefusedError) as error:
            assert "\n" not in str(error)


def test_chinese_file_names_in_urls_are_fetched() -> None:
    paths: list[bytes] = []

    def handle(connection: socket.socket, number: int) -> None:
        paths.append(connection.recv(4096).split()[1])
        connection.sendall(closing(http(PNG)))

    with server(handle) as (endpoint, _):
        assert download(f"{endpoint}/结果/图.png?名=1", endpoint) == PNG
    assert paths == [b"/%E7%BB%93%E6%9E%9C/%E5%9B%BE.png?%E5%90%8D=1"]
