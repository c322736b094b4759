"""Contact sheets: what is on them, in which order, and where they go."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from alphabeam.pipelines.command import main
from alphabeam.pipelines.report import sheet
from alphabeam.transforms.output import Output
from tests.conftest import Shop, product

FillShop = Callable[..., Shop]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are drawn."""
    drawn: list[str] = []
    real = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, place: object, words: str, *args: object, **more: object):  # type: ignore[no-untyped-def]
        drawn.append(words)
        return real(self, place, words, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return drawn


def test_sheets_show_source_and_result_the_worst_first(
    filled_shop: FillShop, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(20)
    (shop.folder / "images/p7.png").unlink()
    assert shop.run() == 3
    capsys.readouterr()
    assert main(["sheet", str(shop.out), "--background", "#ff0000"]) == 0
    written = capsys.readouterr().out.split()
    assert written == [f"{shop.out}/report/sheets/sheet-00{n}.png" for n in (1, 2)]
    ids = [text for text in texts if text.startswith("images/p")]
    assert len(ids) == 20 and ids[0] == "images/p7", "what failed comes first"
    assert "not found" in texts and "job" in texts
    assert any(text.endswith("page 2 of 2") for text in texts)

    page = np.asarray(Image.open(written[0]))
    assert page.shape == (1240, 1754, 3)
    width = (1754 - 2 * 48 - 3 * 18) // 4
    left, top, height = 48 + width + 18, 92, (1240 - 92 - 24) // 4 - 46 - 18
    subject = product(int(ids[1].rpartition("p")[2]))[30, 40]
    for share in (0.25, 0.75):  # the middle of the source and of the result
        found = page[top + height // 2, left + int(share * width)]
        assert np.abs(found.astype(int) - subject).max() < 20
    assert page[top + 3, left + int(0.75 * width)].tolist() == [255, 0, 0]


def test_the_order_of_the_manifest_and_a_flag(
    filled_shop: FillShop, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(4)
    assert shop.run() == 0
    assert main(["sheet", str(shop.out), "--order", "line", "--most", "3"]) == 0
    assert [t for t in texts if t.startswith("images/")] == [f"images/p{n}" for n in range(3)]
    texts.clear()
    assert main(["sheet", str(shop.out), "--flag", "emty"]) == 1
    assert "no result has the flag emty; the flags that occur: " in capsys.readouterr().err
    assert not texts, "and nothing is written"


def test_a_folder_below_the_working_directory(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = filled_shop(1)
    assert shop.run() == 0
    monkeypatch.chdir(shop.folder)
    assert main(["report", "out"]) == 0
    assert main(["sheet", "./out/"]) == 0
    assert (shop.out / "report/sheets/sheet-001.png").is_file()


def test_one_pdf_in_any_place(filled_shop: FillShop, tmp_path: Path) -> None:
    shop = filled_shop(18)
    assert shop.run() == 0
    place = tmp_path / "paper/all.pdf"
    assert main(["sheet", str(shop.job), "--to", str(place)]) == 0
    data = place.read_bytes()
    assert data.startswith(b"%PDF")
    assert re.findall(rb"/Count (\d+)", data)[-1] == b"2"
    assert not (shop.out / "report/sheets").exists()


def test_without_thumbnails_cutouts_are_decoded(filled_shop: FillShop) -> None:
    shop = filled_shop(1, output={"report": False})
    assert shop.run() == 0
    (page,) = sheet.write_sheets(Output(str(shop.out)))
    data = io.BytesIO(Path(page).read_bytes())
    middle = np.asarray(Image.open(data))[92 + 100, 48 + int(0.75 * 401)]
    assert np.abs(middle.astype(int) - product(0)[30, 40]).max() < 20


def test_long_and_strange_ids_are_cut(filled_shop: FillShop, texts: list[str]) -> None:
    shop = filled_shop(1)
    name = "x" * 300 + "\n\tÄ日本"
    shop.manifest(f'image,id\nimages/p0.png,"{name}"\n')
    assert shop.run() == 0
    assert main(["sheet", str(shop.out)]) == 0
    assert any(text.startswith("xxx") and text.endswith("...") for text in texts)


@pytest.mark.parametrize("wrong", [["--most", "0"], ["--background", "reddish"], ["--order", "x"]])
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sheet", "nowhere", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_what_is_no_output_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.json").write_text("[]")
    assert main(["sheet", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"run.py sheet: {tmp_path}: summary.json is not one that a job wrote")
    assert said.count("\n") == 1
