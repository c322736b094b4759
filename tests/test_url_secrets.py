"""Secrets of URLs, in every spelling: in no output, log, error, graph or file name."""

from __future__ import annotations

import dataclasses
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.storage import faults
from alphabeam.transforms.storage.uris import secrets_in
from tests.conftest import Shop, encoded, product
from tests.linear import grows_evenly

H = "hunter22"  # what must not be seen
AMZ = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={h}%2F2026%2Fs3&X-Amz-Date=1&X-Amz-Expires=9"
)

# What follows a URL's path. Some of it is a secret in name only; H is a secret everywhere.
QUERIES = [
    "?" + AMZ.format(h=H) + f"&X-Amz-SignedHeaders=host&X-Amz-Signature={H}",
    f"?x-amz-security-token={H}&x-amz-signature={H}",
    f"?X-AMZ-SIGNATURE={H}",
    f"?X%2DAmz%2DSignature={H}&w=90",
    f"?%58-%41mz-%53ignature={H}",
    f"?X%252DAmz%252DSignature={H}",
    f"?w=90;X-Amz-Signature={H};h=60",
    f"?w=90&amp;X-Amz-Signature={H}",
    f"?AWSAccessKeyId={H}&Expires=1&Signature={H}%3D",
    f"?Signature={H}&Expires=1&AWSAccessKeyId={H}",
    f"?X-Goog-Credential={H}&X-Goog-Signature={H}",
    f"?GoogleAccessId={H}&Expires=1&Signature={H}",
    f"?Policy={H}&Signature={H}&Key-Pair-Id={H}",
    f"?Key-Pair-Id={H}&Policy={H}",
    f"?sig={H}&sv=1&st=2&se=3&sr=b&sp=r",
    f"?sv=1&sr=b&sig={H}%2B%2F%3D&se=3&sp=r",
    f"?OSSAccessKeyId={H}&Expires=1&Signature={H}&security-token={H}",
    f"?x-oss-credential={H}&x-oss-signature={H}",
    f"?q-sign-algorithm=sha1&q-ak={H}&q-sign-time=1&q-signature={H}&x-cos-security-token={H}",
    f"?token={H}",
    f"?w=90&TOKEN={H}",
    f"?access_token={H}&alt=media",
    f"?apikey={H}",
    f"?api_key={H}&w=1",
    f"?Api-Key={H}",
    f"?auth={H}",
    f"?jwt=eyJhbGciOiJIUzI1NiJ9.{H}.{H}",
    f"?password={H}&user=me",
    f"?client_secret={H}",
    f"?hdnts=exp=9~acl=/*~hmac={H}",
    f"?key=AIza{H}{'x' * 30}",
    f"?X-Amz-Signature={'0123456789' * 200}{H}",
    f"?w=90#access_token={H}",
    f"#token={H}",
    f"%3FX-Amz-Signature%3D{H}",
    f"%253Ftoken%253D{H}%2526w%253D1",
    f";token={H}",
    f";w=90;sig={H}?h=60",
]
USERS = [f"me:{H}@", f"{H}@", f"me:{H}%40x@", f"me:x@{H}@", f"me:x:{H}@"]


@pytest.mark.parametrize("query", QUERIES)
def test_no_form_of_a_uri_shows_a_secret(query: str) -> None:
    for uri in (f"https://cdn.example/p/a.jpg{query}", f"HTTPS://cdn.example/a.jpg{query}",
                f"zip://a.jpg::https://cdn.example/b.zip{query}"):  # fmt: skip
        for shown in (storage.redact(uri), storage.public(uri)):
            assert H not in shown, shown
        assert "a.jpg" in storage.public(uri) and "cdn.example" in storage.redact(uri)
        assert storage.has_secret(uri)
        assert storage.redact(storage.redact(uri)) == storage.redact(uri)
        assert storage.public(storage.public(uri)) == storage.public(uri)
        line = storage.redact(f"cannot read '{uri}', the server said 403; ask for {uri}: denied")
        assert H not in line and line.endswith(": denied")
    # beside a path of the same words, in a text of somebody else, in another quoting
    for text in (f"GET /p/a.jpg{query} HTTP/1.1", f"//cdn.example/a.jpg{query}"):
        if query[0] in "?;":
            assert H not in storage.redact(text), text


