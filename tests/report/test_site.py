"""What is written into ``report/``: the pages, the rows, and nothing that does not belong there."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphabeam.pipelines.command import main
from alphabeam.pipelines.report import data, listing, site, write_report
from alphabeam.pipelines.report.links import link_between
from alphabeam.transforms import lease, storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata import encode_table, table_from_rows
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now
from tests.conftest import Shop

FillShop = Callable[..., Shop]
SITE = Path(site.__file__).parent / "pages"
HOSTILE = """"><img src=x onerror=window.hacked=1></script><script>hacked=1</script>\u2028'"""


def received(path: Path) -> Any:
    """What a script of the data hands over."""
    found = re.fullmatch(rb"alphabeam\.receive\((.*)\);\n", path.read_bytes(), re.DOTALL)
    assert found
    return json.loads(b"[%s]" % found[1])[2]


def summary(out: Path) -> Any:
    return received(out / "report/data/summary.js")


def rows(out: Path) -> dict[str, list[Any]]:
    """The first chunk of the rows."""
    return received(out / "report" / summary(out)["folder"] / "rows-0000.js")


def details(out: Path) -> dict[str, dict[str, Any]]:
    folder = out / "report" / summary(out)["folder"]
    return dict(zip(rows(out)["id"], received(folder / "details-0000.js"), strict=True))


# ----------------------------------------------------------------------------------------- a job


