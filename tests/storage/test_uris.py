"""The text of URIs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from tests.storage.servers import REPOSITORY


@pytest.mark.parametrize(
    ("base", "relative", "wanted"),
    [
        ("s3://b/m", "x.jpg", "s3://b/m/x.jpg"),
        ("s3://b/m", "../i/x.jpg", "s3://b/i/x.jpg"),
        ("s3://b", "./x#1 ?.jpg", "s3://b/x#1 ?.jpg"),
        ("s3://b/m", "gs://c/x.jpg", "gs://c/x.jpg"),
        ("s3://b/m", "/data/x.jpg", "/data/x.jpg"),
        ("https://h/m/n?sig=1", "x.jpg", "https://h/m/n/x.jpg"),
        ("https://h/m", "/i/x.jpg", "https://h/i/x.jpg"),
        ("/data/m", "../x.jpg", "/data/x.jpg"),
        ("/data", "../../x.jpg", "/x.jpg"),
        ("m", "a//x.jpg", "m/a/x.jpg"),
        (".", "../x.jpg", "../x.jpg"),
        ("..", "../x.jpg", "../../x.jpg"),
        ("file:///data/m", "x.jpg", "file:///data/m/x.jpg"),
        ("memory://m", "x.jpg", "memory://m/x.jpg"),
        ("zip://m::s3://b/a.zip", "../x.jpg", "zip://x.jpg::s3://b/a.zip"),
        ("simplecache::s3://b/m", "x.jpg", "simplecache::s3://b/m/x.jpg"),
        ("s3://b/m", "a::b.jpg", "s3://b/m/a::b.jpg"),
    ],
)
def test_resolve(base: str, relative: str, wanted: str) -> None:
    assert storage.resolve(base, relative) == wanted


def test_resolve_does_not_leave_the_store() -> None:
    with pytest.raises(RowError) as caught:
        storage.resolve("s3://b/m", "../../x.jpg")
    assert caught.value.code is ErrorCode.INVALID_URI


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("s3://b/a/x.jpg", "s3://b/a"),
        ("s3://b/x.jpg", "s3://b"),
        ("s3://b", "s3://b"),
        ("/x.jpg", "/"),
        ("x.jpg", "."),
        ("a/x.jpg", "a"),
        ("https://h/m/x.csv?sig=a/b", "https://h/m"),
        ("zip://x.csv::s3://b/a.zip", "zip://::s3://b/a.zip"),
        ("sftp://u@h:22/a/x", "sftp://u@h:22/a"),
        ("fsspec+s3://b/a/x", "fsspec+s3://b/a"),
    ],
)
def test_parent(uri: str, wanted: str) -> None:
    assert storage.parent(uri) == wanted


NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)


@given(
    st.sampled_from(
        ["s3://b", "s3://b/f", "/", "/f", "f", "file:///f", "memory://f", "sftp://h/f"]
    ),
    NAME.filter(lambda name: name not in (".", "..")),
)
def test_parent_undoes_join(folder: str, name: str) -> None:
    assert storage.parent(storage.join(folder, name)) == folder
    assert storage.join(folder, "a", name) == storage.join(folder, f"a/{name}")


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("a.jpg", True),
        ("/a b/#.jpg", True),
        ("file:///a.jpg", True),
        ("s3://b/a.jpg", False),
        ("zip://a.jpg::/b.zip", False),
        ("a::b.jpg", True),
    ],
)
def test_is_local(uri: str, local: bool) -> None:
    assert storage.is_local(uri) is local


@pytest.mark.parametrize("uri", ["", "a\0b", "zip://a.jpg", "nosuch://b/a.jpg"])
def test_invalid(uri: str) -> None:
    with pytest.raises(RowError) as caught:
        storage.read(uri)
    assert caught.value.code is ErrorCode.INVALID_URI


@pytest.mark.slow
def test_secrets_are_not_shown() -> None:
    assert storage.redact("sftp://me:pw@h/a") == "sftp://me:***@h/a"
    assert storage.redact("https://h/a?X-Sig=abc&b=1") == "https://h/a?***"
    assert storage.redact("zip://a::https://h/a.zip?sig=abc") == "zip://a::https://h/a.zip?***"
    assert storage.redact("https://token@h/a") == "https://***@h/a"
    assert storage.redact("https://me:pw@h/a") == "https://***@h/a"
    assert "abc" not in storage.redact("abfs://c/a.png?sv=1&sig=abc")
    assert "abc" not in storage.redact("failed: https://h/a?x=abc for s3://b/k?X-Amz-Signature=abc")
    assert len(storage.redact("https://h/" + "a" * 5000)) < 310
    assert "\n" not in storage.redact("s3://b/a\nb")
    with pytest.raises(RowError) as caught:
        storage.read("ftp://me:hunter22@127.0.0.1:9/a")
    assert "hunter22" not in str(caught.value)


SIGNED = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F1&X-Amz-Date=1&X-Amz-Expires=9"
    "&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Signature=s",
    "x-amz-signature=s&x-amz-date=2",
    "AWSAccessKeyId=K&Signature=s%3D&Expires=1",
    "X-Goog-Algorithm=G&X-Goog-Credential=c&X-Goog-Date=1&X-Goog-Signature=s",
    "GoogleAccessId=g&Expires=1&Signature=s",
    "Policy=p&Signature=s&Key-Pair-Id=k",
    "Expires=1&Signature=s&Key-Pair-Id=k",
    "sv=1&st=2&se=3&sr=b&sp=r&spr=https&skoid=4&sktid=5&skt=6&ske=7&sks=b&skv=8&sig=s%2B",
]


@pytest.mark.parametrize("query", SIGNED)
def test_identity_is_the_same_however_a_url_is_signed(query: str) -> None:
    assert storage.identity(f"https://h/a%20b.jpg?{query}") == "https://h/a%20b.jpg"
    both = f"https://h/a.jpg?w=90&{query}&h=60&versionId=7"
    assert storage.identity(both) == "https://h/a.jpg?w=90&h=60&versionId=7"
    chained = f"zip://a.jpg::https://h/b.zip?{query}"
    assert storage.identity(chained) == "zip://a.jpg::https://h/b.zip"
    assert all(value not in storage.redact(both) for value in query.split("&") if len(value) > 6)


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("https://me:pw@Host.Example/A.jpg#part", "https://host.example/A.jpg"),
        ("sftp://me:pw@h:22/a", "sftp://h:22/a"),
        # what stands before this @ is the container
        ("abfs://box@acc.dfs.core.windows.net/a", "abfs://box@acc.dfs.core.windows.net/a"),
        ("https://h/a?w=1;X%2DAmz%2DDate=2;h=3", "https://h/a?w=1;h=3"),
        ("fsspec+sftp://me@h/a", "fsspec+sftp://h/a"),
        # what only looks like a part of a signature is kept
        ("https://h/a?Expires=1&st=2&Policy=3", "https://h/a?Expires=1&st=2&Policy=3"),
        ("https://h/a?b=2&a=1", "https://h/a?b=2&a=1"),
        ("s3://b/a?Signature=1#2", "s3://b/a?Signature=1#2"),
        ("/data/me:pw@h/a", "/data/me:pw@h/a"),
        ("a b.jpg", "a b.jpg"),
    ],
)
def test_identity(uri: str, same: str) -> None:
    assert storage.identity(uri) == same
    assert storage.identity(same) == same


def test_canonical(tmp_path: Path) -> None:
    """Two spellings of one place are one."""
    real = tmp_path / "real"
    (real / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    (real / "in" / "back").symlink_to(tmp_path)
    (real / "a.jpg").symlink_to("/etc/hosts")
    folder = f"{os.path.realpath(real)}/in/"
    for spelling in (
        f"{tmp_path}/link/in/",
        f"file://{tmp_path}/real/in/",
        f"{real}/in/back/link/in/",
    ):
        assert storage.canonical(spelling) == folder
    assert storage.canonical(f"{tmp_path}/link/a.jpg") == f"{os.path.realpath(real)}/a.jpg"
    assert storage.canonical("s3a://b/a//b") == "s3://b/a//b"
    assert storage.canonical("az://c/a") == storage.canonical("abfss://c/a") == "abfs://c/a"
    assert storage.canonical("https://h/a") == "https://h/a"
    assert storage.canonical("zip://a::gcs://b/c.zip") == "zip://a::gs://b/c.zip"


@pytest.mark.slow
def test_import_is_light() -> None:
    source = (
        "import sys; from alphabeam.transforms import storage; print('apache_beam' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout == "False\n"
