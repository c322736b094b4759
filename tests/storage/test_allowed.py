"""Which places rows may read from, in every spelling and along every detour."""

from __future__ import annotations

import pickle
import socket
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.addresses import kind_of, parsed
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage import AllowList, allowed
from tests.storage import servers
from tests.storage.http_server import DATA

LOCAL, REMOTE = "/shop/manifest.csv", "s3://shop/lists/manifest.csv"


def refused(allow: AllowList, uri: str) -> str:
    """The message of the refusal; empty if the row may read it."""
    try:
        allow.check(uri)
    except RowError as error:
        assert error.code is ErrorCode.NOT_ALLOWED, error
        assert error.message.count("\n") == 0 and "input.allow" in error.message
        return error.message
    return ""


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a name server."""
    known = {
        "public.example": "93.184.216.34",
        "intranet.example": "10.0.0.7",
        "inside.example": "127.0.0.1",
        "cloud.example": "169.254.169.254",
    }

    monkeypatch.setattr(
        allowed, "_addresses", lambda store: [known[store.host]] if store.host in known else []
    )


@pytest.mark.parametrize(
    ("manifest", "uri", "may"),
    [
        # a local manifest's rows: every store
        (LOCAL, "/shop/a.jpg", True),
        (LOCAL, "/elsewhere/a.jpg", True),
        (LOCAL, "file:///elsewhere/a.jpg", True),
        (LOCAL, "s3://any/a.jpg", True),
        (LOCAL, "gs://any/a.jpg", True),
        (LOCAL, "https://public.example/a.jpg", True),
        (LOCAL, "http://10.1.2.3/a.jpg", True),
        (LOCAL, "http://192.168.1.5:8080/a.jpg", True),
        (LOCAL, "sftp://me@intranet.example/a.jpg", True),
        (LOCAL, "zip://a.jpg::/shop/a.zip", True),
        (LOCAL, "http://127.0.0.1:8000/a.jpg", False),
        (LOCAL, "http://localhost:8000/a.jpg", False),
        (LOCAL, "https://shop.LOCALHOST./a.jpg", False),
        (LOCAL, "ftp://inside.example/a.jpg", False),
        (LOCAL, "sftp://cloud.example/a.jpg", False),
        (LOCAL, "sftp://127.0.0.1:22/a.jpg", False),
        # a remote one's: its own store, and the web
        (REMOTE, "s3://shop/photos/a.jpg", True),
        (REMOTE, "s3a://shop/photos/a.jpg", True),
        (REMOTE, "zip://a.jpg::s3://shop/a.zip", True),
        (REMOTE, "simplecache::https://public.example/a.jpg", True),
        (REMOTE, "https://public.example/a.jpg", True),
        (REMOTE, "s3://other/a.jpg", False),
        (REMOTE, "s3://shop.other/a.jpg", False),
        (REMOTE, "gs://shop/a.jpg", False),
        (REMOTE, "/etc/passwd", False),
        (REMOTE, "~/.ssh/id_rsa", False),
        (REMOTE, "file:///etc/passwd", False),
        (REMOTE, "local:///etc/passwd", False),
        (REMOTE, "FILE:///etc/passwd", False),
        (REMOTE, "fsspec+file:///etc/passwd", False),
        (REMOTE, "simplecache::file:///etc/passwd", False),
        (REMOTE, "zip://a.jpg::/etc/a.zip", False),
        (REMOTE, "zip://a.jpg::simplecache::file:///etc/a.zip", False),
        (REMOTE, "tar://a.jpg::zip://b.tar::file:///etc/a.zip", False),
        (REMOTE, "memory://a.jpg", False),
        (REMOTE, "sftp://public.example/a.jpg", False),
        (REMOTE, "ftp://public.example/a.jpg", False),
        (REMOTE, "github://org:repo@/a.jpg", False),
        ("zip://list.csv::s3://shop/list.zip", "s3://shop/a.jpg", True),
        ("zip://list.csv::s3://shop/list.zip", "/etc/passwd", False),
        ("sftp://me@public.example/list.csv", "sftp://public.example:22/a.jpg", True),
        ("sftp://public.example/list.csv", "sftp://other.example/a.jpg", False),
        ("abfs://shop@one.dfs.core.windows.net/m.csv", "abfs://shop@two.dfs.core/a.jpg", False),
        # a server on this machine that the job itself names may send to itself alone
        ("http://127.0.0.1:8000/m.csv", "http://127.0.0.1:8000/a.jpg", True),
        ("http://localhost:8000/m.csv", "http://localhost:8000/a.jpg", True),
        ("http://127.0.0.1:8000/m.csv", "http://127.0.0.1:6379/a.jpg", False),
        ("http://public.example/m.csv", "http://public.example/a.jpg", True),
        ("http://public.example/m.csv", "/etc/passwd", False),
    ],
)
def test_the_default(manifest: str, uri: str, may: bool) -> None:
    assert (not refused(AllowList.of(manifest), uri)) is may


LOOPBACK = [
    "127.0.0.1", "127.8.9.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.", "１２７.0.0.1",  # noqa: RUF001
]  # fmt: skip
METADATA = [
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
    "025177524776", "169.16689662", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "[fd00:0ec2:0:0::254]", "100.100.100.200",
    "169.254.170.2", "192.0.0.192", "168.63.129.16", "169.254.1.1", "[fe80::1]", "224.0.0.1",
    "metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data",
]  # fmt: skip


@pytest.mark.parametrize("host", [*LOOPBACK, *METADATA])
@pytest.mark.parametrize("form", ["http://{}/a", "https://{}:8443/a", "http://user:pw@{}/a"])
def test_special_addresses_in_every_spelling(host: str, form: str) -> None:
    uri = form.format(host)
    for manifest in (LOCAL, REMOTE):
        assert "pw@" not in (message := refused(AllowList.of(manifest), uri)) and message
        for entries in (["http", "https"], ["default", "https://*.example"], ["http://10.0.0.1"]):
            assert refused(AllowList.of(manifest, entries), uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://public.example@127.0.0.1/a",
        "http://public.example:80@127.0.0.1/a",
        "http://public.example\\@127.0.0.1/a",
        "http://127.0.0.1?@public.example/a",
        "http://127.0.0.1#@public.example/a",
    ],
)
def test_urls_that_parsers_read_differently(uri: str) -> None:
    """What is checked before the request may be fooled, what is checked for it may not."""
    with pytest.raises(RowError) as caught:
        storage.read(uri, allow=AllowList.of(LOCAL))
    assert caught.value.code in (ErrorCode.NOT_ALLOWED, ErrorCode.INVALID_URI)


@pytest.mark.parametrize("host", [*LOOPBACK, *METADATA])
def test_what_is_listed_by_name_may_be_read(host: str) -> None:
    allow = AllowList.of(LOCAL, ["default", f"http://{host}"])
    assert not refused(allow, f"http://{host}/a")
    assert not refused(allow, f"http://{host}:8000/a"), "without a port, every port"
    strict = AllowList.of(LOCAL, ["default", f"http://{host}:8000"])
    assert refused(strict, f"http://{host}/a") and not refused(strict, f"http://{host}:8000/a")


def test_kinds_of_addresses() -> None:
    kinds = {
        "10.0.0.1": "ordinary", "192.168.0.1": "ordinary", "172.16.0.1": "ordinary",
        "93.184.216.34": "ordinary", "fd12::1": "ordinary", "2001:db8::1": "ordinary",
        "127.0.0.53": "loopback", "0.1.2.3": "loopback", "fe80::1%eth0": "link-local",
        "ff02::1": "link-local", "169.254.169.254": "metadata", "fd00:ec2::254": "metadata",
    }  # fmt: skip
    for text, kind in kinds.items():
        address = parsed(text)
        assert address is not None and kind_of(address) == kind, text
    for name in ("example.com", "a127.0.0.1", "", "1.2.3.4.5", "0x", "cafe"):
        assert parsed(name) is None, name


def test_a_list_replaces_the_default(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "link").symlink_to("/etc")
    allow = AllowList.of(
        LOCAL,
        ["https://cdn.example", "https://*.shop.example", "s3://shop/photos", str(tmp_path)],
    )
    for uri in (
        "https://cdn.example/a", "https://CDN.example:8443/a", "https://me@cdn.example/a",
        "https://a.shop.example/a", "https://a.b.shop.example/a", "s3://shop/photos/a.jpg",
        "s3://shop/photos/b/a.jpg", f"{tmp_path}/photos/a.jpg", f"{tmp_path}/x/../photos/a.jpg",
    ):  # fmt: skip
        assert not refused(allow, uri), uri
    for uri in (
        "http://cdn.example/a", "https://shop.example/a", "https://evilshop.example/a",
        "https://cdn.example.evil/a", "s3://shop/photos2/a.jpg", "s3://shop/a.jpg",
        "s3://shop/photos/../a.jpg", "gs://shop/photos/a.jpg", "/etc/passwd",
        f"{tmp_path}/../a.jpg", f"{tmp_path}2/a.jpg", f"{tmp_path}/photos/link/passwd",
    ):  # fmt: skip
        assert refused(allow, uri), uri
    assert refused(AllowList.of(LOCAL, []), "/shop/a.jpg")
    assert not refused(AllowList.of(REMOTE, ["default", "file"]), "/shop/a.jpg")
    assert pickle.loads(pickle.dumps(allow)) == allow


@pytest.mark.parametrize(
    ("manifest", "entries", "uri", "says"),
    [
        (LOCAL, ["default"], "http://127.0.0.1:8000/a", "input.allow: [default, http://127.0.0.1:8000]"),
        (REMOTE, ["default"], "/data/photos/a.jpg", "input.allow: [default, /data/photos]"),
        (REMOTE, ["default"], "s3://other/b/a.jpg", "input.allow: [default, s3://other]"),
        (LOCAL, ["https"], "http://[::1]:9/a", "input.allow: [https, http://[::1]:9]"),
        (LOCAL, ["gs", "az", "http", "ftp"], "s3://x/y", "add s3://x to input.allow"),
    ],
)  # fmt: skip
def test_the_message_says_how_to_allow_it(
    manifest: str, entries: list[str], uri: str, says: str
) -> None:
    message = refused(AllowList.of(manifest, entries), uri)
    assert message.endswith(says), message
    added = says.split("add ")[-1].split(" to ")[0] if "add " in says else says.split(", ")[1][:-1]
    assert not refused(AllowList.of(manifest, [*entries, added]), uri), "as the message says"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("nonsense", "no such protocol"),
        ("cdn.example.com", "write https://NAME for a host"),
        ("https://cdn.example/photos", "give the host alone"),
        ("https://me:hunter22@cdn.example", "without user and password"),
        ("https://*", "give a host like"),
        ("https://a*.example", "give a host like"),
        ("https://", "give a host like"),
        ("http://h:port", "is no URL"),
    ],
)
def test_what_is_no_place(entry: str, says: str) -> None:
    with pytest.raises(RowError) as caught:
        AllowList.of(LOCAL, ["default", entry])
    assert says in caught.value.message and "hunter" not in caught.value.message


# ------------------------------------------------------------------------------- over the network


@pytest.fixture(scope="module")
def http() -> Iterator[str]:
    pytest.importorskip("aiohttp")
    port = servers.free_port()
    script = str(Path(__file__).with_name("http_server.py"))
    stop = servers.launch([sys.executable, script, str(port)], port)
    yield f"http://127.0.0.1:{port}"
    stop()


HOWS = {
    "read": lambda uri, allow: storage.read(uri, allow=allow),
    "bounded": lambda uri, allow: storage.read(uri, max_bytes=10**6, allow=allow),
    "stat": lambda uri, allow: storage.stat(uri, allow=allow),
    "cache": lambda uri, allow: storage.read(f"simplecache::{uri}", allow=allow),
}


@pytest.mark.servers
@pytest.mark.parametrize("how", HOWS)
def test_redirects_lead_only_where_rows_may_read(http: str, how: str) -> None:
    act = HOWS[how]
    port = http.rpartition(":")[2]
    allow = AllowList.of(LOCAL, ["default", http])
    act(f"{http}/plain", allow)
    act(f"{http}/redirect", allow)  # to the same host
    for uri in (f"{http}/elsewhere", f"http://localhost:{port}/plain"):
        with pytest.raises(RowError) as caught:
            act(uri, allow)
        assert caught.value.code is ErrorCode.NOT_ALLOWED, caught.value
        assert f"http://localhost:{port}" in caught.value.message
    both = AllowList.of(LOCAL, ["default", http, f"http://localhost:{port}"])
    act(f"{http}/elsewhere", both)
    with pytest.raises(RowError) as caught:
        act(f"{http}/to?http://169.254.169.254/latest/meta-data", allow)
    assert caught.value.code is ErrorCode.NOT_ALLOWED
    assert "metadata service" in caught.value.message


@pytest.mark.servers
@pytest.mark.parametrize(
    "target", ["http:2130706433", "//0x7f.1:{}/plain", "http://127.1:{}/plain"]
)
def test_odd_redirects(http: str, target: str) -> None:
    port = http.rpartition(":")[2]
    allow = AllowList.of(LOCAL, ["default", f"http://localhost:{port}"])
    with pytest.raises(RowError):
        storage.read(f"http://localhost:{port}/to?{target.format(port)}", allow=allow)


@pytest.mark.servers
def test_names_are_checked_when_they_are_looked_up(
    http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose address is another one each time: what is checked is what is connected to."""
    import asyncio

    port = int(http.rpartition(":")[2])
    answers: list[list[str]] = []

    async def look_up(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (ip, port)) for ip in answers.pop(0)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    uri = f"http://photos.example:{port}/plain"
    allow = AllowList.of(LOCAL)
    for found in (["127.0.0.1"], ["169.254.169.254"], ["::1"], ["0.0.0.0", "127.0.0.1"]):
        answers[:] = [found]
        with pytest.raises(RowError) as caught:
            storage.read(uri, allow=allow)
        assert caught.value.code is ErrorCode.NOT_ALLOWED, found
        assert found[0] in caught.value.message or found[-1] in caught.value.message
        assert f"input.allow: [default, http://photos.example:{port}]" in caught.value.message
        assert not answers, "looked up once, and not tried again"
    # an allowed list names the host: loopback is then this user's own wish
    named = AllowList.of(LOCAL, ["default", f"http://photos.example:{port}"])
    answers[:] = [["127.0.0.1"]]
    assert storage.read(uri, allow=named) == DATA
    # ... but the metadata service is not
    other = AllowList.of(LOCAL, ["default", f"http://other.example:{port}"])
    answers[:] = [["169.254.169.254"]]
    with pytest.raises(RowError) as caught:
        storage.read(f"http://other.example:{port}/plain", allow=other)
    assert caught.value.code is ErrorCode.NOT_ALLOWED
    # of several addresses, those that may be used are
    answers[:] = [["169.254.1.1", "127.0.0.1"]]
    assert storage.read(f"http://other.example:{port}/plain", allow=other) == DATA


