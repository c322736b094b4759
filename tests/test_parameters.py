"""A matting parameter is said once: adding one touches one definition."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alphabeam.transforms.parameters import PARAMETERS, MattingParameters

ROOT = Path(__file__).parent.parent

PRETEND = """
    feather: int = setting(
        3, "A pretend parameter.", low=0, high=99, api="Feather",
    )
"""

SEEN = """
import json
from alphabeam.pipelines.job import schema_text
from alphabeam.pipelines.reference import parameter_table
from alphabeam.transforms.manifest.columns import columns_of
from alphabeam.transforms.manifest.rows import row_from_record
from alphabeam.transforms.metadata import SCHEMA, failure_record, rows_from_table, table_from_rows
from alphabeam.transforms.rows import Row

names = columns_of(["image", "Feather"], "the manifest")
good = row_from_record({names["image"]: "a.jpg", names["Feather"]: "7"})
bad = row_from_record({"image": "a.jpg", "feather": "100"}, line=4)
print(json.dumps({
    "schema": json.loads(schema_text())["$defs"]["Matting"]["properties"]["feather"],
    "row": good.feather,
    "parameters": good.parameters.feather,
    "fingerprints": len({
        row._replace(source_sha256="5").fingerprinted("local", "m", "s").fingerprint
        for row in (good, good._replace(feather=8))
    }),
    "bad": bad.error_message,
    "column": str(SCHEMA.field("feather").type),
    "through parquet": next(rows_from_table(table_from_rows([good]))).feather,
    "failure": json.loads(failure_record(good))["feather"],
    "api": good.parameters.api_fields()["Feather"],
    "documentation": "feather" in parameter_table(),
}))
"""


@pytest.mark.slow
def test_a_pretend_parameter_touches_one_definition(tmp_path: Path) -> None:
    for folder in ("transforms", "pipelines"):
        shutil.copytree(ROOT / folder, tmp_path / "alphabeam" / folder)
    shutil.copy(ROOT / "src/alphabeam/__init__.py", tmp_path / "alphabeam")
    definition = tmp_path / "alphabeam/transforms/parameters.py"
    text = definition.read_text()
    at = re.search(r"\n    only_mask: bool = setting\(", text)
    assert at is not None
    definition.write_text(text[: at.start()] + PRETEND + text[at.start() :])
    done = subprocess.run(
        [sys.executable, "-c", SEEN],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    schema = seen.pop("schema")
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (0, 99, 3)
    assert schema["description"] == "A pretend parameter."
    assert seen == {
        "row": 7,
        "parameters": 7,
        "fingerprints": 2,
        "bad": "line 4: feather: 100 is outside 0..99",
        "column": "int16",
        "through parquet": 7,
        "failure": 7,
        "api": 7,
        "documentation": True,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"erode_size": 41}, "erode_size: 41 is outside 0..40"),
        ({"erode_size": True}, "erode_size: a whole number is needed, got True"),
        ({"erode_size": 3.0}, "erode_size: a whole number is needed, got 3.0"),
        ({"only_mask": 1}, "only_mask: true or false is needed, got 1"),
        ({"hair_optimization": "yes"}, "hair_optimization: 'yes' is not one of auto, on, off"),
        ({"background_threshold": 240}, "background_threshold: 240 must be under"),
        ({"box": (1, 2, 3)}, "box: four whole numbers left,top,right,bottom are needed"),
        ({"box": (5, 0, 5, 1)}, "is empty or negative"),
        ({"box": (0, 0, 2**31, 10)}, "is larger than any image"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MattingParameters(**values)  # type: ignore[arg-type]


def test_every_parameter_has_a_meaning() -> None:
    assert all(parameter.meaning.endswith(".") for parameter in PARAMETERS)
