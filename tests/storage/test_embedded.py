"""Pictures inside Parquet files: links, and what is read of the files for them."""

from __future__ import annotations

import os
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage import Embedded, info, parquet, streams

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_kept", parquet._Kept())
    monkeypatch.setattr(info, "_asked", {})


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all pieces that were read from stores."""
    sizes: list[int] = []
    original = streams._Input.readinto

    def readinto(self: Any, buffer: Any) -> int:
        sizes.append(original(self, buffer))
        return sizes[-1]

    monkeypatch.setattr(streams._Input, "readinto", readinto)
    return sizes


def data_of(row: int, size: int = 3000) -> bytes:
    return random.Random(row).randbytes(size)


def write(path: Path, rows: int, size: int = 3000, **options: Any) -> str:
    pictures = [{"bytes": data_of(row, size), "path": f"{row}.jpg"} for row in range(1, rows + 1)]
    table = pa.table({"image": pa.array(pictures, PICTURE), "title": ["a title"] * rows})
    pq.write_table(table, path, **options)
    return str(path)


def link(file: str, row: int, column: str = "image") -> str:
    return Embedded(file, column, row).uri


def code_of(action: Callable[[], Any]) -> tuple[ErrorCode, str]:
    with pytest.raises(RowError) as caught:
        action()
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("picture", "uri"),
    [
        (Embedded("s3://b/x.parquet", "image", 7), "parquet://image/7::s3://b/x.parquet"),
        (Embedded("x.parquet", "a/b", 1, "d/c.jpg"), "parquet://a%2Fb/1/d/c.jpg::x.parquet"),
        (
            Embedded("/d/x.parquet", "Bild 1?", 2, "a::b%?\n", "0123abcd"),
            "parquet://Bild%201%3F/2/a%3A%3Ab%25%3F%0A?version=0123abcd::/d/x.parquet",
        ),
        (Embedded("zip://x.pq::s3://b/z.zip", "i", 3), "parquet://i/3::zip://x.pq::s3://b/z.zip"),
    ],
)
def test_a_link_names_one_picture(picture: Embedded, uri: str) -> None:
    assert picture.uri == uri
    assert storage.embedded(uri) == picture
    assert storage.resolve("/manifests", uri) == uri
    assert storage.identity(uri) == uri


@pytest.mark.parametrize("uri", ["parquet://image::x", "parquet://image/0::x", "parquet://a/1"])
def test_what_is_no_link_is_refused(uri: str) -> None:
    code, message = code_of(lambda: storage.read(uri))
    assert code is ErrorCode.INVALID_URI and "write parquet://" in message
    assert storage.embedded("s3://b/x.parquet") is None


def test_a_signature_stays_out_of_what_is_shown() -> None:
    uri = link("https://h.example/x.parquet?X-Amz-Signature=abc", 3)
    assert storage.identity(uri) == storage.public(uri) == link("https://h.example/x.parquet", 3)
    assert "abc" not in storage.redact(uri)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_any_row_of_any_group_in_any_order(tmp_path: Path, compression: str) -> None:
    file = write(tmp_path / "x.parquet", 100, row_group_size=30, compression=compression)
    rows = list(range(1, 101))
    random.Random(0).shuffle(rows)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda row: storage.read(link(file, row)), rows))
    assert found == [data_of(row) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["as they stand", "backwards", "at random, on threads"])
def test_a_large_group_is_read_once(tmp_path: Path, taken: list[int], order: str) -> None:
    file = write(tmp_path / "x.parquet", 2000, row_group_size=2000)
    rows = list(range(1, 2001))
    if order == "backwards":
        rows.reverse()
    elif order != "as they stand":
        random.Random(0).shuffle(rows)
    with ThreadPoolExecutor(8 if "threads" in order else 1) as pool:
        found = list(pool.map(lambda row: storage.read(link(file, row)), rows))
    assert found == [data_of(row) for row in rows]
    assert sum(taken) < 1.3 * os.path.getsize(file)


def test_a_group_is_read_as_far_as_it_is_asked(tmp_path: Path, taken: list[int]) -> None:
    # Pages of one megabyte, so that a part of the column can be read.
    file = write(tmp_path / "x.parquet", 400, 50_000, use_dictionary=False, write_batch_size=8)
    assert storage.read(link(file, 3)) == data_of(3, 50_000)
    assert sum(taken) < 0.3 * os.path.getsize(file)


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "x.parquet", 90, row_group_size=30)
    monkeypatch.setattr(parquet, "_KEPT_BYTES", 200_000)
    for row in (1, 31, 61, 2, 32, 62, 30, 60, 90):
        assert storage.read(link(file, row)) == data_of(row)
        kept = parquet._kept._groups
        assert 1 <= len(kept) <= 2 and sum(group.size for group in kept.values()) <= 200_000
    monkeypatch.setattr(parquet, "_KEPT_BYTES", 1)
    assert storage.read(link(file, 1)) == data_of(1)
    assert len(parquet._kept._groups) == 1


def test_few_groups_are_open_and_none_is_read_twice(
    tmp_path: Path, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.parquet", 400, 10_000, row_group_size=100)
    monkeypatch.setattr(parquet, "_OPEN_BYTES", 1_500_000)  # a group has a million
    for row in range(1, 101):
        for first in (0, 100, 200, 300):
            assert storage.read(link(file, first + row)) == data_of(first + row, 10_000)
            groups = parquet._kept._groups.values()
            assert sum(group.is_open for group in groups) <= 2
    assert sum(taken) < 1.3 * os.path.getsize(file)


def test_columns_of_other_types(tmp_path: Path) -> None:
    one = [data_of(1)]
    large = pa.struct([("path", pa.null()), ("bytes", pa.large_binary())])
    columns = {
        "plain": pa.array(one, pa.binary()),
        "large": pa.array([{"bytes": one[0], "path": None}], large),
        "bare": pa.array([{"bytes": one[0]}]),
        "dotted.name": pa.array([{"bytes": one[0], "path": "a"}], PICTURE),
        "text": pa.array(["secret"]),
        "other": pa.array([{"bytes": one[0], "size": 1}]),
        "words": pa.array([{"bytes": "secret", "path": "a"}]),
        "many": pa.array([one]),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    for name in columns:
        uri = link(str(tmp_path / "x.parquet"), 1, name)
        if name in ("plain", "large", "bare", "dotted.name"):
            assert storage.read(uri) == one[0]
        else:
            code, message = code_of(lambda uri=uri: storage.read(uri))
            assert code is ErrorCode.INVALID_URI
            assert f"column {name!r} of " in message and "secret" not in message
    code, message = code_of(lambda: storage.read(link(str(tmp_path / "x.parquet"), 1, "none")))
    assert code is ErrorCode.NOT_FOUND and "there is no column 'none'" in message


def test_null_and_missing_rows(tmp_path: Path) -> None:
    pictures = [{"bytes": b"a", "path": "a"}, {"bytes": None, "path": "b"}, None]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": pa.array(pictures, PICTURE)}), path)
    assert storage.read(link(str(path), 1)) == b"a"
    for row in (2, 3):
        code, message = code_of(lambda row=row: storage.read(link(str(path), row)))
        assert code is ErrorCode.NOT_FOUND and "is null" in message
    assert "there is no row 4" in code_of(lambda: storage.read(link(str(path), 4)))[1]
    assert code_of(lambda: storage.read(link(f"{path}x", 1)))[0] is ErrorCode.NOT_FOUND


def test_limits(tmp_path: Path) -> None:
    uri = link(write(tmp_path / "x.parquet", 3), 2)
    assert storage.read(uri, max_bytes=3000) == data_of(2)
    code, message = code_of(lambda: storage.read(uri, max_bytes=2999))
    assert code is ErrorCode.TOO_LARGE and "has 3000 bytes, the limit is 2999" in message
    elsewhere = storage.AllowList.of("m.parquet", [str(tmp_path / "other")])
    for ask in (storage.read, storage.stat, storage.read_with_version):
        assert code_of(lambda ask=ask: ask(uri, allow=elsewhere))[0] is ErrorCode.NOT_ALLOWED
    here = storage.AllowList.of("m.parquet", [str(tmp_path)])
    assert storage.read(uri, allow=here) == data_of(2)
    server = "http://127.0.0.1:8000/m.parquet"
    storage.AllowList.of(server).check(link(server, 1))
    for other in ("/data/x.parquet", "http://169.254.169.254/x.parquet", "s3://b/x.parquet"):
        refused = code_of(lambda other=other: storage.AllowList.of(server).check(link(other, 1)))
        assert refused[0] is ErrorCode.NOT_ALLOWED


@pytest.mark.slow
def test_time_is_bounded_and_what_was_read_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.parquet", 200)
    original = parquet._Group._take

    def slow(self: Any) -> None:
        original(self)
        time.sleep(0.1)

    monkeypatch.setattr(parquet._Group, "_take", slow)
    code, message = code_of(lambda: storage.read(link(file, 200), timeout=0.25))
    assert code is ErrorCode.STORAGE_UNAVAILABLE and "not done within 0.25 s" in message
    (group,) = parquet._kept._groups.values()
    assert 32 <= len(group._sizes) < 200
    assert storage.read(link(file, 1), timeout=0.05) == data_of(1)
    with group._lock:  # as while another row is read
        code, message = code_of(lambda: storage.read(link(file, 1), timeout=0.05))
        assert code is ErrorCode.STORAGE_UNAVAILABLE
    assert storage.read(link(file, 200)) == data_of(200)


def test_a_fault_of_the_store_costs_one_row_and_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.parquet", 400, 50_000, use_dictionary=False, write_batch_size=8)
    assert storage.read(link(file, 1)) == data_of(1, 50_000)
    original = streams._Input.readinto

    def broken(self: Any, buffer: Any) -> int:
        raise RowError(ErrorCode.STORAGE_UNAVAILABLE, "the store is away")

    monkeypatch.setattr(streams._Input, "readinto", broken)
    assert code_of(lambda: storage.read(link(file, 300)))[1] == "the store is away"
    monkeypatch.setattr(streams._Input, "readinto", original)
    for row in (300, 30, 299, 400):
        assert storage.read(link(file, row)) == data_of(row, 50_000)


def test_a_full_disk_costs_rows_and_mixes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.parquet", 40)
    original = parquet._Group._keep
    full = threading.Event()

    def keep(self: Any, data: Any) -> None:
        if full.is_set() and len(self._sizes) == 20:
            raise OSError(28, "No space left on device")
        original(self, data)

    monkeypatch.setattr(parquet._Group, "_keep", keep)
    full.set()
    assert storage.read(link(file, 5)) == data_of(5)
    assert code_of(lambda: storage.read(link(file, 30)))[0] is ErrorCode.NO_SPACE
    full.clear()
    for row in (30, 20, 21, 22, 40):
        assert storage.read(link(file, row)) == data_of(row)


def test_damage_costs_its_row_group(tmp_path: Path, taken: list[int]) -> None:
    file = write(tmp_path / "x.parquet", 60, row_group_size=30, compression="zstd")
    data = bytearray(Path(file).read_bytes())
    column = pq.read_metadata(file).row_group(1).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    data[begin : begin + 200] = bytes(200)
    Path(file).write_bytes(data)
    for row in (1, 30):
        assert storage.read(link(file, row)) == data_of(row)
    for row in range(31, 61):
        code, message = code_of(lambda row=row: storage.read(link(file, row)))
        assert code is ErrorCode.INVALID_URI and "no readable Parquet file" in message
    assert sum(taken) < 2 * len(data), "a broken group is not read for each of its rows"
    Path(file).write_bytes(b"PAR1")
    assert "no readable Parquet file" in code_of(lambda: storage.read(link(file, 1)))[1]


def test_the_version_is_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "x.parquet", 3)
    version = storage.stat(file).version
    pinned = Embedded(file, "image", 2, "2.jpg").pinned(version).uri
    assert storage.stat(pinned) == (None, version)
    assert storage.read_with_version(pinned) == (data_of(2), version)
    asked: list[str] = []
    original = info.stat
    monkeypatch.setattr(
        info, "stat", lambda uri, **more: asked.append(uri) or original(uri, **more)
    )
    for row in (1, 2, 3):
        assert storage.stat(Embedded(file, "image", row).pinned(version).uri).version == version
    assert not asked, "the store is not asked for each picture"
    assert storage.stat(link(file, 1)).version == version
    assert asked == [file], "a link to whichever version is there asks for it"

    write(tmp_path / "x.parquet", 3, 2000)
    monkeypatch.setattr(info, "_asked", {})
    for ask in (storage.read, storage.stat):
        code, message = code_of(lambda ask=ask: ask(pinned))
        assert code is ErrorCode.NOT_FOUND and "an earlier version of the file" in message
    assert storage.read(link(file, 2)) == data_of(2, 2000)
    assert Embedded(file, "image", 1).pinned("").uri == link(file, 1)


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", 60, row_group_size=30)
    version = storage.stat(file).version
    first, other = (Embedded(file, "image", row).pinned(version).uri for row in (1, 31))
    assert storage.read(first) == data_of(1)
    write(tmp_path / "x.parquet", 60, 2000, row_group_size=30)
    code, message = code_of(lambda: storage.read(other))
    assert code is ErrorCode.NOT_FOUND and "changed while it was read" in message


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://test-embedded/x.parquet"
    fsspec.filesystem("memory").rm("/test-embedded", recursive=True)


def test_other_stores_and_chains(tmp_path: Path, memory: str) -> None:
    data = Path(write(tmp_path / "x.parquet", 5)).read_bytes()
    storage.put(memory, data)
    assert storage.read(link(memory, 4)) == data_of(4)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/x.parquet", data)
    assert storage.read(link(f"zip://in/x.parquet::{tmp_path}/z.zip", 5)) == data_of(5)


@pytest.mark.servers
def test_a_server(tmp_path: Path, stores: Any) -> None:
    store = stores["s3"]
    uri = f"{store.root}/embedded/x.parquet"
    data = Path(write(tmp_path / "x.parquet", 50, row_group_size=20)).read_bytes()
    storage.put(uri, data, options=store.options)
    with ThreadPoolExecutor(8) as pool:
        rows = range(1, 51)
        read = pool.map(lambda n: storage.read(link(uri, n), options=store.options), rows)
        assert list(read) == [data_of(row) for row in rows]
    assert storage.stat(link(uri, 1), options=store.options).version
