"""Whole jobs over Parquet files that hold the pictures themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.picpik.emulator import running_emulator
from alphabeam.transforms.storage import parquet
from tests.conftest import Shop, encoded, product
from tests.picpik_jobs import PicpikShop

pytestmark = pytest.mark.slow

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(shop: Shop, name: str, pictures: list[Any], **options: Any) -> None:
    pq.write_table(pa.table({"image": pa.array(pictures, PICTURE)}), shop.folder / name, **options)


def of(seed: int, path: str | None = "") -> dict[str, Any]:
    return {"bytes": encoded(product(seed)), "path": f"{seed}.png" if path == "" else path}


def test_a_job_over_pictures_of_every_kind(shop: Shop) -> None:
    shop.picture("photos/b.png", 50)
    damaged = encoded(product(9))[:-40]
    pictures = [
        *(of(0), of(1), of(2, None), {"bytes": None, "path": "photos/b.png"}),
        *({"bytes": damaged, "path": "broken.png"}, {"bytes": None, "path": None}),
        *(of(0, "same.png"), {"bytes": b"no picture", "path": "c.png"}),
        *({"bytes": None, "path": "gone.png"}, of(3)),
    ]
    write(shop, "part-0.parquet", pictures[:7], row_group_size=4)
    write(shop, "part-1.parquet", pictures[7:])
    shop.write_job("part-*.parquet")
    assert shop.run() == 3
    rows = shop.rows()
    good = {"0", "1", "part-0-3", "photos/b", "same", "3"}
    assert {id for id, row in rows.items() if row["status"] == "done"} == good
    assert {id: row["error_code"] for id, row in rows.items() if id not in good} == {
        "broken": "truncated_image",
        "line-6": "manifest_row",
        "c": "not_an_image",
        "gone": "not_found",
    }
    for id, row in rows.items():
        assert id not in good or (shop.out / row["cutout"]).is_file()
    assert rows["1"]["source_sha256"] == hashlib.sha256(pictures[1]["bytes"]).hexdigest()
    assert rows["1"]["image"].startswith("parquet://image/2/1.png?version=")
    assert rows["same"]["fingerprint"] == rows["0"]["fingerprint"]


def test_the_next_night_reads_no_picture(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop, "m.parquet", [of(n) for n in range(6)], row_group_size=3)
    shop.write_job("m.parquet")
    assert shop.run() == 0
    first = shop.rows()

    def refuse(self: Any) -> None:
        raise AssertionError("a picture is read")

    monkeypatch.setattr(parquet, "_kept", parquet._Kept())
    monkeypatch.setattr(parquet._Group, "_take", refuse)
    assert shop.run() == 0
    again = shop.rows()
    assert len(again) == 6 and all(row["status"] == "done" for row in again.values())
    for id, row in again.items():
        assert row["finished_at"] == first[id]["finished_at"], "it was not done again"


def test_the_same_pictures_in_a_file_written_anew_are_done_once(shop: Shop) -> None:
    write(shop, "m.parquet", [of(n) for n in range(6)], row_group_size=3)
    shop.write_job("m.parquet")
    assert shop.run() == 0
    first = shop.rows()
    order = [of(n) for n in (5, 0, 1, 2, 3, 4, 6)]
    write(shop, "m.parquet", order, row_group_size=2, compression="zstd")
    assert shop.run() == 0
    again = shop.rows()
    assert sorted(again) == list("0123456")
    for id, row in first.items():
        assert again[id]["finished_at"] == row["finished_at"], "it was not done again"
        assert again[id]["image"] != row["image"] and again[id]["cutout"] == row["cutout"]


def test_picpik_buys_each_picture_once(tmp_path: Path) -> None:
    with running_emulator() as emulator:
        shop = PicpikShop(tmp_path, emulator)
        shop.job.write_text(shop.job.read_text().replace("manifest.csv", "m.parquet"))
        pictures = [*(of(n) for n in range(4)), of(0, "again.png")]
        write(shop, "m.parquet", pictures, row_group_size=2)
        assert shop.run("--yes") == 0
        assert emulator.billed == 4 and len(shop.rows()) == 5
        assert shop.run("--yes") == 0
        write(shop, "m.parquet", [*pictures[::-1], of(7)])
        assert shop.run("--yes") == 0
        assert emulator.billed == 5 and len(shop.rows()) == 6
        assert {row["status"] for row in shop.rows().values()} == {"done"}
