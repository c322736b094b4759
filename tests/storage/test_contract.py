"""What every store must do, against real servers. Each test's name is a column of the table."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.capabilities import Creating, capabilities
from tests.storage import servers
from tests.storage.conftest import Stores

LARGE = 20 if servers.FULL else 6  # MB

WRITABLE = [name for name in servers.START if "permissions" not in name]

NAMES = [
    "a b.txt",
    "a#b.txt",
    "100%20.txt",
    "50% off.txt",
    "a+b&c=d.txt",
    "[x]*.txt",
    "d::e.txt",
    "靴/ä ñ.txt",
]


@pytest.fixture(params=WRITABLE)
def store(request: pytest.FixtureRequest, stores: Stores) -> servers.Store:
    holds = request.node.originalname.removeprefix("test_")
    request.node.user_properties += [("store", request.param), ("holds", holds)]
    found = stores[request.param]
    request.node.user_properties += [("command", found.command), ("many", servers.MANY)]
    if holds in found.not_applicable:
        pytest.skip(found.not_applicable[holds])
    return found


@pytest.fixture
def folder(store: servers.Store, request: pytest.FixtureRequest) -> Iterator[str]:
    uri = storage.join(store.root, request.node.originalname)
    yield uri
    if not (servers.FULL and uri.endswith("many_objects")):  # the server ends soon after
        storage.delete(storage.list(uri, options=store.options), options=store.options)


def refused(code: ErrorCode, action: Any, *needles: str) -> str:
    """The one line that an action is refused with."""
    with pytest.raises(RowError) as caught:
        action()
    message = caught.value.message
    assert caught.value.code is code, message
    assert "\n" not in message and len(message) < 600
    for needle in needles:
        assert needle in message
    return message


def test_names(store: servers.Store, folder: str) -> None:
    options = store.options
    uris = [storage.join(folder, name) for name in NAMES]
    for uri in uris:
        storage.put(uri, uri.encode(), options=options)
    assert storage.list(folder, options=options) == sorted(uris)
    for uri in uris:
        assert storage.read(uri, options=options) == uri.encode()
        assert storage.stat(uri, options=options).size == len(uri.encode())
        assert storage.exists(uri, options=options)
    storage.delete(uris[:1], options=options)
    assert storage.list(folder, options=options) == sorted(uris[1:])
    assert not storage.exists(uris[0], options=options)


def test_empty_object(store: servers.Store, folder: str) -> None:
    uri = storage.join(folder, "empty")
    storage.put(uri, b"", options=store.options)
    assert storage.read(uri, options=store.options) == b""
    assert storage.read(uri, max_bytes=10, options=store.options) == b""
    assert storage.stat(uri, options=store.options).size == 0
    with storage.open_input(uri, options=store.options) as file:
        assert file.read() == b""


def test_large_object(store: servers.Store, folder: str) -> None:
    """20 MB, read whole, limited, and from the middle."""
    # Seeded, since of data that end in a carriage return the emulator stores one byte less: gcsfs
    # ends a part of its request with a line feed alone.
    data = random.Random(1).randbytes(1_000_000) * LARGE
    assert not data.endswith(b"\r")
    uri = storage.join(folder, "large")
    storage.put(uri, data, options=store.options)
    assert storage.read(uri, options=store.options) == data
    assert storage.read(uri, max_bytes=len(data), options=store.options) == data
    line = refused(
        ErrorCode.TOO_LARGE,
        lambda: storage.read(uri, max_bytes=len(data) - 1, options=store.options),
    )
    assert uri in line and str(len(data) - 1) in line
    with storage.open_input(uri, options=store.options) as file:
        file.seek(3_000_000)
        assert file.read(100) == data[3_000_000:3_000_100]


def test_many_objects(store: servers.Store, folder: str) -> None:
    """10 000 small objects are listed in full, and read at once in order."""
    if store.fill:
        store.fill(folder, servers.MANY)
    else:
        with ThreadPoolExecutor(16) as pool:
            puts = [
                pool.submit(
                    storage.put,
                    storage.join(folder, f"{index:05d}.txt"),
                    b"%d" % index,
                    options=store.options,
                )
                for index in range(servers.MANY)
            ]
            for put in puts:
                put.result()
    wanted = [storage.join(folder, f"{index:05d}.txt") for index in range(servers.MANY)]
    assert storage.list(folder, options=store.options) == wanted
    assert (
        len(storage.glob(storage.join(folder, "*7.txt"), options=store.options))
        == servers.MANY // 10
    )
    some = wanted[:100]
    read = list(storage.read_many([*some, folder + "/none"], options=store.options))
    assert [uri for uri, _ in read] == [*some, folder + "/none"]
    assert [data for _, data in read[:-1]] == [b"%d" % index for index in range(len(some))]
    missing = read[-1][1]
    assert isinstance(missing, RowError) and missing.code is ErrorCode.NOT_FOUND


def test_overwriting(store: servers.Store, folder: str) -> None:
    uri = storage.join(folder, "again")
    storage.put(uri, b"first", options=store.options)
    assert storage.read(uri, options=store.options) == b"first"
    before = storage.stat(uri, options=store.options)
    storage.put(uri, b"second, and longer", options=store.options)
    assert storage.read(uri, options=store.options) == b"second, and longer"
    after = storage.stat(uri, options=store.options)
    assert after.version and before.version != after.version
    assert storage.list(folder, options=store.options) == [uri]


_CREATOR = """
import json, os, sys
from alphabeam.transforms import storage
folder, count, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
me = str(os.getpid()).encode()
made = [i for i in range(count)
        if storage.create(storage.join(folder, f"lease-{i}"), me * 1000, options=options)]
