"""Images and manifests from HTTP servers, and what their faults cost."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import fetch
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.rows import Row
from alphabeam.transforms.storage import connections, faults
from alphabeam.transforms.storage import http as storage_http
from alphabeam.transforms.storage.uris import quoted_url
from tests.storage import servers
from tests.storage.http_server import DATA

pytest.importorskip("aiohttp")
pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture(scope="module")
def http() -> Iterator[str]:
    port = servers.free_port()
    script = str(Path(__file__).with_name("http_server.py"))
    stop = servers.launch([sys.executable, script, str(port)], port)
    yield f"http://127.0.0.1:{port}"
    stop()


def code_of(action: Any) -> ErrorCode:
    with pytest.raises(RowError) as caught:
        action()
    assert "secret page" not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("path", ["plain", "redirect", "chunked", "get-only", "flaky", "cut"])
def test_read(http: str, path: str) -> None:
    assert storage.read(f"{http}/{path}") == DATA
    assert storage.read(f"{http}/{path}", max_bytes=len(DATA)) == DATA
    assert code_of(lambda: storage.read(f"{http}/{path}", max_bytes=999)) is ErrorCode.TOO_LARGE
    with storage.open_input(f"{http}/{path}") as file:
        assert file.read(5) == DATA[:5]
        assert file.read() == DATA[5:]


def test_stat(http: str) -> None:
    plain = storage.stat(f"{http}/plain")
    assert plain.size == len(DATA) and plain.version
    assert storage.stat(f"{http}/redirect") == plain
    assert storage.stat(f"{http}/chunked").size is None
    assert storage.stat(f"{http}/get-only").size == len(DATA)
    assert storage.exists(f"{http}/plain") and not storage.exists(f"{http}/status/404")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "code", "requests"),
    [
        ("status/404", ErrorCode.NOT_FOUND, 1),
        ("status/410", ErrorCode.NOT_FOUND, 1),
        ("status/401", ErrorCode.ACCESS_DENIED, 1),
        ("status/403", ErrorCode.ACCESS_DENIED, 1),
        ("status/400", ErrorCode.INVALID_URI, 1),
        ("status/500", ErrorCode.STORAGE_UNAVAILABLE, faults.BACKOFF.attempts),
        ("status/429", ErrorCode.STORAGE_UNAVAILABLE, faults.BACKOFF.attempts),
    ],
)
def test_faults(http: str, path: str, code: ErrorCode, requests: int) -> None:
    assert code_of(lambda: storage.read(f"{http}/{path}?counted")) is code
    assert json.loads(storage.read(f"{http}/seen"))[f"/{path}?counted"] == requests


def test_each_retry_is_one_line_of_the_log(http: str, caplog: pytest.LogCaptureFixture) -> None:
    uri = f"{http}/thrice?signature=hunter22"
    assert storage.read(uri) == DATA
    lines = [record for record in caplog.records if record.name.startswith("alphabeam.")]
    assert [record.levelname for record in lines] == ["WARNING"] * 3
    for attempt, record in enumerate(lines, 1):
        text = record.getMessage()
        assert f"cannot read {http}/thrice?***: HTTP 503" in text
        assert f"attempt {attempt} of {faults.BACKOFF.attempts} failed" in text
        assert "hunter" not in text and "\n" not in text


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(http: str, form: str) -> None:
    """A header that asks for more than the limit is obeyed up to the limit."""
    began = time.monotonic()
    assert storage.read(f"{http}/later/{form}") == DATA
    assert 0.8 < time.monotonic() - began < 10


def test_unreachable() -> None:
    port = servers.free_port()
    began = time.monotonic()
    assert code_of(lambda: storage.read(f"http://127.0.0.1:{port}/a")) is (
        ErrorCode.STORAGE_UNAVAILABLE
    )
    assert time.monotonic() - began < 5


def test_circle(http: str) -> None:
    assert code_of(lambda: storage.read(f"{http}/circle")) is ErrorCode.INVALID_URI


def test_stall(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_READ_S", 0.3)
    assert storage.read(f"{http}/stall", options={"http": {"headers": {"X": "1"}}}) == DATA


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a b.jpg", "a%20b.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("a+b.jpg", "a+b.jpg"),
        ("靴.jpg", "%E9%9D%B4.jpg"),
        ("a.jpg?sig=a%2Fb%3D&x=1", "a.jpg?sig=a%2Fb%3D&x=1"),
        ("a.jpg#part", "a.jpg"),
        ("a%23b.jpg", "a%23b.jpg"),
    ],
)
def test_quoting(http: str, name: str, sent: str) -> None:
    assert quoted_url(f"{http}/echo/{name}") == f"{http}/echo/{sent}"
    assert storage.read(f"{http}/echo/{name}").decode() == f"/echo/{sent}"
    with storage.open_input(f"{http}/echo/{name}") as file:
        assert file.read().decode() == f"/echo/{sent}"


def test_international_host() -> None:
    assert quoted_url("https://schöne-schuhe.example/a") == (
        "https://xn--schne-schuhe-6ib.example/a"
    )


def test_read_only(http: str) -> None:
    assert code_of(lambda: storage.put(f"{http}/plain", b"a")) is ErrorCode.READ_ONLY


def test_listing(http: str) -> None:
    assert f"{http}/folder/a.jpg" in storage.glob(f"{http}/folder/*.jpg")


def test_signatures_are_not_shown(http: str) -> None:
    uri = f"{http}/status/403?X-Amz-Signature=hunter22&key=hunter23"
    with pytest.raises(RowError) as caught:
        storage.read(uri)
    assert "hunter" not in caught.value.message and "/status/403?***" in caught.value.message


def sent(uri: str, headers: Any, how: str = "read") -> dict[str, str]:
    """The headers that arrived, in lower case."""
    options = {"http": {"headers": headers}}
    if how == "read":
        data = storage.read(uri, options=options)
    else:
        with storage.open_input(uri, options=options) as file:
            data = file.read()
    return {name.lower(): value for name, value in json.loads(data).items()}


@pytest.mark.parametrize("how", ["read", "open"])
def test_headers_go_to_their_host_alone(http: str, how: str) -> None:
    """Not to another one, and not along a redirect to another one."""
    port = http.rpartition(":")[2]
    mine = {"127.0.0.1": {"Authorization": "hunter22", "X-Api-Key": "hunter23"}}
    assert sent(f"{http}/headers", mine, how)["x-api-key"] == "hunter23"
    assert sent(f"{http}/headers", mine, how)["authorization"] == "hunter22"
    assert sent(f"{http}/here", mine, how)["x-api-key"] == "hunter23"
    for uri in (f"http://localhost:{port}/headers", f"{http}/elsewhere"):
        assert "hunter" not in str(sent(uri, mine, how))
    # a redirect to a host that has headers of its own gets those
    both = {**mine, f"localhost:{port}": {"X-Api-Key": "other"}, "localhost:1": {"X-No": "1"}}
    arrived = sent(f"{http}/elsewhere", both, how)
    assert arrived["x-api-key"] == "other" and "authorization" not in arrived
    assert "x-no" not in arrived


def test_headers_without_a_host(http: str) -> None:
    agent = {"User-Agent": "shop", "X-Shop": "1"}
    assert sent(f"{http}/headers", agent)["user-agent"] == "shop"
    assert sent(f"{http}/here", agent)["x-shop"] == "1"
    assert "x-shop" not in sent(f"{http}/elsewhere", agent)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "Private-Token"])
def test_a_secret_header_without_a_host_is_refused(http: str, name: str) -> None:
    with pytest.raises(RowError) as caught:
        storage.read(f"{http}/headers", options={"http": {"headers": {name: "hunter22"}}})
    assert caught.value.code is ErrorCode.INVALID_PARAMETER
    assert name in caught.value.message and "hunter" not in caught.value.message


@pytest.mark.parametrize(
    "client",
    [
        {"headers": {"Authorization": "hunter22"}},
        {"headers": {"x-api-key": "hunter22"}},
        {"cookies": {"session": "hunter22"}},
        {"auth": ["me", "hunter22"]},
    ],
)
def test_a_client_sends_no_secret_to_every_host(http: str, client: Any) -> None:
    with pytest.raises(RowError) as caught:
        storage.read(f"{http}/headers", options={"http": {"client_kwargs": client}})
    assert caught.value.code is ErrorCode.INVALID_PARAMETER
    assert "storage.http.headers" in caught.value.message and "hunter" not in caught.value.message
    agent = {"client_kwargs": {"headers": {"User-Agent": "shop"}}}
    assert "shop" in storage.read(f"{http}/headers", options={"http": agent}).decode()


def test_a_url_with_a_user_sends_it_to_its_host_alone(http: str) -> None:
    url = http.replace("//", "//me:hunter22@")
    arrived = json.loads(storage.read(f"{url}/headers"))
    assert "Basic" in arrived["Authorization"]
    assert "Basic" in storage.read(f"{url}/here").decode()
    assert "authorization" not in storage.read(f"{url}/elsewhere").decode().lower()


def test_a_long_url_is_an_ordinary_one(http: str) -> None:
    query = "X-Amz-Signature=" + "hunter22" * 300
    assert storage.read(f"{http}/plain?{query}") == DATA
    assert storage.stat(f"{http}/plain?{query}").size == len(DATA)
    long = f"{http}/status/404/" + "a" * 3000
    with pytest.raises(RowError) as caught:
        storage.read(long)
    assert caught.value.code is ErrorCode.NOT_FOUND and len(caught.value.message) < 500


def test_cached_and_archived(http: str, tmp_path: Path) -> None:
    assert storage.read(f"simplecache::{http}/plain") == DATA


@pytest.mark.slow
def test_an_unreliable_store(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 % of the requests fail, 1 % stall: every object is read, or fails with the right code."""
    monkeypatch.setattr(connections, "_READ_S", 0.5)
    names = [f"missing-{i}" if i % 50 == 0 else f"photo-{i}" for i in range(400)]
    uris = [f"{http}/unreliable/{name}" for name in names]
    options = {"http": {"headers": {"X": "unreliable"}}}
    outcomes = dict(storage.read_many(uris, concurrency=32, options=options))
    assert list(outcomes) == uris
    for name, outcome in zip(names, outcomes.values(), strict=True):
        if name.startswith("missing"):
            assert isinstance(outcome, RowError) and outcome.code is ErrorCode.NOT_FOUND
        else:
            assert outcome == name.encode()


