"""Ids, the names made from them, and ids that collide."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabeam.transforms.manifest import (
    Manifest,
    file_name,
    row_from_record,
    survey,
)
from alphabeam.transforms.rows import FAILED, PENDING
from tests.manifest.reading import read, write, wrong


@pytest.mark.parametrize(
    ("image", "id"),
    [
        ("a.jpg", "a"),
        ("sub/a.b.jpeg", "sub/a.b"),
        ("a.unknown", "a.unknown"),
        ("s3://bucket/x/a.PNG", "bucket/x/a"),
        ("/abs/a.png", "abs/a"),
        ("a b#%20é.webp", "a b#%20é"),
    ],
)
def test_default_ids(image: str, id: str) -> None:
    assert row_from_record({"image": image}, folder="/shop/in").id == id


def test_default_ids_do_not_depend_on_where_the_shop_is() -> None:
    first = row_from_record({"image": "sub/a.jpg"}, folder="/one/place")
    other = row_from_record({"image": "sub/a.jpg"}, folder="s3://bucket/other")
    assert first.id == other.id == "sub/a"


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.text(
    "aA/.-_ é\\:0", min_size=1, max_size=250
)


@pytest.mark.slow
@settings(max_examples=400)
@given(IDS)
def test_file_names_are_safe(id: str) -> None:
    name = file_name(id)
    assert re.fullmatch(r"[A-Za-z0-9._/-]{1,200}", name)
    for part in name.split("/"):
        assert part and part not in (".", "..") and part[0] not in ".-" and part[-1] != "."
        assert len(part) <= 120
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part)
    assert file_name(id) == name


@pytest.mark.slow
@settings(max_examples=400)
@given(IDS, IDS)
def test_different_ids_have_different_names(one: str, other: str) -> None:
    if one != other:
        assert file_name(one) != file_name(other)


@pytest.mark.parametrize(
    "id", ["con", "aux/a", "a/NUL.x/b", "../../etc/passwd", "/", "...", "a//b", "é" * 300]
)
def test_awkward_ids(id: str) -> None:
    test_file_names_are_safe.hypothesis.inner_test(id)  # type: ignore[attr-defined]


def test_plain_ids_keep_their_names() -> None:
    for id in ("shoe", "S-1_2.b", "2024/01/shoe", "console", "x" * 80):
        assert file_name(id) == id


def test_many_ids_without_a_latin_letter_stay_apart() -> None:
    assert len({file_name("鞋" * (1 + n % 7) + chr(0x4E00 + n)) for n in range(20_000)}) == 20_000


def test_default_ids_that_collide_are_made_distinct(tmp_path: Path) -> None:
    path = write(tmp_path, "image\nshoe.jpg\nshoe.png\nhat.jpg\nHAT.jpg\nbag.jpg\n")
    rows = read(path)
    assert not wrong(rows)
    names = [file_name(row.id).casefold() for row in rows]
    assert len(set(names)) == 5
    assert rows[4].id == "bag"
    assert all(re.fullmatch(r"(shoe|hat|HAT)-[0-9a-f]{16}", row.id) for row in rows[:4])

    shuffled = read(write(tmp_path, "image\nbag.jpg\nHAT.jpg\nshoe.png\nhat.jpg\nshoe.jpg\n"))
    assert {row.image: row.id for row in rows} == {row.image: row.id for row in shuffled}


def test_the_same_image_twice_is_done_once(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "image\na.jpg\nb.jpg\na.jpg\n"))
    assert list(wrong(rows)) == [4]
    assert wrong(rows)[4] == (
        "duplicate_id",
        "line 4: line 2 names the same image, and neither row has an id; give each an id (a "
        "column 'id', or input.columns: {id: NAME}), or leave one out",
    )
    rows = read(write(tmp_path, "image,id\nb.jpg,a\na.jpg,\na.jpg,\na.jpg,7\n"))
    assert wrong(rows)[3][1].startswith("line 3: the id 'a' stands on line 2 already")
    assert wrong(rows)[4][1].startswith("line 4: line 3 names the same image")
    assert list(wrong(rows)) == [3, 4]


@pytest.mark.parametrize("second", ["x", "X"])
def test_the_rows_own_ids_that_collide_are_refused(tmp_path: Path, second: str) -> None:
    rows = read(write(tmp_path, f"image,id\na.jpg,x\nb.jpg,{second}\nc.jpg,y\nx.jpg,\n"))
    assert set(wrong(rows)) == {3, 5}
    assert {code for code, _ in wrong(rows).values()} == {"duplicate_id"}


def test_an_id_that_collides_behind_blank_lines_and_shards(tmp_path: Path) -> None:
    """An id's first row is recognised by its line, which blank lines must not shift."""
    blocks = [f"i{n}.jpg,id{n % 300}\n" + "\n" * (n % 3) for n in range(600)]
    rows = read(write(tmp_path, "image,id\n" + "".join(blocks)))
    assert len(survey(Manifest(str(tmp_path / "m.csv"))).shards) > 5
    assert [row.status for row in rows] == [PENDING] * 300 + [FAILED] * 300


