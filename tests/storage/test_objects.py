"""What is asked of no particular server: archives, disks, processes, faults, messages."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest import Manifest, read_shard, row_from_record, survey
from alphabeam.transforms.storage import connections, faults
from tests.linear import grows_evenly
from tests.storage.conftest import Stores

pytestmark = pytest.mark.usefixtures("short_waits")

MEMBERS = {"a.jpg": b"a", "deep/b c#1.jpg": b"b", "deep/d.png": b"", "100%.jpg": b"%"}


def code_of(action: Any) -> ErrorCode:
    with pytest.raises(RowError) as caught:
        action()
    assert "\n" not in caught.value.message
    return caught.value.code


# ---- archives


def archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as packed:
            for name, data in MEMBERS.items():
                packed.writestr(name, data)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as packed:
            for name, data in MEMBERS.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                packed.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("where", ["local", "s3", "sftp"])
def test_archives(kind: str, where: str, stores: Stores) -> None:
    store = stores[where]
    options = store.options
    inner = storage.join(store.root, "archives", f"batch.{kind}")
    storage.put(inner, archive(kind), options=options)
    outer = kind.partition(".")[0]
    uris = sorted(f"{outer}://{name}::{inner}" for name in MEMBERS)
    assert storage.glob(f"{outer}://::{inner}", options=options) == uris
    assert storage.list(f"{outer}://::{inner}", options=options) == uris
    assert storage.glob(f"{outer}://*.jpg::{inner}", options=options) == [
        f"{outer}://100%.jpg::{inner}",
        f"{outer}://a.jpg::{inner}",
    ]
    for uri, data in storage.read_many(uris, concurrency=4, options=options):
        assert data == MEMBERS[uri[len(outer) + 3 :].partition("::")[0]]
        assert storage.stat(uri, options=options).size == len(MEMBERS[uri[len(outer) + 3 :].partition("::")[0]])  # noqa: E501 # fmt: skip
    missing = f"{outer}://none.jpg::{inner}"
    assert code_of(lambda: storage.read(missing, options=options)) is ErrorCode.NOT_FOUND
    assert not storage.exists(missing, options=options)
    assert code_of(lambda: storage.put(missing, b"a", options=options)) is ErrorCode.READ_ONLY
    gone = f"{outer}://a.jpg::{inner}.none"
    assert code_of(lambda: storage.read(gone, options=options)) is ErrorCode.NOT_FOUND
    storage.delete([inner], options=options)


def test_a_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive("zip")[:-30])
    code = code_of(lambda: storage.read(f"zip://a.jpg::{tmp_path}/a.zip"))
    assert code is ErrorCode.INVALID_URI


def test_a_changed_archive_is_listed_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for names in (["a"], ["a", "b"]):
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.writestr(name, name)
        uris = storage.list(f"zip://::{path}")
        assert uris == [f"zip://{name}::{path}" for name in names]
        assert [data for _, data in storage.read_many(uris)] == [n.encode() for n in names]


# ---- disks


def test_local_writes_leave_no_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new" / "a.png"
    storage.put(str(target), b"first")
    old_umask = os.umask(0o027)
    try:
        storage.put(str(target), b"second")
    finally:
        os.umask(old_umask)
    assert target.stat().st_mode & 0o777 == 0o640
    for number, code in (
        (errno.ENOSPC, ErrorCode.NO_SPACE),
        (errno.EDQUOT, ErrorCode.NO_SPACE),
        (errno.EROFS, ErrorCode.READ_ONLY),
        (errno.EIO, ErrorCode.STORAGE_UNAVAILABLE),
    ):

        def fail(descriptor: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        assert code_of(lambda: storage.put(str(target), b"third")) is code
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"second"


def test_local_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    storage.put("~/in home.txt", b"1")
    storage.put("relative/b.txt", b"2")
    storage.put(f"file://{tmp_path}/c%20d.txt", b"3")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.txt")) == [
        "c%20d.txt",
        "in home.txt",
        "relative/b.txt",
    ]
    assert storage.glob("relative/*") == [f"{tmp_path}/relative/b.txt"]
    assert code_of(lambda: storage.put("relative", b"1")) is ErrorCode.INVALID_URI
    assert code_of(lambda: storage.put("x" * 300, b"1")) is ErrorCode.INVALID_URI
    assert code_of(lambda: storage.read("relative")) is ErrorCode.INVALID_URI


def test_partial_objects_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / f".alphabeam-{'0' * 32}.partial").write_bytes(b"half")
    (tmp_path / "a").write_bytes(b"whole")
    assert storage.list(str(tmp_path)) == [f"{tmp_path}/a"]
    assert storage.glob(f"{tmp_path}/*") == [f"{tmp_path}/a"]


def linked_folders(root: Path) -> list[str]:
    """Makes folders with links to folders, to files, to nothing, and in circles."""
    for name in ("photos/a.jpg", "elsewhere/b.jpg", "elsewhere/deep/c.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    photos = root / "photos"
    (photos / "linked").symlink_to(root / "elsewhere")
    (photos / "itself").symlink_to(photos)
    (root / "elsewhere" / "back").symlink_to(photos)
    (photos / "file.jpg").symlink_to(root / "elsewhere" / "b.jpg")
    (photos / "gone.jpg").symlink_to(root / "nowhere.jpg")
    return ["a.jpg", "file.jpg", "gone.jpg", "linked/b.jpg", "linked/deep/c.jpg"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    wanted = [f"{tmp_path}/photos/{name}" for name in linked_folders(tmp_path)]
    assert storage.list(f"{tmp_path}/photos") == wanted
    assert storage.glob(f"{tmp_path}/photos/**/*.jpg") == wanted
    assert storage.glob(f"{tmp_path}/photos/") == wanted
    assert storage.glob(f"{tmp_path}/photos/*/*.jpg") == wanted[3:4]
    assert code_of(lambda: storage.read(wanted[2])) is ErrorCode.NOT_FOUND


def test_linked_folders_by_sftp(stores: Stores) -> None:
    store = stores["sftp"]
    root = Path("/" + store.root.partition("://")[2].partition("/")[2]) / "linked folders"
    names = linked_folders(root)
    wanted = [storage.join(store.root, "linked folders", "photos", name) for name in names]
    folder = storage.join(store.root, "linked folders", "photos")
    assert storage.list(folder, options=store.options) == wanted
    assert storage.glob(f"{folder}/**/*.jpg", options=store.options) == wanted


# ---- processes


_FORKING = """
import json, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from alphabeam.transforms import storage

