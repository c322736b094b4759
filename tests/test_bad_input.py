"""Bad input: each case costs its row, with a clear code, and the rest is done."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from tests.conftest import Shop, encoded, product


def bomb() -> bytes:
    """The header of a PNG of 50 000 x 50 000 pixels, and a few bytes of them."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ):
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


def corrupt_exif() -> bytes:
    block = Image.Exif()
    block[0x0112] = 6
    data = encoded(product(), "JPEG", exif=block)
    at = data.index(b"Exif\0\0") + 6
    return data[:at] + b"\xff" * 10 + data[at + 10 :]


NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)

# name, data (None: a good picture; b"missing": no file), code (None: it is done)
IMAGES: list[tuple[str, bytes | None, str | None]] = [
    ("good.png", None, None),
    ("missing.jpg", b"missing", "not_found"),
    ("empty.jpg", b"", "empty_file"),
    ("text.jpg", b"This is a text, whatever its name says.\n", "not_an_image"),
    ("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
    ("cut.jpg", encoded(NOISE, "JPEG", quality=90)[:3000], "truncated_image"),
    ("cut.png", encoded(NOISE, "PNG")[:3000], "truncated_image"),
    ("bomb.png", bomb(), "too_large"),
    ("one.png", encoded(np.full((1, 1, 3), 30, np.uint8)), None),
    ("exif.jpg", corrupt_exif(), None),
    ("with space.png", None, None),
    ("hash#1.png", None, None),
    ("percent%20.png", None, None),
    ("鞋-обувь-حذاء.png", None, None),
    ("last.png", None, None),
]


def test_one_job_with_every_bad_image(shop: Shop, capsys: Any) -> None:
    lines = ["image,note"]
    for number, (name, data, _) in enumerate(IMAGES):
        if data != b"missing":
            shop.picture(name, number, data)
        lines.append(f"{name},n{number}")
    lines += [
        '"good.png","a,b",x',  # a field too many
        "box.png,x",
        "wide.png,x",
    ]
    shop.manifest("\n".join(lines) + "\n")
    shop.write_job()
    assert shop.run() == 3
    rows = {row["line"]: row for row in shop.records()}
    assert len(rows) == len(lines) - 1
    for line, (name, _, code) in enumerate(IMAGES, 2):
        row = rows[line]
        assert row["error_code"] == code, (name, row["error_message"])
        assert Path(row["image"]).name == name
        if code is None:
            assert row["status"] == "done" and row["error_stage"] is None
            assert (shop.out / row["cutout"]).is_file() and (shop.out / row["mask"]).is_file()
        else:
            assert (row["status"], row["error_stage"]) == ("failed", "read")
            assert row["cutout"] is row["mask"] is None
            assert len(row["error_message"]) > 15 and row["error_message"].isprintable()
        assert row["extra"] == [("note", f"n{line - 2}")]
    assert rows[len(IMAGES) + 2]["error_code"] == "manifest_row"
    out = capsys.readouterr().out
    assert f"{len(IMAGES) + 3} rows: 8 done, 10 failed" in out


def test_one_job_with_every_bad_row(shop: Shop) -> None:
    for name in "abcdefghij":
        shop.picture(f"{name}.png", ord(name))
    shop.manifest(
        b"\xef\xbb\xbf"  # a BOM and CRLF are no harm
        b"image,id,box,erode_size,hair_optimization\r\n"
        b"a.png,,,,\r\n"
        b'b.png,,"500,500,600,600",,\r\n'  # 3: a box outside
        b"c.png,,,41,\r\n"  # 4
        b"d.png,same,,,\r\n"
        b"e.png,same,,,\r\n"  # 6: an id again
        b'"f.png"x,,,,\r\n'  # 7: a bad quote
        b"g.png,,,40,on\r\n"
        b'h.png,,"70,50,500,500",,\r\n'  # 9: a box that begins inside is clipped
        b",,,,\r\n"  # 10: an empty line of a spreadsheet is no row
        b"i.png,,,,maybe\r\n"  # 11
        b"zip://j.png,,,,\r\n"  # 12
        b"nosuch://k.png,,,,\r\n"  # 13
        b"j.png,,,0,off\r\n"
    )
    shop.write_job()
    assert shop.run() == 3
    rows = {row["line"]: row for row in shop.records()}
    assert {line: (row["error_stage"], row["error_code"]) for line, row in rows.items()
            if row["status"] == "failed"} == {
        3: ("remove", "box_outside"),
        4: ("manifest", "invalid_parameter"),
        6: ("manifest", "duplicate_id"),
        7: ("manifest", "manifest_row"),
        11: ("manifest", "invalid_parameter"),
        12: ("manifest", "invalid_uri"),
        13: ("read", rows[13]["error_code"]),
    }  # fmt: skip
    assert 10 not in rows
    assert rows[13]["error_code"] in ("invalid_uri", "missing_dependency")
    assert "box 500,500,600,600 lies outside the 80 x 60 picture" in rows[3]["error_message"]
    assert rows[4]["error_message"] == "line 4: erode_size: 41 is outside 0..40"
    done = {row["id"] for row in rows.values() if row["status"] == "done"}
    assert done == {"a", "same", "g", "h", "j"}
    assert (shop.out / "cutouts/same.png").read_bytes() == reference(shop, "d.png")

    # The failures, corrected, are a manifest: here the box and the id are.
    text = (shop.out / "failures.jsonl").read_text(encoding="utf-8")
    corrected = [
        line.replace("[500, 500, 600, 600]", "[5, 5, 60, 55]").replace('"same"', '"e"')
        for line in text.splitlines()
        if "box_outside" in line or "duplicate_id" in line
    ]
    shop.manifest("\n".join(corrected), "again.jsonl")
    shop.out = shop.folder / "again"
    assert shop.run("--set", "input.manifest=again.jsonl", "--set", "output.directory=again") == 0
    assert {row["id"] for row in shop.rows().values()} == {"b", "e"}


def reference(shop: Shop, name: str) -> bytes:
    """The cutout of one picture, by the core alone."""
    from alphabeam.transforms.encoding import encode_cutout
    from alphabeam.transforms.images import decode
    from alphabeam.transforms.matting import MattingCore

    matte = MattingCore(shop.model).remove(decode((shop.folder / name).read_bytes()))
    assert matte.rgba is not None
    return encode_cutout(matte.rgba)


def test_failures_run_again_as_they_are_fail_again(shop: Shop) -> None:
    shop.picture("a.png")
    shop.manifest("image,erode_size,sku\na.png,41,S\nmissing.png,,T\n")
    shop.write_job()
    assert shop.run() == 3
    first = shop.rows()
    failures = shop.out / "failures.jsonl"
    shop.out = shop.folder / "again"
    assert shop.run("--set", f"input.manifest={failures}", "--set", "output.directory=again") == 3
    again = shop.rows()
    for id, row in first.items():
        assert again[id]["error_code"] == row["error_code"]
        assert again[id]["image"] == row["image"]
        assert ("sku", {"a": "S", "missing": "T"}[id]) in again[id]["extra"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("m.csv", b"", "the file is empty; a header with 'image' is needed"),
        ("m.csv", b"\xef\xbb\xbf", "the file is empty"),
        ("m.csv", b"url,id\na.png,a\n", "there is no column 'image'; the columns are 'url', 'id'"),
        ("m.csv", b'image,"note\na.png,x\n', "m.csv:1: header: a quote is opened and never closed"),
        (
            "m.csv",
            b"PK\x03\x04" + bytes(60),
            "an Excel workbook or ZIP file; export it as CSV UTF-8",
        ),
        ("m.parquet", b"image\na.png\n", "not a Parquet file"),
        ("m", b"image\na.png\n", "the name does not show the format"),
        ("m.csv.gz", b"\x1f\x8b\x08\x00broken", "m.csv.gz: "),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(
    shop: Shop, capsys: Any, name: str, text: bytes, says: str
) -> None:
    shop.manifest(text, name)
    shop.write_job(name)
    for arguments in ((), ("--check",)):
        assert shop.run(*arguments) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("job: ") and says in line and "Error" not in line, line
    assert not (shop.out / "metadata").exists()


def test_a_full_disk_costs_the_rows_that_did_not_fit(
    filled_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = filled_shop(3)
    put = storage.put

    def full(uri: str, data: bytes, **options: Any) -> None:
        if uri.endswith(("masks/images/p0.png", "cutouts/images/p1.png")):
            raise RowError(ErrorCode.NO_SPACE, f"cannot write {uri}: No space left on device")
        put(uri, data, **options)

    monkeypatch.setattr(storage, "put", full)
    assert shop.run() == 3
    rows = shop.rows()
    for id in ("images/p0", "images/p1"):
        assert (rows[id]["error_stage"], rows[id]["error_code"]) == ("write", "no_space")
        assert rows[id]["cutout"] is None
    assert rows["images/p2"]["status"] == "done"
    monkeypatch.undo()
    assert shop.run() == 0
    assert len(shop.files("cutouts", "masks")) == 6


@pytest.mark.parametrize("code", [ErrorCode.READ_ONLY, ErrorCode.NO_SPACE])
def test_an_output_that_takes_nothing_ends_the_job_before_it_begins(
    filled_shop: Callable[..., Shop],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    code: ErrorCode,
) -> None:
    shop = filled_shop(1)

    def refuse(uri: str, data: bytes, **options: Any) -> None:
        raise RowError(code, f"cannot write {uri}: it takes nothing; write elsewhere")

    monkeypatch.setattr(storage, "put", refuse)
    assert shop.run() == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "it takes nothing; write elsewhere" in line
    assert not shop.out.exists()


def test_a_disk_that_fills_up_under_the_ledger_ends_the_job_and_loses_nothing(
    filled_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    shop = filled_shop(2)
    put = storage.put

    def full(uri: str, data: bytes, **options: Any) -> None:
        if "/ledger/" in uri:
            raise RowError(ErrorCode.NO_SPACE, f"cannot write {uri}: the disk is full; make room")
        put(uri, data, **options)

    monkeypatch.setattr(storage, "put", full)
    assert shop.run() == 1
    *warnings, line = capsys.readouterr().err.strip().splitlines()
    assert all(" WARNING " in warning for warning in warnings)
    assert "the disk is full; make room" in line and len(line) < 400
    monkeypatch.undo()
    assert shop.run() == 0
    assert {row["status"] for row in shop.rows().values()} == {"done"}


def test_an_output_below_a_file(filled_shop: Callable[..., Shop], capsys: Any) -> None:
    shop = filled_shop(1)
    (shop.folder / "file").touch()
    for place in ("file/out", "/proc/no-such-place"):
        assert shop.run("--set", f"output.directory={place}") == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "cannot write" in line and place in line
        assert "bucket" not in line


def test_an_output_that_is_a_file(filled_shop: Callable[..., Shop], capsys: Any) -> None:
    shop = filled_shop(1)
    file = shop.folder / "file"
    file.touch()
    for place in ("file", "file/below/it"):
        assert shop.run("--set", f"output.directory={place}") == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"{file} is a file, not a folder; name another folder" in line
