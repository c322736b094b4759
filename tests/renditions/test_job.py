"""Renditions in a job: written, recorded, made again only where they must be."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.output import Output
from alphabeam.transforms.renditions.plan import Renditions, collisions
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.rows import Row
from tests.conftest import Shop, encoded, product
from tests.matting.scenes import Constant

FillShop = Callable[..., Shop]
FRONT = {"name": "front", "canvas": 64, "fill": 0.8, "upscale": 4}
THUMB = {"name": "thumb", "canvas": 32, "format": "webp", "background": "transparent"}


def with_renditions(shop: Shop, *renditions: dict[str, Any], **output: Any) -> Shop:
    shop.write_job(output={"renditions": [*renditions], **output})
    return shop


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what the core mattes."""
    calls: list[int] = []
    real = MattingCore.remove

    def remove(self: MattingCore, *arguments: Any) -> Any:
        calls.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(MattingCore, "remove", remove)
    return calls


def test_one_matting_and_two_renditions(filled_shop: FillShop, counted: list[int]) -> None:
    shop = with_renditions(filled_shop(3), FRONT, THUMB)
    assert shop.run() == 0
    assert len(counted) == 3
    for id, row in shop.rows().items():
        front, thumb = row["renditions"]
        assert (front["name"], front["uri"]) == ("front", f"renditions/front/{id}.jpg")
        assert (thumb["width"], thumb["uri"]) == (32, f"renditions/thumb/{id}.webp")
        for made in (front, thumb):
            data = (shop.out / made["uri"]).read_bytes()
            assert len(data) == made["bytes"] and made["run_id"] == row["run_id"]
            assert Image.open(io.BytesIO(data)).size == (made["width"], made["height"])
        pixels = np.asarray(Image.open(shop.out / front["uri"]))
        assert (pixels[0] == 255).all()
        left, top, right, bottom = front["box"]
        assert abs(max(right - left, bottom - top) - 51) <= 1
        assert front["scale"] <= 4 and ("upscaled" in row["flags"]) == (front["scale"] > 1)