KEPT = st.text(min_size=1, max_size=80) | st.text("aA/.-_ éÉß鞋\\:%", min_size=1, max_size=250)


@pytest.mark.slow
@settings(max_examples=400)
@given(KEPT.filter(lambda id: not re.search("[\ud800-\udfff]", id)), KEPT)
def test_names_that_are_kept_are_safe_too(id: str, other: str) -> None:
    name = file_name(id, keep=True)
    assert not re.search(r'[\x00-\x1f\x7f<>:"\\|?*%#]', name)
    for part in name.split("/"):
        assert part and part == part.strip(" .") and len(part.encode()) <= 220
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part)
    assert id == other or file_name(other, keep=True) != name


@pytest.mark.parametrize("id", ["鞋/Größe 42", "Crème brûlée", "обувь", "a b", "shoe"])
def test_letters_of_every_script_are_kept(id: str) -> None:
    assert file_name(id, keep=True) == id
    assert file_name(id).isascii()


@pytest.mark.parametrize(
    ("value", "id"),
    [
        (1001.0, "1001"), (1001, "1001"), (0, "0"), (0.0, "0"), (-5.0, "-5"), (10.5, "10.5"),
        (1e16, "10000000000000000"), (4.00638e12, "4006380000000"), (1e-7, "0.0000001"),
        (float("nan"), "a"), (None, "a"), ("", "a"), (" ", "a"), (float("inf"), "inf"),
        (Decimal("1001.00"), "1001"), (Decimal("1E+3"), "1000"), (Decimal("10.50"), "10.50"),
        (Decimal("NaN"), "a"), (np.float64(7.0), "7"), (np.float32(0.5), "0.5"),
        ("1001.0", "1001.0"), ("007", "007"), ("4.00638E+12", "4.00638E+12"), (True, "true"),
    ],
)  # fmt: skip
def test_an_id_is_what_its_author_sees(value: Any, id: str) -> None:
    assert row_from_record({"image": "a.jpg", "id": value}).id == id


def test_ids_of_a_column_of_doubles(tmp_path: Path) -> None:
    ids = pa.array([1001.0, None, float("nan"), 0.0, 0.0, 1002.5])
    images = [f"{n}.jpg" for n in range(6)]
    pq.write_table(pa.table({"image": images, "id": ids}), tmp_path / "m.parquet")
    rows = read(tmp_path / "m.parquet")
    assert [row.id for row in rows] == ["1001", "1", "2", "0", "0", "1002.5"]
    assert list(wrong(rows)) == [5]
    assert wrong(rows)[5][0] == "duplicate_id"


@pytest.mark.parametrize("text", ['{"image": "a.jpg", "id": 0}\n{"image": "b.jpg", "id": 0}\n'])
def test_0_twice_is_a_duplicate(tmp_path: Path, text: str) -> None:
    rows = read(write(tmp_path, text, "m.jsonl"))
    assert wrong(rows)[2] == (
        "duplicate_id",
        "line 2: the id '0' stands on line 1 already; ids must be unique "
        "(letter case does not count)",
    )


def test_a_number_that_a_spreadsheet_shortened_is_named(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "image;id\na.jpg;4,00638E+12\nb.jpg;4,00638E+12\n"))
    assert "a spreadsheet has shortened it: format the column as text" in wrong(rows)[3][1]


def test_ids_that_a_spreadsheet_shortened_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = ["4.00638E+12", "400638E+12", "1,23E+05", "4e+12", "E+12", "4006381333931", "1E5"]
    lines = [f'{n}.jpg,"{id}"' for n, id in enumerate(ids)]
    (tmp_path / "a.csv").write_text("image,id\n" + "\n".join(lines) + "\n")
    manifest = Manifest(str(tmp_path / "a.csv"))
    survey(manifest)  # a job may look more than once
    assert survey(manifest).rows == len(ids)
    (line,) = [one.getMessage() for one in caplog.records]
    assert "3 ids have lost digits in a spreadsheet" in line
    assert "such as 4.00638E+12 in line 2" in line and "as text" in line