def test_a_job_ends_with_a_report(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(3)
    with (shop.folder / "manifest.csv").open("a") as file:
        file.write("nowhere.png,S9\n")
    assert shop.run() == 3
    page = shop.out / "report/index.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"  report     {page}"
    assert json.loads((shop.out / "summary.json").read_text())["outputs"]["report"] == str(page)

    told, table = summary(shop.out), rows(shop.out)
    assert (told["rows"], told["done"], told["failed"], told["listed"]) == (4, 3, 1, 4)
    assert told["errors"] == {"not_found": 1} and sum(told["confidences"]) == 3
    assert [*told["backends"].values()] == [3]
    (column,) = told["columns"]
    assert column["name"] == "sku" and set(column["values"]) == {"S0", "S1", "S2", "S9"}
    assert "metrics" not in told and "outputs" not in told
    assert table["id"][0] == "nowhere" and table["done"] == [0, 1, 1, 1], "failed ones come first"
    assert table["error"][0] == "not_found" and not any(table["error"][1:])
    assert table["size"] == [[None, None]] + [[80, 60]] * 3
    known = details(shop.out)
    assert known["nowhere"]["error_message"].count("No such file") == 1
    for id, one in known.items():
        if id == "nowhere":
            assert "cutout" not in one
            continue
        for name in ("source", "cutout", "mask"):
            assert (shop.out / "report" / one[name]).resolve().is_file(), name
        assert one["image"] == str(shop.folder / f"{id}.png") and one["own"]["sku"]
        assert "parameters" not in one, "only what differs from the job's"
    shards = set(told["shards"])
    assert {path.stem for path in (shop.out / "report/thumbs").iterdir()} == shards
    assert all(0 <= shard < len(shards) for shard, _ in filter(None, table["thumb"]))
    assert table["thumb"][0] == 0 and all(table["thumb"][1:])


def test_every_page_and_script_that_is_named_is_there(filled_shop: FillShop) -> None:
    shop = filled_shop(1)
    assert shop.run() == 0
    page = (shop.out / "report/index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(named) > 10
    for name in named:
        assert name == "data:," or (shop.out / "report" / name).is_file(), name


def test_the_next_run_replaces_the_data_and_keeps_the_thumbnails(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    assert shop.run() == 0
    first, shards = summary(shop.out), sorted((shop.out / "report/thumbs").iterdir())
    assert shop.run() == 0
    second = summary(shop.out)
    assert second["folder"] != first["folder"] and second["shards"] == first["shards"]
    assert sorted((shop.out / "report/thumbs").iterdir()) == shards
    data_folders = [p for p in (shop.out / "report/data").iterdir() if [*p.glob("*")]]
    assert [path.name for path in data_folders] == [second["run_id"]]
    assert rows(shop.out)["now"] == [0, 0] and all(rows(shop.out)["thumb"])

    assert shop.run("--fresh") == 0
    third = summary(shop.out)
    assert set(rows(shop.out)["now"]) == {1} and all(rows(shop.out)["thumb"])
    assert {path.stem for path in (shop.out / "report/thumbs").iterdir()} <= set(third["shards"])


def test_rows_with_other_parameters_say_so(shop: Shop) -> None:
    shop.picture("a.png")
    shop.picture("b.png", 1)
    shop.manifest("image,erode_size,keep_shadow\na.png,7,yes\nb.png,,\n")
    shop.write_job(matting={"erode_size": 9})
    assert shop.run() == 0
    known = details(shop.out)
    assert known["a"]["parameters"] == {"erode_size": 7, "keep_shadow": True}
    assert "parameters" not in known["b"]
    settings = {one["name"]: one for one in summary(shop.out)["settings"]}
    assert settings["erode_size"]["default"] == 9 and settings["erode_size"]["high"] == 40
    assert settings["hair_optimization"]["choices"] == ["auto", "on", "off"]


def test_renditions_are_linked(filled_shop: FillShop) -> None:
    front = {"name": "front", "canvas": 64}
    shop = filled_shop(1, output={"renditions": [front]})
    assert shop.run() == 0
    ((id, known),) = details(shop.out).items()
    (made,) = known["renditions"]
    assert made["name"] == "front" and made["link"] == f"../renditions/front/{id}.jpg"


def test_a_report_in_another_store(shop: Shop) -> None:
    import fsspec

    from tests.conftest import encoded, product

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/report-test/in/a b#.png", encoded(product(1)))
    memory.pipe_file("/report-test/in/m.csv", b"image\na b#.png\n")
    shop.write_job(
        "memory://report-test/in/m.csv", output={"directory": "memory://report-test/out"}
    )
    assert shop.run() == 0
    (uri,) = [u for u in memory.find("/report-test/out/report/data") if "details" in u]
    text = memory.cat_file(uri).decode()
    assert '"source":"../../in/a%20b%23.png"' in text
    assert memory.cat_file("/report-test/out/report/index.html").startswith(b"<!doctype html>")


def test_a_report_that_cannot_be_written_costs_one_line(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def broken(*_: Any) -> None:
        raise RowError(ErrorCode.NO_SPACE, "out/report/app.js: the disk is full")

    monkeypatch.setattr(site, "read_listing", broken)
    shop = filled_shop(2)
    with caplog.at_level(logging.WARNING):
        assert shop.run() == 0
    (said,) = [r.getMessage() for r in caplog.records if "report" in r.getMessage()]
    assert said.startswith("the report could not be written") and said.endswith("the disk is full")
    assert "report" not in json.loads((shop.out / "summary.json").read_text())["outputs"]
    assert "  report " not in capsys.readouterr().out


def test_no_secret_of_a_row_is_in_the_report(shop: Shop) -> None:
    signed = "http://127.0.0.1:9/a.jpg?X-Amz-Signature=hush-hush"
    shop.manifest(f"image,page\n{signed},https://me:hush-hush@shop.example/p?token=hush-hush\n")
    shop.write_job()
    assert shop.run() == 3
    everything = b"".join(p.read_bytes() for p in (shop.out / "report").rglob("*") if p.is_file())
    assert b"127.0.0.1:9/a.jpg" in everything and b"hush" not in everything


# -------------------------------------------------------------------------------- run.py report


def test_the_report_can_be_written_again(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(2, output={"report": False})
    assert shop.run() == 0
    assert not (shop.out / "report").exists()
    capsys.readouterr()
    assert main(["report", str(shop.out)]) == 0
    assert capsys.readouterr().out == f"{shop.out}/report/index.html\n"
    assert rows(shop.out)["thumb"] == [0, 0], "there are no thumbnails; the page shows the files"
    assert main(["report", str(shop.job)]) == 0
    assert shop.run() == 0, "the lease was given back"


def test_what_is_no_output_is_said_in_one_line(
    tmp_path: Path, filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "nothing")]) == 1
    said = capsys.readouterr().err
    assert "there is no summary.json" in said and said.count("\n") == 1
    shop = filled_shop(1)
    assert shop.run() == 0
    capsys.readouterr()
    with lease.held(Output(str(shop.out)), "another"):
        assert main(["report", str(shop.out)]) == 1
    assert "another" in capsys.readouterr().err


# ------------------------------------------------------------------------------ rows and scripts


def done(number: int, **values: Any) -> Row:
    row = Row(id=f"i{number}", image=f"/p/{number}.jpg", line=number, status=DONE, run_id="r1",
              source_sha256=f"{number}", finished_at=now())  # fmt: skip
    return row.fingerprinted("local", "m", "s")._replace(**values)


def committed(folder: Path, given: list[Row]) -> tuple[Output, dict[str, Any]]:
    output = Output(str(folder))
    output.put(output.part("r1", 0), encode_table(table_from_rows(given)))
    output.put(output.marker("r1"), b"{}")
    return output, {"run_id": "r1", "job": "j", "rows": len(given)}


def test_the_worst_come_first() -> None:
    given = [
        done(1, confidence=0.97),
        done(2, confidence=0.95, flags=("own_alpha", "sent_jpeg")),
        done(3, confidence=0.99, flags=("touches_border",)),
        done(4, confidence=0.99, flags=("touches_border", "very_soft")),
        Row(id="i5", image="x", line=5).failed("read", RowError(ErrorCode.NOT_FOUND, "gone")),
        done(6, confidence=None),
        done(7, confidence=0.3),
    ]
    order = np.argsort(listing.badness(table_from_rows(given)), kind="stable")
    assert [given[at].id for at in order] == ["i5", "i7", "i4", "i3", "i2", "i1", "i6"]


def test_only_the_worst_of_very_many_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_ROWS", 5)
    given = [done(n, confidence=n / 40) for n in range(40)]
    output, told = committed(tmp_path, given[:20])
    output.put(output.part("r1", 1), encode_table(table_from_rows(given[20:])))
    write_report(output, told)
    assert rows(tmp_path)["id"] == [f"i{n}" for n in range(5)]
    assert summary(tmp_path)["listed"] == 5
    assert sum(summary(tmp_path)["confidences"]) == 40, "what is counted is counted over all"


def test_rows_and_details_are_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CHUNK_ROWS", 4), ("DETAIL_ROWS", 3)):
        monkeypatch.setattr(data, name, value)
        monkeypatch.setattr(site, name, value)
    output, told = committed(tmp_path, [done(n, confidence=n / 40) for n in range(10)])
    write_report(output, told)
    folder = tmp_path / "report" / summary(tmp_path)["folder"]
    assert [len(received(folder / f"rows-{n:04d}.js")["id"]) for n in range(3)] == [4, 4, 2]
    assert [len(received(folder / f"details-{n:04d}.js")) for n in range(4)] == [3, 3, 3, 1]
    assert (summary(tmp_path)["chunk"], summary(tmp_path)["detail"]) == (4, 3)


def test_columns_with_few_values_are_offered_and_others_searched() -> None:
    given = [
        done(n, extra={"category": "ab"[n % 2], "title": f"no. {n}" + "x" * 200, "empty": ""})
        for n in range(40)
    ]
    found = data.columns_of(table_from_rows(given))
    assert found.names == ["category", "title"]
    assert found.values == [["a", "b"], None] and found.counts[0] == [20, 20]
    many = [done(n, extra={f"c{k}": "v" for k in range(30)}) for n in range(2)]
    assert len(data.columns_of(table_from_rows(many)).names) == 20


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    output, told = committed(tmp_path, [])
    write_report(output, told)
    assert summary(tmp_path)["listed"] == 0


def test_hostile_texts_end_no_script_and_no_string(tmp_path: Path) -> None:
    row = done(1, id=HOSTILE, image=HOSTILE, flags=(HOSTILE,), extra={HOSTILE: HOSTILE},
               confidence=float("nan"))  # fmt: skip
    output, told = committed(tmp_path, [row])
    write_report(output, {**told, "job": HOSTILE})
    assert rows(tmp_path)["id"] == [HOSTILE] and rows(tmp_path)["confidence"] == [-1]
    assert summary(tmp_path)["job"] == HOSTILE
    for path in (tmp_path / "report/data").rglob("*.js"):
        assert b"<" not in path.read_bytes() and path.read_bytes().isascii(), path.name


@pytest.mark.parametrize(
    ("folder", "target", "link"),
    [
        ("/out/report", "/out/cutouts/a b.png", "../cutouts/a%20b.png"),
        ("/out/report", "/photos/a#1?.jpg", "../../photos/a%231%3F.jpg"),
        ("/out/report", "/photos/javascript:alert(1)", "../../photos/javascript%3Aalert(1)"),
        ("/out/report", "/out/report/x:y", "./x%3Ay"),
        ("s3://shop/out/report", "s3://shop/photos/a.jpg", "../../photos/a.jpg"),
        ("s3://shop/out/report", "s3://other/photos/a.jpg", None),
        ("s3://shop/out/report", "/photos/a.jpg", None),
        ("/out/report", "gs://shop/a.jpg", None),
        ("/out/report", "zip://a.jpg::s3://shop/a.zip", None),
        ("/out/report", "https://cdn.example/a b.jpg", "https://cdn.example/a%20b.jpg"),
        ("/out/report", "parquet://image/7/a.jpg::/data/m.parquet", None),
        ("/out/report", "javascript://alert(1)", None),
        ("/out/report", "", None),
    ],
)
def test_links(folder: str, target: str, link: str | None) -> None:
    assert link_between(folder, target) == link


# ---------------------------------------------------------------------------------- the site itself


@pytest.mark.parametrize("path", sorted(SITE.iterdir()), ids=lambda path: path.name)
def test_the_sites_files_need_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 500
    assert not re.search(r"https?://", text), "nothing is fetched from anywhere"
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                      "fetch(", "XMLHttpRequest", ' style="', " onclick"):  # fmt: skip
        assert forbidden not in text, forbidden
    assert path.name == "index.html" or path.name in site._ASSETS


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", (SITE / "style.css").read_text(), re.DOTALL)
    named = re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark)
    colours = dict(named)
    texts = ("text", "quiet", "accent", "good", "bad", "warn")
    for text in texts:
        for ground in ("page", "panel", "raised", "hover"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for text in ("text", "quiet", "warn", "bad"):
        for ground in ("good-wash", "bad-wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for colour in ("#19713a", "#b3261e", "#4d4d4b"):
        assert contrast("#ffffff", colour) >= 4.5, "white on a mark"
    for edge in ("strong-line", "chosen"):
        for ground in ("page", "panel"):
            assert contrast(colours[edge], colours[ground]) >= 3, (edge, ground)


def test_what_is_put_last_is_what_names_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    real = Output.put
    monkeypatch.setattr(Output, "put", lambda *a: (put.append(storage.redact(a[1])), real(*a))[1])
    output, told = committed(tmp_path, [done(n) for n in range(3)])
    put.clear()
    write_report(output, told)
    names = [uri.rpartition("/report/")[2] for uri in put if "/report/" in uri]
    assert names[-2:] == ["data/summary.js", "index.html"]
