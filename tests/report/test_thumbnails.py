"""Thumbnails: how they look, how they are put, and what becomes of them in later runs."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata import SCHEMA
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Picture, Row
from alphabeam.transforms.thumbnails import (
    SIDE,
    OpenThumbnails,
    Thumbnail,
    decode_shard,
    encode_shard,
    gather,
    key_of,
    preview_of,
    read_index,
    shards,
    thumbnail_of,
    tidy,
)
from tests.conftest import Shop, product

FillShop = Callable[..., Shop]


def shown(thumbnail: Thumbnail) -> tuple[np.ndarray, np.ndarray]:
    """The source, and the cutout as RGBA."""
    both = np.asarray(Image.open(io.BytesIO(thumbnail.colours)).convert("RGB"))
    alpha = np.asarray(Image.open(io.BytesIO(thumbnail.alpha)).convert("RGBA"))[..., 3]
    half = both.shape[1] // 2
    assert alpha.shape == (both.shape[0], half)
    return both[:, :half], np.dstack([both[:, half:], alpha])


def cut(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha = np.where(pixels.min(-1) < 200, 255, 0).astype(np.uint8)
    rgba = np.dstack([pixels, alpha])
    rgba[alpha == 0] = 0
    return alpha, rgba


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height"), [(800, 600), (601, 1203), (40, 31), (1, 1), (5000, 60), (4001, 3001)]
)
def test_a_thumbnail_has_the_pictures_shape(width: int, height: int) -> None:
    pixels = product(3, width, height)
    alpha, rgba = cut(pixels)
    preview = preview_of(pixels)
    assert max(preview.shape[:2]) == min(SIDE, max(width, height))
    source, cutout = shown(thumbnail_of(preview, alpha, rgba))
    assert source.shape[:2] == preview.shape[:2] == cutout.shape[:2]
    assert abs(float(cutout[..., 3].mean()) - float(alpha.mean())) < 6


def test_a_cutouts_edge_has_its_own_colours_and_not_black() -> None:
    pixels = np.full((600, 800, 3), 250, np.uint8)
    pixels[150:450, 200:600] = (200, 40, 30)
    _, cutout = shown(thumbnail_of(preview_of(pixels), *cut(pixels)))
    edge = cutout[..., 3] > 0
    assert np.abs(cutout[..., :3][edge].astype(int) - (200, 40, 30)).max() < 24


def test_only_a_mask_shows_the_sources_colours() -> None:
    pixels = product(1)
    _, cutout = shown(thumbnail_of(preview_of(pixels), cut(pixels)[0], None))
    assert np.abs(cutout[30, 40, :3].astype(int) - pixels[30, 40]).max() < 12


def test_what_is_transparent_in_a_source_is_previewed_on_white() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    assert (preview_of(pixels) == 255).all()


def test_a_shard_comes_back_as_it_was_and_is_one_call() -> None:
    made = [Thumbnail(b"\x00\xff</script>", b"png"), Thumbnail(b"", b"\n")]
    data = encode_shard("ab12", made)
    assert data.startswith(b'alphabeam.receive("thumbs","ab12",[') and data.endswith(b");\n")
    assert b"</script" not in data
    assert decode_shard(data) == made


# ------------------------------------------------------------------------------------ collecting


def done(number: int, **values: object) -> tuple[Picture, Row]:
    pixels = product(number)
    alpha, rgba = cut(pixels)
    row = Row(
        id=f"r{number}", image="a.jpg", status=DONE, source_sha256=f"{number}", confidence=1.0
    )
    row = row.fingerprinted("local", "m", "s")._replace(**values)
    return Picture(row, alpha=alpha, rgba=rgba, preview=preview_of(pixels)), row


def test_shards_are_put_when_full_and_at_the_bundles_end(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    collected = OpenThumbnails(output)
    made = [done(n, confidence=0.5 if n % 3 == 0 else 0.99) for n in range(60)]
    for picture, row in made:
        collected.add(picture, row)
    assert len(output.thumbnail_shards()) == 1, "40 confident rows fill one shard"
    collected.flush(everything=False)
    assert len(read_index(output).keys) == 32
    collected.flush(everything=True)
    index = read_index(output)
    assert len(index.keys) == 60 and len(output.thumbnail_shards()) == 3
    at = index.find(np.array([key_of(row.fingerprint or "") for _, row in made], np.uint64))
    assert (at >= 0).all()
    doubtful = {int(index.shards[one]) for one in at[::3]}
    assert len(doubtful) == 1, "the doubtful ones are together"
    for (picture, _), one in zip(made, at, strict=True):
        shard = storage.read(output.thumbnails(index.names[index.shards[one]]))
        source, _ = shown(decode_shard(shard)[index.places[one]])
        assert np.abs(source.astype(int) - picture.preview).mean() < 6, "another row's"


def test_the_same_work_has_one_thumbnail(tmp_path: Path) -> None:
    collected = OpenThumbnails(Output(str(tmp_path)))
    picture, row = done(1)
    collected.add(picture, row)
    collected.add(picture, row._replace(id="the same under another name"))
    collected.flush(everything=True)
    assert len(read_index(Output(str(tmp_path))).keys) == 1


def test_a_store_that_refuses_thumbnails_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RowError(ErrorCode.ACCESS_DENIED, "report/thumbs is not writable")

    monkeypatch.setattr(Output, "put", refuse)
    collected = OpenThumbnails(Output(str(tmp_path)))
    with caplog.at_level(logging.WARNING):
        collected.add(*done(1))
        collected.flush(everything=True)
    assert "thumbnails for the report are lost: report/thumbs is not writable" in caplog.text


# ---------------------------------------------------------------------------------------- tidying


def test_tidying_keeps_what_is_needed_and_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)
    output = Output(str(tmp_path))
    made = [done(n) for n in range(12)]
    collected = OpenThumbnails(output)
    for one in made:
        collected.add(*one)
    collected.flush(everything=True)
    output.put(output.thumbnails("of-a-killed-process"), b"")
    keys = np.array([key_of(row.fingerprint or "") for _, row in made], np.uint64)
    assert len(output.thumbnail_shards()) == 4

    tidy(output, read_index(output), keys[:5], "r1")
    index = read_index(output)
    assert (index.find(keys) >= 0).tolist() == [True] * 5 + [False] * 7
    assert len(output.thumbnail_shards()) == 2
    assert [uri.rpartition("/")[2] for uri in index.files] == ["r1-00000.parquet"]

    written = (tmp_path / "ledger/thumbs/r1-00000.parquet").stat().st_mtime_ns
    tidy(output, index, keys[:5], "r2")
    (table,) = (tmp_path / "ledger/thumbs").iterdir()
    assert table.stat().st_mtime_ns == written, "nothing changed, nothing is written"


def test_thin_shards_are_put_together(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    made = [done(n) for n in range(30)]
    for start in range(0, 30, 3):  # ten bundles of three rows
        collected = OpenThumbnails(output)
        for one in made[start : start + 3]:
            collected.add(*one)
        collected.flush(everything=True)
    keys = np.array([key_of(row.fingerprint or "") for _, row in made], np.uint64)
    before = {uri: storage.read(uri) for uri in output.thumbnail_shards()}
    assert len(before) == 10

    live = keys[:25]
    index = gather(output, read_index(output), live)
    tidy(output, index, live, "r1")
    assert len(output.thumbnail_shards()) == 1
    index = read_index(output)
    assert (index.find(keys) >= 0).tolist() == [True] * 25 + [False] * 5
    (shard,) = output.thumbnail_shards()
    pictures = decode_shard(storage.read(shard))
    for (picture, _), at in zip(made, index.find(live), strict=False):
        source, _ = shown(pictures[index.places[at]])
        assert np.abs(source.astype(int) - picture.preview).mean() < 6, "another row's"
    assert gather(output, index, live) is index, "once is enough"


def test_a_shard_that_is_gone_is_not_listed(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    collected = OpenThumbnails(output)
    collected.add(*done(1))
    collected.flush(everything=True)
    (shard,) = output.thumbnail_shards()
    output.delete([shard])
    assert not len(read_index(output).keys)


def test_an_output_without_thumbnails_has_an_empty_index(tmp_path: Path) -> None:
    index = read_index(Output(str(tmp_path)))
    assert index.find(np.array([1], np.uint64)).tolist() == [-1]
    tidy(Output(str(tmp_path)), index, np.empty(0, np.uint64), "r1")


# ----------------------------------------------------------------------------------------- a job


def test_a_job_makes_a_thumbnail_for_each_row_once(filled_shop: FillShop) -> None:
    shop = filled_shop(5)
    (shop.folder / "images/p4.png").unlink()
    output = Output(str(shop.out))
    assert shop.run() == 3
    first = {uri: storage.read(uri) for uri in output.thumbnail_shards()}
    keys = [key_of(row["fingerprint"]) for row in shop.rows().values() if row["status"] == DONE]
    index = read_index(output)
    assert set(index.keys.tolist()) == set(keys) and len(keys) == 4

    assert shop.run() == 3, "all is finished: nothing is made again"
    assert {uri: storage.read(uri) for uri in output.thumbnail_shards()} == first
    assert not {"preview", "thumbnail"} & set(SCHEMA.names)


def test_a_job_without_a_report_makes_none(filled_shop: FillShop) -> None:
    shop = filled_shop(2, output={"report": False})
    assert shop.run() == 0
    assert not (shop.out / "report").exists() and not (shop.out / "ledger/thumbs").exists()
