"""References to secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alphabeam.transforms.secret_refs import (
    SecretError,
    inline_secrets,
    is_secret_name,
    references,
    resolve,
)


def test_references_are_replaced_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEY", "k-1")
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "secret").write_text("from a file\r\n")
    value = {
        "s3": {"key": "${env:KEY}", "list": ["a${env:KEY}b", ("${env:NOT_SET:-x y}",)]},
        "sftp": {"password": f"${{file:{tmp_path}/secret}}", "port": 22, "none": None},
    }
    assert resolve(value) == {
        "s3": {"key": "k-1", "list": ["ak-1b", ["x y"]]},
        "sftp": {"password": "from a file", "port": 22, "none": None},
    }
    assert references(value) == [
        "${env:KEY}", "${env:KEY}", "${env:NOT_SET:-x y}", f"${{file:{tmp_path}/secret}}",
    ]  # fmt: skip


def test_a_default_may_be_empty_and_a_set_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    assert resolve("[${env:NOT_SET:-}]") == "[]"
    assert resolve("[${env:EMPTY:-default}]") == "[]"


def test_a_secret_is_not_resolved_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "${env:OTHER} ${oops}")
    assert resolve("${env:KEY}") == "${env:OTHER} ${oops}"


def test_what_cannot_be_resolved_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(SecretError, match="the environment variable NOT_SET is not set; export it"):
        resolve({"a": ["${env:NOT_SET}"]})
    with pytest.raises(SecretError, match="the file cannot be read: No such file"):
        resolve(f"${{file:{tmp_path}/none}}")
    (tmp_path / "bytes").write_bytes(b"\xff\xfesecret")
    with pytest.raises(SecretError) as caught:
        resolve(f"${{file:{tmp_path}/bytes}}")
    assert "secret" not in str(caught.value).replace("bytes", "")


def test_a_secret_is_read_from_a_regular_file_of_a_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):  # neither ends
        with pytest.raises(SecretError, match="the file cannot be read: it is no regular file"):
            resolve(f"${{file:{path}}}")
    (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(SecretError, match="it has over 1048576 bytes, and no secret has"):
        resolve(f"${{file:{tmp_path}/large}}")
    (tmp_path / "large").write_bytes(b"x" * 2**20)
    assert len(resolve(f"${{file:{tmp_path}/large}}")) == 2**20
    (tmp_path / "key").write_bytes(b"a\r\nb\r\n")
    assert resolve(f"${{file:{tmp_path}/key}}") == "a\nb"


def test_the_setting_of_what_cannot_be_resolved_is_said_first() -> None:
    given = {"s3": {"hosts": ["a", {"secret": "${file:/dev/zero}"}]}}
    with pytest.raises(SecretError) as caught:
        resolve(given, "storage")
    assert str(caught.value) == (
        "storage.s3.hosts.1.secret: ${file:/dev/zero}: the file cannot be read: it is no regular "
        "file"
    )


@pytest.mark.parametrize("value", ["${KEY}", "x${env:}", "${vault:a/b}", "${env:KEY", "${}"])
def test_a_reference_that_is_misspelt_is_not_taken_for_the_secret(value: str) -> None:
    with pytest.raises(SecretError, match=r"no reference; write \$\{env:NAME\}"):
        resolve(value)
    assert references(value) == []


def test_other_values_pass() -> None:
    for value in ("$HOME", "a$", "{x}", "50$ {y}", 5, None, True, b"${env:X}"):
        assert resolve(value) == value


def test_what_is_no_reference_is_not_quoted() -> None:
    """It may be the secret itself, with a brace in it."""
    with pytest.raises(SecretError) as caught:
        resolve("${hunter22")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("key", "secret", "token", "password", "account_key", "sas_token", "connection_string"),
        *("client_secret", "Authorization", "Cookie", "X-Api-Key", "Private-Token", "passphrase"),
        *("aws_access_key_id", "aws_secret_access_key", "SSECustomerKey", "apikey", "auth", "PWD"),
        *("x-amz-security-token", "Proxy-Authorization", "credentials", "cookies", "sig"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert inline_secrets({"s3": {name: "hunter22"}}) == [("s3", name)]
    assert inline_secrets({"s3": {name: 22334455}}) == [("s3", name)]
    assert inline_secrets({"s3": {"client_kwargs": {"deep": [{name: "hunter22"}]}}}) == [
        ("s3", "client_kwargs", "deep", "0", name)
    ]
    for value in ("${env:KEY}", "Bearer ${env:KEY}", "${file:/run/secrets/x}", "", None, True):
        assert inline_secrets({"s3": {name: value}}) == []
    assert inline_secrets({"s3": {name: "${env:KEY:-hunter22}"}}) == [("s3", name)]
    assert inline_secrets({"s3": {name: "${KEY}"}}) == [("s3", name)]


@pytest.mark.parametrize(
    "options",
    [
        {"s3": {"endpoint_url": "https://minio.example:9000", "anon": True, "use_ssl": False}},
        {"s3": {"client_kwargs": {"region_name": "eu-1", "verify": "/etc/ca.pem"}}},
        {"s3": {"s3_additional_kwargs": {"SSEKMSKeyId": "arn:aws:kms:x", "ACL": "private"}}},
        {"sftp": {"username": "photos", "key_filename": "/run/id", "host_key_policy": "reject"}},
        {"sftp": {"auth_timeout": 30, "look_for_keys": False, "port": 22}},
        {"gs": {"token": "google_default", "project": "shop"}},
        {"gs": {"token": "/run/secrets/gcs.json"}},
        {"abfs": {"account_name": "shop", "tenant_id": "t", "client_id": "c", "anon": False}},
        {"http": {"headers": {"User-Agent": "shop", "cdn.example": {"Accept": "image/*"}}}},
        {"webdav": {"auth": ["photos", "${env:DAV}"], "base_url": "https://cloud.example/dav/"}},
        {"http": {"client_kwargs": {"trust_env": True}, "timeout": 5}},
        {},
    ],
)
def test_what_is_no_secret_may_be_given_itself(options: dict[str, object]) -> None:
    assert inline_secrets(options) == []


@pytest.mark.parametrize(
    "options",
    [
        {"s3": {"config_kwargs": {"proxies": {"https": "http://me:hunter22@proxy:3128"}}}},
        {"http": {"client_kwargs": {"cookies": {"session": "hunter22"}}}},
        {"webdav": {"auth": ["photos", "hunter22"]}},
        {"gs": {"token": {"type": "service_account", "private_key": "hunter22"}}},
        {"gs": {"token": "ya29.hunter22"}},
        {"abfs": {"what": "AccountName=a;AccountKey=hunter22"}},
        {"abfs": {"url": "https://a.example/c?sv=1&sig=hunter22"}},
        {"sftp": {"what": "-----BEGIN OPENSSH PRIVATE KEY-----"}},
        {"s3": {"what": "AKIAIOSFODNN7EXAMPLE"}},
        {"http": {"headers": {"X": "Bearer hunter22"}}},
        {"http": {"headers": {"cdn.example": {"Authorization": "hunter22"}}}},
    ],
)
def test_secrets_are_found_by_their_form_and_place_too(options: dict[str, object]) -> None:
    assert len(inline_secrets(options)) == 1
