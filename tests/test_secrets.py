"""References to secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphabeam.transforms.secret_refs import SecretError, references, resolve


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


@pytest.mark.parametrize("value", ["${KEY}", "x${env:}", "${vault:a/b}", "${env:KEY", "${}"])
def test_a_reference_that_is_misspelt_is_not_taken_for_the_secret(value: str) -> None:
    with pytest.raises(SecretError, match=r"no reference; write \$\{env:NAME\}"):
        resolve(value)
    assert references(value) == []


def test_other_values_pass() -> None:
    for value in ("$HOME", "a$", "{x}", "50$ {y}", 5, None, True, b"${env:X}"):
        assert resolve(value) == value
