"""Parameters that a manifest gives, and their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.manifest import (
    Manifest,
    row_from_record,
)
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.rows import FAILED, PENDING, Row
from tests.manifest.reading import read, write


def test_the_api_spellings_and_bounds(tmp_path: Path) -> None:
    header = "image,Box,ErodeSize,ForegroundThreshold,BackgroundThreshold,HairOptimization,OnlyMask"
    rows = read(
        write(
            tmp_path,
            f"{header},keep_shadow\n"
            'a.jpg,"[1, 2,3,4]",7,250,5,on,TRUE,1\n'
            'b.jpg,"1,2,3,4",7.0,,,Off,no,0\n'
            "c.jpg,,,,,,,\n",
        )
    )
    assert rows[0].parameters == MattingParameters((1, 2, 3, 4), 7, 250, 5, "on", True, True)
    assert rows[1].parameters == MattingParameters((1, 2, 3, 4), 7, hair_optimization="off")
    assert rows[2].parameters == MattingParameters()
    assert rows[0].extra == {}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"erode_size": 41}, "erode_size: 41 is outside 0..40"),
        ({"erode_size": -1}, "erode_size: -1 is outside"),
        ({"erode_size": "1.5"}, "erode_size: '1.5' is not a whole number"),
        ({"erode_size": 1.5}, "erode_size: 1.5 is not a whole number"),
        ({"erode_size": True}, "erode_size: True is not a whole number"),
        ({"erode_size": float("nan")}, "erode_size: nan is not"),
        ({"erode_size": float("inf")}, "erode_size: inf is not"),
        ({"erode_size": "9" * 5000}, "is not a whole number"),
        ({"foreground_threshold": 256}, "foreground_threshold: 256 is outside 0..255"),
        ({"background_threshold": -1}, "background_threshold: -1 is outside 0..255"),
        ({"background_threshold": 240}, "background_threshold: 240 must be under"),
        ({"hair_optimization": "maybe"}, "'maybe' is not one of auto, on, off"),
        ({"only_mask": "perhaps"}, "only_mask: 'perhaps' is not true or false"),
        ({"box": "1,2,3"}, "box: four whole numbers"),
        ({"box": [1, 2, 3, "x"]}, "box: 'x' is not a whole number"),
        ({"box": [5, 0, 5, 9]}, "is empty or negative"),
        ({"box": [-1, 0, 5, 9]}, "is empty or negative"),
        ({"box": {"left": 1}}, "box: four whole numbers"),
    ],
)
def test_a_parameter_out_of_bounds_costs_its_row(values: dict[str, Any], says: str) -> None:
    row = row_from_record({"image": "a.jpg", **values}, line=9)
    assert (row.status, row.error_code) == (FAILED, ErrorCode.INVALID_PARAMETER.value)
    assert (row.error_message or "").startswith("line 9: ")
    assert says in (row.error_message or "")
    (name,) = values
    assert name in row.extra, "the failures hold what was given, to be corrected there"
    again = row_from_record({"image": "a.jpg", **row.extra})
    assert again.error_code == row.error_code, "it does not pass when it is run again as it is"


def test_bounds_themselves_are_good() -> None:
    for name, values in {
        "erode_size": (0, 40),
        "foreground_threshold": (16, 255),
        "background_threshold": (0, 239),
    }.items():
        for value in values:
            row = row_from_record({"image": "a.jpg", name: str(value)})
            assert (row.status, getattr(row, name)) == (PENDING, value)


def test_defaults_come_from_the_manifest(tmp_path: Path) -> None:
    defaults = MattingParameters(erode_size=3, hair_optimization="off")
    path = write(tmp_path, "image,erode_size\na.jpg,\nb.jpg,9\n")
    rows = read(Manifest(str(path), defaults=defaults))
    assert [row.erode_size for row in rows] == [3, 9]
    assert [row.hair_optimization for row in rows] == ["off", "off"]


def test_values_that_pandas_and_parquet_give(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array(["a.jpg", b"b.jpg".decode()]).dictionary_encode(),
            "erode_size": pa.array([3.0, None]),
            "box": pa.array([[1, 2, 3, 4], None], pa.list_(pa.int64())),
            "price.eur": pa.array([1.5, None]),
            "tags": pa.array([["x", "y"], []]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    rows = read(tmp_path / "m.parquet")
    assert rows[0].parameters == MattingParameters((1, 2, 3, 4), 3)
    assert rows[0].extra == {"price.eur": "1.5", "tags": '["x", "y"]'}
    assert rows[1].parameters == MattingParameters()
    assert rows[1].extra == {"tags": "[]"}


def test_a_record_needs_no_manifest() -> None:
    row = row_from_record({"image": "photos/a.jpg", "sku": 5})
    assert row == Row(id="photos/a", image="photos/a.jpg", extra={"sku": "5"})