print(json.dumps(made), flush=True)
"""


def test_create(store: servers.Store, folder: str) -> None:
    """Of several writers of one new object, threads or processes, exactly one makes it."""
    options = store.options
    uri = storage.join(folder, "new folder", "lease")
    assert storage.create(uri, b"first", options=options) is True
    assert storage.create(uri, b"second", options=options) is False
    assert storage.read(uri, options=options) == b"first"
    assert storage.list(folder, options=options) == [uri]
    storage.put(uri, b"third", options=options)
    assert storage.create(uri, b"fourth", options=options) is False
    storage.delete([uri], options=options)
    assert storage.create(uri, b"fifth", options=options) is True

    contested = storage.join(folder, "contested")
    start = threading.Barrier(6)

    def contend(number: int) -> bool:
        start.wait()
        return storage.create(contested, b"%d" % number * 1000, options=options)

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(contend, range(6)))
    assert made.count(True) == 1
    assert storage.read(contested, options=options) == b"%d" % made.index(True) * 1000
    assert storage.list(folder, options=options) == sorted([uri, contested])


@pytest.mark.slow
def test_create_in_two_processes(store: servers.Store, folder: str) -> None:
    """Exactly one of two processes makes each of some new objects."""
    quick = capabilities(store.root.partition("://")[0]).creating is not Creating.CLAIM
    count = 10 if quick else 2
    arguments = (folder, str(count), json.dumps(store.options))
    with child(_CREATOR, *arguments) as one, child(_CREATOR, *arguments) as other:
        both = (one, other)
        for process in both:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        made = [json.loads(process.stdout.readline()) for process in both if process.stdout]
    assert sorted(made[0] + made[1]) == list(range(count))
    for process, numbers in zip(both, made, strict=True):
        for number in numbers:
            uri = storage.join(folder, f"lease-{number}")
            assert storage.read(uri, options=store.options) == str(process.pid).encode() * 1000


_WRITER = """
import sys, json
from alphabeam.transforms import storage
uri, options = sys.argv[1], json.loads(sys.argv[2])
print("ready", flush=True)
while True:
    for letter in (b"A", b"B"):
        storage.put(uri, letter * 4_000_000, options=options)
        print("put", flush=True)