def test_concurrency_bounds_what_is_read_ahead(http: str) -> None:
    """No more is read ahead than `concurrency` allows, and nothing once the reader has left."""
    asked = []

    def uris() -> Iterator[str]:
        for index in range(1000):
            asked.append(index)
            yield f"{http}/slow/{index}"

    reading = storage.read_many(uris(), concurrency=8)
    for _ in range(3):
        next(reading)
    assert len(asked) <= 8 + 3
    reading.close()
    assert len(asked) <= 8 + 3


def counted(http: str, path: str) -> int:
    return int(json.loads(storage.read(f"{http}/seen")).get(path, 0))


@pytest.mark.parametrize("path", ["plain", "dated", "chunked", "redirect"])
def test_one_request_gives_bytes_and_version(http: str, path: str) -> None:
    before = counted(http, f"/{path}")
    data, version = storage.read_with_version(f"{http}/{path}")
    assert data == DATA
    assert path in ("chunked", "redirect") or counted(http, f"/{path}") == before + 1
    assert version == storage.stat(f"{http}/{path}").version
    assert (version != "") == (path != "chunked")


def test_an_image_costs_one_request(http: str) -> None:
    before = counted(http, "/plain")
    allow = storage.AllowList.of("m.csv", [http])
    picture = fetch(Row(id="a", image=f"{http}/plain"), Limits(), allow=allow)
    assert picture.row.source_version == storage.stat(f"{http}/plain").version
    assert counted(http, "/plain") == before + 2, "the second is the check of this test"