@pytest.mark.servers
def test_archives_read_only_where_rows_may(http: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", DATA)
    uri = f"zip://a.jpg::{tmp_path}/a.zip"
    assert storage.read(uri, allow=AllowList.of(LOCAL)) == DATA
    with pytest.raises(RowError) as caught:
        storage.read(uri, allow=AllowList.of(REMOTE))
    assert caught.value.code is ErrorCode.NOT_ALLOWED
    with pytest.raises(RowError) as caught:
        storage.read(f"zip://a.jpg::{http}/plain", allow=AllowList.of(REMOTE))
    assert caught.value.code is ErrorCode.NOT_ALLOWED


@pytest.mark.servers
@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_proxy_on_this_machine_may_be_used(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's; hosts behind it are checked by their names."""
    import http.server
    import threading

    pytest.importorskip("aiohttp")

    class Proxy(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            assert self.path == "http://photos.example/a.jpg"
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://localhost:{server.server_port}"
        options: dict[str, Any] = {"proxy": proxy}
        if how == "environment":
            monkeypatch.setenv("http_proxy", proxy)
            options = {"client_kwargs": {"trust_env": True}}
        allow = AllowList.of(LOCAL)
        uri = "http://photos.example/a.jpg"
        assert storage.read(uri, options={"http": options}, allow=allow) == DATA
        for other in (f"{proxy}/a.jpg", "http://metadata.google.internal/a", "http://127.1/a"):
            with pytest.raises(RowError) as caught:
                storage.read(other, options={"http": options}, allow=allow)
            assert caught.value.code is ErrorCode.NOT_ALLOWED
        server.shutdown()


@pytest.mark.servers
def test_connections_are_not_shared_between_lists(http: str) -> None:
    """The same entries mean other places for another manifest."""
    for _ in range(2):
        assert storage.read(f"{http}/plain", allow=AllowList.of(f"{http}/manifest.csv")) == DATA
        assert storage.read(f"{http}/plain") == DATA
        with pytest.raises(RowError):
            storage.read(f"{http}/plain", allow=AllowList.of(LOCAL))


@pytest.mark.servers
def test_what_the_job_itself_names_is_not_restricted(http: str) -> None:
    assert storage.read(f"{http}/plain") == DATA
    assert storage.read(f"{http}/elsewhere")