uri, options = sys.argv[1], json.loads(sys.argv[2])
storage.put(uri, b"a", options=options)
with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
    forked = [pool.submit(storage.read, uri, options=options) for _ in range(4)]
    print([one.result(timeout=30) for one in forked], storage.read(uri, options=options))
"""


@pytest.mark.parametrize("where", ["s3", "sftp"])
def test_a_forked_child_has_connections_of_its_own(where: str, stores: Stores) -> None:
    """In a process of its own: gRPC's threads, which other tests have started, bear no fork."""
    store = stores[where]
    uri = storage.join(store.root, "fork", "a.txt")
    command = [sys.executable, "-c", _FORKING, uri, json.dumps(dict(store.options))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == f"{[b'a'] * 4} {b'a'}\n", ended.stderr


def test_a_dropped_connection_is_made_anew(stores: Stores) -> None:
    store = stores["sftp"]
    uri = storage.join(store.root, "dropped.txt")
    storage.put(uri, b"a" * 100_000, options=store.options)
    for pool in connections._pools.values():
        for fs in pool.idle:
            if getattr(fs, "client", None) is not None and hasattr(fs, "ftp"):
                fs.client.get_transport().sock.close()
    assert storage.read(uri, options=store.options) == b"a" * 100_000


# ---- faults


class _Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class HttpResponseError(Exception):
    """Azure's, by name."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = _Answer(status)


class ClientError(Exception):
    """botocore's, by name."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__("An error occurred")
        self.response = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        (FileNotFoundError(2, "No such file"), ErrorCode.NOT_FOUND, False),
        (PermissionError(13, "Permission denied"), ErrorCode.ACCESS_DENIED, False),
        (OSError(28, "No space left"), ErrorCode.NO_SPACE, False),
        (OSError(30, "Read-only file system"), ErrorCode.READ_ONLY, False),
        (ConnectionResetError(104, "reset"), ErrorCode.STORAGE_UNAVAILABLE, True),
        (TimeoutError(), ErrorCode.STORAGE_UNAVAILABLE, True),
        (EOFError(), ErrorCode.STORAGE_UNAVAILABLE, True),
        (OSError("Forbidden: https://storage/b"), ErrorCode.ACCESS_DENIED, False),
        (HttpResponseError(503), ErrorCode.STORAGE_UNAVAILABLE, True),
        (HttpResponseError(403), ErrorCode.ACCESS_DENIED, False),
        (HttpResponseError(507), ErrorCode.NO_SPACE, False),
        (ClientError(503, "SlowDown", "slow down"), ErrorCode.STORAGE_UNAVAILABLE, True),
        (ClientError(403, "AccessDenied", "denied"), ErrorCode.ACCESS_DENIED, False),
        (ImportError("Install s3fs"), ErrorCode.MISSING_DEPENDENCY, False),
        (NotImplementedError(), ErrorCode.READ_ONLY, False),
        (ZeroDivisionError(), ErrorCode.STORAGE_UNAVAILABLE, False),
    ],
)
def test_diagnosis(error: Exception, code: ErrorCode, transient: bool) -> None:
    fault = faults.diagnose(error)
    assert (fault.code, fault.transient) == (code, transient)