@pytest.mark.parametrize("user", [*USERS, f"me:{H}/x@", f"me:x/{H}@", f"me:#{H}@", f"me:?{H}@"])
@pytest.mark.parametrize("protocol", ["https", "sftp", "ftp"])
def test_no_form_of_a_user_shows_a_secret(user: str, protocol: str) -> None:
    uri = f"{protocol}://{user}host.example/p/a@2x.jpg"
    if protocol == "https" or ":" in user:
        assert H not in storage.redact(uri), storage.redact(uri)
        assert storage.has_secret(uri)
    assert H not in storage.public(uri) and H not in storage.identity(uri)
    if user in USERS:  # the others are no URLs
        assert storage.public(uri) == f"{protocol}://host.example/p/a@2x.jpg"


@pytest.mark.parametrize(
    "uri",
    [
        "https://h.example/a@2x.jpg", "https://h.example:8080/a.jpg?w=90&h=60&versionId=7",
        "https://h.example/get?key=photos/a.jpg&id=7", "https://h.example/a.jpg?Expires=1&st=2",
        "s3://bucket/a b#1.jpg", "abfs://box@account.dfs.core.windows.net/a.jpg",
        "sftp://me@h.example:22/a.jpg", "http://[::1]:80/a.jpg", "/data/me:pw@h/token=1/a.jpg",
        "https://h.example/a;b.jpg", "https://h.example/100%25.jpg", "C:/a.jpg",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(uri: str) -> None:
    assert not storage.has_secret(uri)
    assert storage.public(uri) == storage.identity(uri)
    assert storage.public(uri) == uri.replace("me@h.example", "h.example")


@pytest.mark.parametrize(
    ("before", "unit", "behind"),
    [
        ("", "a", ""), ("http://h/a", ";", ""), ("http://h/?", ".", "x"), ("", "eyJ-", ""),
        ("?key=", "eyJa", ""), ("?key=", "-eyJ", "."), ("http://", "::a", ""), ("", "Bearer ", ""),
        ("https://h/", "%3B", "/="), ("?", "%25", ""), ("zip://a", "::http://a", ""),
    ],
)  # fmt: skip
def test_no_text_takes_longer_to_redact_than_its_length(
    before: str, unit: str, behind: str
) -> None:
    def text(size: int) -> str:
        return before + unit * (size // len(unit)) + behind

    assert grows_evenly(storage.redact, text, 10_000)


def test_a_name_that_is_quoted_many_times_is_read_in_one_way() -> None:
    assert grows_evenly(storage.redact, lambda n: "?" + "%2525" * n + "?", 5)
    shown = storage.redact("?" + "%2525" * 30 + "?token=" + H)
    assert shown == "?" + "%2525" * 30 + "?token=***"
    assert storage.redact("?%2573ig=abc&%2525=1") == "?%2573ig=***&%2525=1"


def test_the_pieces_that_a_library_may_quote_are_known() -> None:
    found = secrets_in(f"https://me:p%40{H}@h/a?token={H}%2F1&w=90#{H}3")
    assert {f"p%40{H}", f"p@{H}", f"{H}%2F1", f"{H}/1", f"{H}3"} <= set(found)


# ------------------------------------------------------------------------------------ a whole job


class _Photos(http.server.BaseHTTPRequestHandler):
    """Pictures under names with an ``a``, a page under ``page``, faults and detours beside."""

    manifest = b""

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        number, kind = self.path[1:3], self.path[3:].partition(".")[0]
        status, headers = 200, dict[str, str]()
        body = encoded(product(int(number) if number.isdigit() else 99))
        if kind == "list":
            body = self.manifest
        elif kind == "page":
            body = f"<html>no such token {self.path}</html>".encode()
        elif kind == "gone":
            status = 404
        elif kind == "denied":
            status = 403
        elif kind == "broken":
            status = 503
        elif kind == "moved":
            status, headers = 302, {"Location": f"http://127.0.0.1:9/a.png?token={H}"}
        quoted = " ".join(part.partition("=")[2] for part in re.split("[?&;]", self.path))
        self.send_response(status, f"no {quoted} at {self.path}" if status >= 400 else None)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def photos() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Photos) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file of an output by name, as a text; tables are unpacked."""
    import pyarrow.parquet as pq

    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield str(path), str(table.to_pylist()) + str(table.schema.metadata)
        elif path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")


@pytest.mark.slow
@pytest.mark.servers
def test_a_job_writes_no_secret_of_a_url(
    shop: Shop,
    photos: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(
        faults, "BACKOFF", dataclasses.replace(faults.BACKOFF, base=0.01, attempts=2)
    )
    kinds = ["a", "page", "gone", "denied", "broken", "moved"]
    rows = []
    for number, query in enumerate(QUERIES):
        kind = "a" if number % 2 else kinds[number // 2 % len(kinds)]
        rows.append(f"http://{photos}/{number:02d}{kind}.png{query}")
    rows += [f"http://{user}{photos}/6{n}a.png" for n, user in enumerate(USERS)]
    rows += [f"http://{user}{photos}/7{n}gone.png" for n, user in enumerate(USERS)]
    rows += [
        f"a.png?X-Amz-Signature={H}",  # relative to the manifest
        f"http://me:{H}/x@{photos}/80a.png",  # no URL
        f"ftp://me:{H}@127.0.0.1:9/a.png",  # not allowed
        f"nosuch://me:{H}@127.0.0.1:9/a.png?sig={H}",
        f"//127.0.0.1:9/a.png?token={H}",
        f"http://169.254.169.254/latest?token={H}",
        f"http://[x/a.png?token={H}",
        f"../../../../a.png?token={H}",
    ]
    # columns of the user's own may have such URLs as well
    page = f"https://s.example/p?w=1&token={H}"
    notes = [f"see {row} there" if "://" in row else "" for row in rows]
    lines = [f'"{row}","{page}","{note}"' for row, note in zip(rows, notes, strict=True)]
    _Photos.manifest = ("image,page,note\n" + "\n".join(lines) + "\n").encode()
    monkeypatch.setenv("LIST", f"http://me:{H}@{photos}/00list.csv?X-Amz-Signature={H}&w=1")
    shop.write_job("${env:LIST}")

    for arguments in (["--check"], ["-vv"], ["-v", "--log-format", "json"]):
        status = shop.run(*arguments)
        captured = capsys.readouterr()
        assert status == (0 if "--check" in arguments else 3), captured.err[-2000:]
        for stream in (captured.out, captured.err):
            lines = [line for line in stream.splitlines() if H in line]
            assert not lines, lines[:3]
        assert not [path for path in shop.out.rglob("*") if H in str(path)]
        for name, text in texts_of(shop.out):
            at = text.find(H)
            assert at < 0, (name, text[max(0, at - 200) : at + 50])
    records = shop.records()
    assert {dict(row["extra"])["page"] for row in records} == {"https://s.example/p?w=1"}
    assert len(records) == len(rows)
    done = sum(row["status"] == "done" for row in records)
    assert done >= len(QUERIES) // 2 + len(USERS) - 3, "the secrets did open the pictures"
    shop.write_job(f"http://{photos}/00list.csv?X-Amz-Signature={H}")
    assert shop.run() == 2
    message = capsys.readouterr().err
    assert H not in message and "input.manifest: a URL with a password, a signature" in message