"""


@contextmanager
def child(source: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=servers.REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(servers.REPOSITORY / "src")},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@pytest.mark.slow
def test_killed_writer(store: servers.Store, folder: str) -> None:
    """A reader sees the one or the other version, whole, however the writer ends."""
    uri = storage.join(folder, "torn")
    storage.put(uri, b"B" * 4_000_000, options=store.options)
    seen = set()

    def check_read() -> None:
        try:
            data = storage.read(uri, options=store.options)
        except RowError as error:  # WebDAV servers delete the old one before they rename
            assert store.name == "webdav" and error.code is ErrorCode.NOT_FOUND
            return
        assert len(data) == 4_000_000 and len(set(data[:: 1 << 10] + data[-1:])) == 1
        seen.add(data[:1])

    with child(_WRITER, uri, json.dumps(store.options)) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert writer.stdout.readline() == "put\n"
        for _ in range(10):
            check_read()
        assert writer.stdout.readline() == "put\n"
        time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
    check_read()
    assert seen
    assert storage.list(folder, options=store.options) in ([uri], [])


_SECOND = """
import sys, json
from alphabeam.transforms import storage
folder, options = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps(storage.list(folder, options=options)), flush=True)
storage.put(storage.join(folder, "second"), b"2", options=options)
print("put", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_second_process(store: servers.Store, folder: str) -> None:
    """A process that lists right after another has written sees it, both ways."""
    first, second = storage.join(folder, "first"), storage.join(folder, "second")
    assert storage.list(folder, options=store.options) == []
    storage.put(first, b"1", options=store.options)
    assert storage.list(folder, options=store.options) == [first]
    with child(_SECOND, folder, json.dumps(store.options)) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == [first]
        assert process.stdout.readline() == "put\n"
    assert storage.list(folder, options=store.options) == [first, second]
    assert storage.glob(storage.join(folder, "s*"), options=store.options) == [second]
    assert storage.exists(second, options=store.options)


def test_missing_object(store: servers.Store) -> None:
    uri = storage.join(store.root, "nowhere", "none.png")
    began = time.monotonic()
    refused(ErrorCode.NOT_FOUND, lambda: storage.read(uri, options=store.options), uri)
    refused(ErrorCode.NOT_FOUND, lambda: storage.read(uri, max_bytes=9, options=store.options), uri)
    refused(ErrorCode.NOT_FOUND, lambda: storage.stat(uri, options=store.options), uri)
    refused(ErrorCode.NOT_FOUND, lambda: storage.open_input(uri, options=store.options), uri)
    assert not storage.exists(uri, options=store.options)
    assert storage.list(storage.parent(uri), options=store.options) == []
    assert storage.glob(storage.parent(uri) + "/*", options=store.options) == []
    storage.delete([uri], options=store.options)
    assert time.monotonic() - began < 3, "a missing object is not worth a retry"


def test_missing_bucket(store: servers.Store) -> None:
    assert store.missing_bucket
    uri, options = store.missing_bucket, store.options
    began = time.monotonic()
    refused(ErrorCode.NOT_FOUND, lambda: storage.read(uri + "/a", options=options), uri)
    refused(ErrorCode.NOT_FOUND, lambda: storage.put(uri + "/a", b"a", options=options), "bucket")
    refused(ErrorCode.NOT_FOUND, lambda: storage.list(uri, options=options), uri)
    assert time.monotonic() - began < 3


@contextmanager
def nobody() -> Iterator[None]:
    """Permissions do not bind root, so become someone else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_denied(store: servers.Store, folder: str, stores: Stores) -> None:
    if store.name == "local":
        storage.put(storage.join(folder, "there.txt"), b"there")
        os.chmod(folder, 0o555)
        os.chmod(storage.join(folder, "there.txt"), 0o000)
        with nobody():
            uri = storage.join(folder, "there.txt")
            refused(ErrorCode.ACCESS_DENIED, lambda: storage.read(uri), uri, "permission")
            refused(ErrorCode.ACCESS_DENIED, lambda: storage.put(folder + "/new", b"new"), folder)
        os.chmod(folder, 0o755)
        return
    if store.name == "s3":
        store = stores["s3 with permissions"]
    assert store.denied
    root, options = store.denied
    if store.name != "s3":
        storage.put(storage.join(root, "there.txt"), b"there", options=store.options)
    began = time.monotonic()
    assert storage.read(storage.join(root, "there.txt"), options=options) == b"there"
    uri = storage.join(root, "new.txt")
    refused(ErrorCode.ACCESS_DENIED, lambda: storage.put(uri, b"new", options=options), uri)
    assert time.monotonic() - began < 3
    assert not storage.exists(uri, options=options)


def secrets_of(options: Any) -> Iterator[str]:
    if isinstance(options, dict):
        for name, value in options.items():
            if name in ("secret", "connection_string"):
                yield value
            yield from secrets_of(value)
    elif isinstance(options, list):
        yield options[-1]


def test_wrong_credentials(store: servers.Store, stores: Stores) -> None:
    if store.name == "s3":
        store = stores["s3 with permissions"]
    assert store.wrong
    root, options = store.wrong
    began = time.monotonic()
    uri = storage.join(root, "any.txt")
    for action in (
        lambda: storage.read(uri, options=options),
        lambda: storage.put(uri, b"any", options=options),
        lambda: storage.list(root, options=options),
        lambda: storage.exists(uri, options=options),
    ):
        line = refused(ErrorCode.ACCESS_DENIED, action, root, "credentials")
        for secret in secrets_of(options):
            assert secret not in line
    assert time.monotonic() - began < 5


def test_streaming(store: servers.Store, folder: str) -> None:
    """A manifest is read line by line."""
    uri = storage.join(folder, "manifest.csv")
    rows = "image,id\n" + "".join(f"photos/{i}.jpg,{i}\n" for i in range(20_000))
    storage.put(uri, rows.encode(), options=store.options)
    with storage.open_input(uri, options=store.options) as file:
        read = list(csv.DictReader(io.TextIOWrapper(file, "utf-8", newline="")))
    assert len(read) == 20_000 and read[-1] == {"image": "photos/19999.jpg", "id": "19999"}
    mapped = storage.read_mapped(uri, options=store.options)
    assert bytes(mapped) == rows.encode()
    (entry,) = storage.entries(uri, options=store.options)
    assert (entry.uri.rpartition("/")[2], entry.size) == (uri.rpartition("/")[2], len(rows))
    storage.delete([uri], options=store.options)
    assert bytes(mapped[:9]) == b"image,id\n", "what is mapped stays"


def test_globbing(store: servers.Store, folder: str) -> None:
    names = ["a.jpg", "b.png", "deep/c.jpg", "deep/er/d.jpg"]
    for name in names:
        storage.put(storage.join(folder, name), b"x", options=store.options)

    def match(pattern: str) -> list[str]:
        found = storage.glob(storage.join(folder, pattern), options=store.options)
        assert found == sorted(found)
        return [uri[len(folder) + 1 :] for uri in found]

    assert match("*.jpg") == ["a.jpg"]
    assert match("**/*.jpg") == ["a.jpg", "deep/c.jpg", "deep/er/d.jpg"]
    assert match("deep/*") == ["deep/c.jpg"]
    assert match("[ab].???") == ["a.jpg", "b.png"]
    assert match("a.jpg") == ["a.jpg"]
    assert match("none.jpg") == []
    below = storage.glob(storage.join(folder, "deep") + "/", options=store.options)
    assert below == [storage.join(folder, "deep/c.jpg"), storage.join(folder, "deep/er/d.jpg")]


def test_hidden_names(store: servers.Store, folder: str) -> None:
    """What NAS systems and Finder leave behind is no photo, unless it is asked for."""
    names = ["a.jpg", "._a.jpg", ".thumbnails/b.jpg", "@eaDir/c.jpg", "in/d.jpg", "in/@eaDir/e.jpg"]
    for name in names:
        storage.put(storage.join(folder, name), b"x", options=store.options)

    def match(pattern: str) -> list[str]:
        found = storage.glob(f"{folder}/{pattern}", options=store.options)
        return [uri[len(folder) + 1 :] for uri in found]

    assert match("*.jpg") == ["a.jpg"]
    assert match("**/*.jpg") == match("") == ["a.jpg", "in/d.jpg"]
    assert match("*/*.jpg") == ["in/d.jpg"]
    assert match(".*.jpg") == ["._a.jpg"]
    assert match(".thumbnails/*.jpg") == [".thumbnails/b.jpg"]
    assert match("**/@eaDir/*.jpg") == ["@eaDir/c.jpg", "in/@eaDir/e.jpg"]
    assert match("@eaDir/") == ["@eaDir/c.jpg"]
    assert match("._a.jpg") == ["._a.jpg"]
    assert len(storage.list(folder, options=store.options)) == len(names)


def test_sweep(store: servers.Store, folder: str) -> None:
    """What dead writers left is removed; what is young may belong to one that lives."""
    partial = storage.join(folder, "deep", f".alphabeam-{'0' * 32}.partial")
    whole = storage.join(folder, "deep", "a.jpg")
    for uri in (partial, whole):
        storage.put(uri, b"half", options=store.options)
    assert storage.sweep(folder, 3600, options=store.options) == 0
    assert storage.exists(partial, options=store.options)
    assert storage.sweep(folder, options=store.options) == 1
    assert not storage.exists(partial, options=store.options)
    assert storage.list(folder, options=store.options) == [whole]


def test_catalogue(store: servers.Store, folder: str) -> None:
    """Manifest and images from the store; cutouts, masks, metadata and ledger to the store."""
    options = store.options
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 30)).save(buffer, "PNG")
    photos = [storage.join(folder, "in", "photos", f"shoe {i}#1.png") for i in range(3)]
    for uri in photos:
        storage.put(uri, buffer.getvalue(), options=options)
    manifest = storage.join(folder, "in", "manifest.csv")
    lines = ["image", *(f"photos/shoe {i}#1.png" for i in range(3))]
    storage.put(manifest, "\n".join(lines).encode(), options=options)
    with storage.open_input(manifest, options=options) as file:
        relative = [row["image"] for row in csv.DictReader(io.TextIOWrapper(file, "utf-8"))]
    uris = [storage.resolve(storage.parent(manifest), name) for name in relative]
    assert uris == photos
    rows = []
    for uri, data in storage.read_many(uris, max_bytes=1 << 20, options=options):
        assert isinstance(data, bytes)
        mask = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("L").save(mask, "PNG")
        name = uri.rpartition("/")[2]
        storage.put(storage.join(folder, "out", "masks", name), mask.getvalue(), options=options)
        version = storage.stat(uri, options=options).version
        rows.append({"image": uri, "version": version})
        storage.put(storage.join(folder, "out", "ledger", f"{name}.json"), b"{}", options=options)
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    metadata = storage.join(folder, "out", "metadata", "part-0.parquet")
    storage.put(metadata, table.getvalue(), options=options)
    with storage.open_input(metadata, options=options) as file:
        assert pq.read_table(file).to_pylist() == rows
    assert len(storage.list(storage.join(folder, "out"), options=options)) == 7
