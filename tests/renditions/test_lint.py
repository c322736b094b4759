"""``run.py lint`` and ``run.py presets``, on outputs and on anybody's folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from alphabeam.pipelines.command import main
from alphabeam.transforms.renditions import preset_names
from tests.conftest import Shop
from tests.renditions.wrong import packshot, saved, wrong_files

FillShop = Callable[..., Shop]


@pytest.mark.slow
def test_a_folder_of_anybodys_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good.jpg").write_bytes(saved(packshot()))
    (tmp_path / "notes.txt").write_text("no picture")
    chosen = [one for one in wrong_files() if one.name == "a.jpg"][:12]
    for number, one in enumerate(chosen):
        (tmp_path / "sub" / f"{number:02}.jpg").write_bytes(one.data)
    table = tmp_path / "found.parquet"
    status = main(["lint", str(tmp_path), "--preset", "amazon-main", "--parquet", str(table)])
    assert status == 3
    said = capsys.readouterr().out
    for number, one in enumerate(chosen):
        assert any(
            line.startswith(f"sub/{number:02}.jpg: {one.rule}: ") for line in said.splitlines()
        ), one.kind
    assert "good.jpg" not in said
    assert said.splitlines()[-1].startswith("13 files: ") and " in 12 of them" in said
    found = pq.read_table(table)
    assert found.num_rows == len(said.splitlines()) - 1
    assert {row["file"] for row in found.to_pylist()} == {f"sub/{n:02}.jpg" for n in range(12)}
    assert all(row["source"] and row["wanted"] for row in found.to_pylist())
    assert found.schema.field("fill").metadata[b"meaning"]


def test_what_is_right_has_status_0_and_an_empty_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.jpg").write_bytes(saved(packshot()))
    table = tmp_path / "out" / "found.parquet"
    where = str(tmp_path)
    assert main(["lint", where, "--preset", "amazon-main", "--parquet", str(table)]) == 0
    assert capsys.readouterr().out == "1 files: 0 violations in 0 of them\n"
    assert pq.read_table(table).num_rows == 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--preset", "amazn"], "preset: there is no 'amazn'"),
        ([], "say whose rules: --preset, one of allegro"),
        (["--preset", "ebay"], "there are no pictures in it"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["lint", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_output_is_linted_by_its_own_presets(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(2)
    small = {"preset": "amazon-main", "upscale": 8, "max_side": 400, "min_side": 400}
    plain = {"name": "plain", "canvas": 100}
    shop.write_job(output={"renditions": [small, plain, {"preset": "ebay", "upscale": 8}]})
    assert shop.run() == 0
    for row in shop.rows().values():
        amazon, _, ebay = row["renditions"]
        assert [one.split(":")[0] for one in amazon["violations"]] == ["longest_min"]
        assert ebay["violations"] == []
        assert "breaks_preset" in row["flags"]
    capsys.readouterr()
    assert main(["lint", str(shop.out)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("4 files: 2 violations in 2 of them")
    assert said[0].startswith("renditions/amazon-main/images/p0.jpg: longest_min: 400 pixels")
    assert main(["lint", str(shop.job), "--preset", "ebay"]) == 0
    assert "2 files: 0 violations" in capsys.readouterr().out
    assert main(["lint", str(shop.out), "--preset", "zalando"]) == 2
    assert "has no rendition of the preset zalando" in capsys.readouterr().err
    next((shop.out / "renditions/ebay").rglob("*.jpg")).unlink()
    assert main(["lint", str(shop.out), "--preset", "ebay"]) == 3
    assert "readable: " in capsys.readouterr().out


def test_a_small_source_does_not_fill_its_preset_and_is_told(filled_shop: FillShop) -> None:
    shop = filled_shop(1)
    shop.write_job(output={"renditions": [{"preset": "amazon-main", "upscale": "never"}]})
    assert shop.run() == 0
    (row,) = shop.rows().values()
    assert "does_not_fill_preset" in row["flags"] and row["status"] == "done"


def test_presets_are_listed_with_what_each_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    said = capsys.readouterr().out
    for name in preset_names():
        assert f"{name} " in said
    assert "fill_min 0.85" in said
    assert main(["presets", "walmart"]) == 0
    said = capsys.readouterr().out
    assert "width and height, pixels: 2200, 2200" in said
    assert "https://marketplacelearn.walmart.com" in said and "read on 2026-11-26" in said
    assert "recommends  the file's name without extension: [0-9]{14}" in said
    assert main(["presets", "amazn"]) == 2