def test_without_the_setting_outputs_are_what_they_were(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    assert shop.run() == 0
    plain = shop.files("cutouts", "masks")
    assert [row["renditions"] for row in shop.rows().values()] == [[], []]
    assert not (shop.out / "renditions").exists()
    with_renditions(shop, FRONT)
    assert shop.run("--fresh") == 0
    assert shop.files("cutouts", "masks") == plain


def test_another_rendition_over_finished_rows_mattes_nothing(
    filled_shop: FillShop, counted: list[int]
) -> None:
    shop = with_renditions(filled_shop(4), FRONT)
    assert shop.run() == 0
    before = shop.rows()
    counted.clear()
    with_renditions(shop, FRONT, THUMB)
    assert shop.run() == 0
    assert counted == []
    after = shop.rows()
    for id, row in after.items():
        assert row["run_id"] == before[id]["run_id"]
        assert row["fingerprint"] == before[id]["fingerprint"]
        assert row["renditions"][0] == before[id]["renditions"][0], "the first is not made again"
        assert (shop.out / row["renditions"][1]["uri"]).exists()
    # What is made from the stored cutout is what would be made with it.
    stored = shop.files("renditions")
    assert shop.run("--fresh") == 0
    assert shop.files("renditions") == stored


def test_a_night_without_changes_writes_nothing_anew(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = with_renditions(filled_shop(3), FRONT, THUMB)
    assert shop.run() == 0
    times = {p: p.stat().st_mtime_ns for p in (shop.out / "renditions").rglob("*") if p.is_file()}
    before = shop.rows()
    assert shop.run() == 0
    assert shop.rows() == before
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_changed_settings_damaged_and_lost_files_are_made_again(
    filled_shop: FillShop, counted: list[int]
) -> None:
    shop = with_renditions(filled_shop(3), FRONT, THUMB)
    assert shop.run() == 0
    counted.clear()
    rows = list(shop.rows().values())
    first, second = (shop.out / row["renditions"][0]["uri"] for row in rows[:2])
    first.unlink()
    second.write_bytes(b"cut")
    with_renditions(shop, FRONT, {**THUMB, "canvas": 16})
    assert shop.run() == 0
    assert counted == []
    after = list(shop.rows().values())
    assert [row["renditions"][1]["width"] for row in after] == [16, 16, 16]
    made = [row["renditions"][0]["run_id"] for row in after]
    assert made[0] == made[1] != rows[0]["run_id"] and made[2] == rows[2]["run_id"]
    assert first.stat().st_size == after[0]["renditions"][0]["bytes"]


def test_rows_choose_their_renditions_and_margins(shop: Shop) -> None:
    shop.manifest(
        "id,image,renditions,rendition_margin\n"
        f"a,{shop.picture('a.png', 1)},,\n"
        f"b,{shop.picture('b.png', 2)},thumb,\n"
        f"c,{shop.picture('c.png', 3)},none,\n"
        f"d,{shop.picture('d.png', 4)},front,8 16\n"
        f"e,{shop.picture('e.png', 5)},back,\n"
        f"f,{shop.picture('f.png', 6)},front,wide\n"
    )
    with_renditions(shop, FRONT, THUMB)
    assert shop.run() == 3
    rows = shop.rows()
    names = {id: [made["name"] for made in row["renditions"]] for id, row in rows.items()}
    assert names == {
        "a": ["front", "thumb"], "b": ["thumb"], "c": [], "d": ["front"], "e": [], "f": [],
    }  # fmt: skip
    left, _, right, _ = rows["d"]["renditions"][0]["box"]
    assert (left, right) == (16, 48)
    for id, said in (("e", "the job has no rendition 'back'"), ("f", "margin: 'wide'")):
        assert rows[id]["error_code"] == "invalid_parameter" and said in rows[id]["error_message"]
        assert rows[id]["attempts"] == 0


def test_files_that_would_have_one_name_fail_before_anything_is_matted(
    shop: Shop, counted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    shop.manifest(
        "id,image,sku\n"
        f"a,{shop.picture('a.png', 1)},S1\n"
        f"b,{shop.picture('b.png', 2)},s1\n"
        f"c,{shop.picture('c.png', 3)},S2\n"
        f"d,{shop.picture('d.png', 4)},\n"
    )
    with_renditions(shop, {**FRONT, "file": "{sku}"})
    assert shop.run("--check") == 1
    said = capsys.readouterr().out
    assert "1 names of renditions' files are given by several rows" in said
    assert "duplicate_name: line 2: rendition front: another file has the name" in said
    counted.clear()
    assert shop.run() == 3
    rows = shop.rows()
    assert {id: row["error_code"] for id, row in rows.items()} == {
        "a": "duplicate_name", "b": "duplicate_name", "c": None, "d": "invalid_parameter",
    }  # fmt: skip
    assert len(counted) == 1
    assert rows["c"]["renditions"][0]["uri"] == "renditions/front/S2.jpg"


def test_a_rendition_that_fails_costs_no_row_and_is_tried_again(
    filled_shop: FillShop, counted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = with_renditions(
        filled_shop(2), FRONT, {**FRONT, "name": "small", "canvas": 640, "max_bytes": 1000}
    )
    assert shop.run() == 3
    assert "2 done rows lack a rendition" in capsys.readouterr().out
    for row in shop.rows().values():
        assert row["status"] == "done" and "rendition_failed" in row["flags"]
        assert row["renditions"][0]["error"] == ""
        assert "at its lowest quality, over 1000" in row["renditions"][1]["error"]
    counted.clear()
    with_renditions(shop, FRONT, {**FRONT, "name": "small", "canvas": 640, "max_bytes": 50_000})
    assert shop.run() == 0
    assert counted == []
    for row in shop.rows().values():
        assert "rendition_failed" not in row["flags"]
        assert row["renditions"][1]["bytes"] > 0


def test_a_picture_of_nothing_has_nothing_to_show_and_that_is_no_failure(
    filled_shop: FillShop, counted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = with_renditions(filled_shop(1), FRONT)
    shop.picture("images/p0.png", data=encoded(np.full((60, 80, 3), 250, np.uint8)))
    assert shop.run() == 0
    (row,) = shop.rows().values()
    assert "empty" in row["flags"] and "rendition_failed" not in row["flags"]
    assert row["renditions"] == []
    counted.clear()
    assert shop.run() == 0
    assert counted == [] and "1 of them by an earlier run" in capsys.readouterr().out


def test_a_store_that_refuses_a_rendition_loses_no_matting(
    filled_shop: FillShop, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = with_renditions(filled_shop(2), FRONT)
    real = Output.put

    def put(self: Output, uri: str, data: bytes) -> None:
        if "/renditions/" in uri:
            raise RowError(ErrorCode.NO_SPACE, "there is no space for it")
        real(self, uri, data)

    with monkeypatch.context() as patch:
        patch.setattr(Output, "put", put)
        assert shop.run() == 3
    assert [row["renditions"][0]["error"] for row in shop.rows().values()] == [
        "there is no space for it"
    ] * 2
    assert len(counted) == 2
    assert shop.run() == 0
    assert len(counted) == 2


def test_a_bad_night_keeps_what_was_made(filled_shop: FillShop) -> None:
    shop = with_renditions(filled_shop(2), FRONT)
    assert shop.run() == 0
    good = shop.rows()
    (shop.folder / "images").rename(shop.folder / "away")
    assert shop.run() == 3
    for id, row in shop.rows().items():
        assert row["status"] == "failed" and row["renditions"] == good[id]["renditions"]
    (shop.folder / "away").rename(shop.folder / "images")
    assert shop.run() == 0
    assert shop.rows() == good


def test_a_moved_picture_gets_its_renditions_under_its_new_name(
    filled_shop: FillShop, counted: list[int]
) -> None:
    shop = with_renditions(filled_shop(2), FRONT)
    assert shop.run() == 0
    counted.clear()
    (shop.folder / "images").rename(shop.folder / "photos")
    shop.manifest((shop.folder / "manifest.csv").read_text().replace("images/", "photos/"))
    assert shop.run("--prune") == 0
    assert counted == []
    for id, row in shop.rows().items():
        assert row["renditions"][0]["uri"] == f"renditions/front/{id}.jpg"
    files = [p for p in (shop.out / "renditions").rglob("*") if p.is_file()]
    assert len(files) == 2, "those of the rows that are gone were pruned"


def test_backgrounds_are_images_of_any_store(filled_shop: FillShop, counted: list[int]) -> None:
    shop = filled_shop(1)
    marble = np.full((40, 40, 3), (10, 200, 90), np.uint8)
    Image.fromarray(marble).save(shop.folder / "marble.png")
    with_renditions(shop, {**FRONT, "background": "marble.png", "quality": 100})
    assert shop.run() == 0
    (row,) = shop.rows().values()
    corner = np.asarray(Image.open(shop.out / row["renditions"][0]["uri"]))[0, 0]
    assert np.abs(corner.astype(int) - (10, 200, 90)).max() <= 2
    counted.clear()
    Image.fromarray(255 - marble).save(shop.folder / "marble.png")
    assert shop.run() == 0
    (again,) = shop.rows().values()
    assert again["renditions"][0]["key"] != row["renditions"][0]["key"] and counted == []
    (shop.folder / "marble.png").unlink()
    assert shop.run() == 1


def test_masks_and_kept_shadows(filled_shop: FillShop, capsys: pytest.CaptureFixture[str]) -> None:
    shop = filled_shop(1)
    mask = {"name": "mask", "content": "mask", "canvas": "source", "format": "png"}
    shop.write_job(output={"renditions": [mask]}, matting={"only_mask": True})
    assert shop.run() == 0
    (row,) = shop.rows().values()
    assert row["cutout"] is None
    made = np.asarray(Image.open(shop.out / row["renditions"][0]["uri"]))
    assert (made == np.asarray(Image.open(shop.out / row["mask"]))).all()
    shop.write_job(output={"renditions": [FRONT]}, matting={"keep_shadow": True})
    capsys.readouterr()
    assert shop.run() == 1  # no row could have it: said before anything is done
    (line,) = capsys.readouterr().err.splitlines()
    assert "output.renditions.0 (front): matting.keep_shadow is on" in line
    assert "say shadow: keep, or make this rendition by a second job" in line
    (name,) = shop.rows()
    shop.manifest(f"image,keep_shadow\n{name}.png,yes\n")  # its row says it, and fails by itself
    assert shop.run() == 3
    (row,) = shop.rows().values()
    assert "say shadow: keep" in row["error_message"]
    shop.write_job(
        output={"renditions": [{**FRONT, "shadow": "keep"}]}, matting={"keep_shadow": True}
    )
    assert shop.run() == 0


@pytest.mark.slow
def test_a_channel_over_a_finished_output_of_500_rows_mattes_nothing(
    filled_shop: FillShop, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    matte = MattingCore(Constant(np.ones((6, 8), np.float32))).remove(product())
    counted.clear()

    def the_same(self: MattingCore, *arguments: Any) -> Any:
        counted.append(1)
        return matte

    monkeypatch.setattr(MattingCore, "remove", the_same)
    shop = filled_shop(500)
    assert shop.run() == 0
    assert len(counted) == 500
    counted.clear()
    with_renditions(shop, FRONT)
    assert shop.run() == 0
    assert counted == []
    rows = shop.rows()
    assert len(rows) == 500
    assert all(len(row["renditions"]) == 1 and row["renditions"][0]["uri"] for row in rows.values())
    assert len(list((shop.out / "renditions/front").rglob("*.jpg"))) == 500


def test_collisions_are_found_whatever_the_letter_case() -> None:
    renditions = Renditions((Rendition(name="a", file="{sku}"),))
    rows = [Row(id=id, image="i", extra={"sku": sku}) for id, sku in ("1A", "2a", "3b", "4 ")]
    taken = collisions(rows, renditions)
    assert len(taken) == 1
    assert collisions(rows, Renditions((Rendition(name="a"),))) == frozenset()


def test_what_cannot_be_named_is_not_counted_as_to_be_bought(shop: Shop) -> None:
    from alphabeam.pipelines.catalogue import backend_of
    from alphabeam.pipelines.check import rows_to_submit
    from alphabeam.pipelines.job_file import load_job
    from alphabeam.transforms.backends.picpik import PicpikBackend

    shop.manifest(
        "id,image,sku\n"
        f"a,{shop.picture('a.png', 1)},S1\n"
        f"b,{shop.picture('b.png', 2)},\n"
        f"c,{shop.picture('c.png', 3)},S1\n"
        f"d,{shop.picture('d.png', 4)},S2\n"
    )
    with_renditions(shop, {**FRONT, "file": "{sku}"})
    text = shop.job.read_text().replace(f"model: {shop.model}", "kind: picpik")
    shop.job.write_text(text)
    job = load_job(str(shop.job))
    backend = backend_of(job)
    assert isinstance(backend, PicpikBackend)
    assert rows_to_submit(job, backend).most == 1