def test_bytes_and_version_of_another_store(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    assert storage.read_with_version(str(path)) == (b"x", storage.stat(str(path)).version)


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_refuses_is_asked_less_often(
    http: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 images from a server that takes 5 requests a second, and says no word of waiting."""
    monkeypatch.setattr(storage_http, "THROTTLED_WAIT_S", 1.0)
    monkeypatch.setattr(faults, "BACKOFF", dataclasses.replace(faults.BACKOFF, base=0.2))
    uris = [f"{http}/limited/{number}?status={status}" for number in range(20)]
    outcomes = dict(storage.read_many(uris, concurrency=8))
    assert [type(outcome) for outcome in outcomes.values()] == [bytes] * 20
    refused = sum(json.loads(storage.read(f"{http}/seen")).get(uri[len(http) :], 0) for uri in uris)
    assert refused < 40, "it is not hammered"


def test_a_ceiling_for_each_host(http: str) -> None:
    options = {"http": {"requests_per_second": 20}}
    began = time.monotonic()
    for _ in range(9):
        storage.read(f"{http}/plain", options=options)
    assert time.monotonic() - began >= 0.39
    for wrong in (0, -1, "many", True):
        with pytest.raises(RowError, match=r"requests_per_second: .* is no number over 0"):
            storage.read(f"{http}/plain", options={"http": {"requests_per_second": wrong}})


def test_an_accident_slows_nothing_down(http: str) -> None:
    storage.read(f"{http}/flaky?accident")
    began = time.monotonic()
    for _ in range(20):
        storage.read(f"{http}/plain")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("how", ["read", "open"])
def test_requests_say_who_asks(http: str, how: str) -> None:
    agent = sent(f"{http}/headers", {}, how)["user-agent"]
    assert re.fullmatch(r"alphabeam/\d+\.\d+\.\d+", agent)
    assert sent(f"{http}/headers", {"127.0.0.1": {"user-agent": "us"}}, how)["user-agent"] == "us"


def test_a_403_says_what_to_set(http: str) -> None:
    with pytest.raises(RowError) as caught:
        storage.read(f"{http}/status/403")
    host = http.removeprefix("http://")
    assert caught.value.message.endswith(
        "if the server wants a token, a Referer or another User-Agent, set "
        f"storage.http.headers: {{{host}: {{Authorization: ${{env:TOKEN}}}}}}"
    )