def test_transient_faults_are_tried_again_and_others_are_not() -> None:
    tries = 0

    def action(error: Exception, succeed_at: int) -> int:
        nonlocal tries
        tries += 1
        if tries < succeed_at:
            raise error
        return tries

    assert faults.retry(lambda: action(TimeoutError(), 3), "read", "s3://b/a") == 3
    for error, wanted in (
        (TimeoutError("silent"), faults.BACKOFF.attempts),
        (PermissionError(), 1),
    ):
        tries = 0
        with pytest.raises(RowError) as caught:
            faults.retry(lambda: action(error, 99), "read", "s3://b/a")  # noqa: B023
        assert tries == wanted
        assert "cannot read s3://b/a" in caught.value.message
        assert ("tried 5 times" in caught.value.message) is (wanted > 1)
        assert pickle.loads(pickle.dumps(caught.value)).code is caught.value.code


def test_secrets_stay_out_of_messages() -> None:
    options = {
        "s3": {"key": "AKIAHUNTER", "secret": "hunter22", "config_kwargs": {"token": "hu/n"}}
    }
    error = OSError("signature of hunter22 with AKIAHUNTER, hu/n, for http://u:pw123@h/ is wrong")
    line = faults.as_row_error(error, "read", "s3://b/a", options).message
    for secret in ("hunter22", "AKIAHUNTER", "hu/n", "pw123"):
        assert secret not in line


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("s3://b/a", "alphabeam[s3]"),
        ("gs://b/a", "alphabeam[gcs]"),
        ("abfs://b/a", "alphabeam[azure]"),
        ("sftp://h/a", "alphabeam[sftp]"),
        ("https://h/a", "alphabeam[http]"),
        ("zip://a::s3://b/a.zip", "alphabeam[s3]"),
    ],
)
def test_a_missing_library_is_named(uri: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = connections.get_filesystem_class

    def missing(protocol: str) -> Any:
        if protocol in ("zip", "file"):
            return real(protocol)
        raise ImportError("not installed")

    monkeypatch.setattr(connections, "get_filesystem_class", missing)
    with pytest.raises(RowError) as caught:
        storage.read(uri)
    assert caught.value.code is ErrorCode.MISSING_DEPENDENCY
    assert f"pip install '{advice}'" in caught.value.message


def test_a_key_file_may_be_given_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``${file:gcs.json}``; gcsfs takes a file's name or a mapping, and no content as text."""
    key = {"type": "authorized_user", "client_id": "shop", "refresh_token": "hunter22"}
    (tmp_path / "gcs.json").write_text(json.dumps(key) + "\n")
    options = {"gs": {"token": f"${{file:{tmp_path}/gcs.json}}"}}
    given = connections.options_of("gs", options)
    assert connections._with_defaults("gs", given)["token"] == key
    for token in ("anon", "/run/secrets/gcs.json"):
        assert connections._with_defaults("gs", {"token": token})["token"] == token


def test_options_that_a_store_does_not_take() -> None:
    pytest.importorskip("s3fs")
    options = {"s3": {"endpoint_uri": "http://127.0.0.1:1", "anon": True}}
    code = code_of(lambda: storage.read("s3://b/a", options=options))
    assert code is ErrorCode.INVALID_PARAMETER


def test_a_secret_that_cannot_be_resolved() -> None:
    options = {"ftp": {"password": "${env:ALPHABEAM_NO_SUCH_VARIABLE}"}}
    with pytest.raises(RowError) as caught:
        storage.read("ftp://127.0.0.1/a", options=options)
    assert caught.value.code is ErrorCode.INVALID_PARAMETER
    assert "ALPHABEAM_NO_SUCH_VARIABLE is not set" in caught.value.message


@pytest.mark.servers
def test_a_version_of_an_object(stores: Stores) -> None:
    store = stores["s3"]
    boto3 = pytest.importorskip("boto3")
    s3 = boto3.client(
        "s3", endpoint_url=store.options["s3"]["endpoint_url"], region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    ids = [
        s3.put_object(Bucket="versions", Key="m.csv", Body=b"image\n%d.jpg\n" % n)["VersionId"]
        for n in range(2)
    ]
    found = []
    for id in ids:
        uri = f"s3://versions/m.csv?versionId={id}"
        assert storage.stat(uri, options=store.options).size == 12
        manifest = Manifest(uri, storage_options=store.options)
        assert manifest.kind == "csv"
        surveyed = survey(manifest)
        found += [row.image for shard in surveyed.shards for row in read_shard(manifest, shard)]
        assert storage.read(uri, options=store.options).startswith(b"image")
    assert found == ["s3://versions/0.jpg", "s3://versions/1.jpg"]
    assert row_from_record({"image": "s3://b/a.jpg?versionId=x"}).id == "b/a"


def test_a_long_answer_takes_no_longer_than_its_length() -> None:
    for unit in (" ", "\n"):
        assert grows_evenly(
            faults.diagnose, lambda n, unit=unit: ValueError(f"a{unit * n}b"), 10_000
        )
    said = faults.diagnose(ValueError("denied\n  RequestId: 7\nTime: 1")).reason
    assert "denied" in said and "RequestId" not in said
