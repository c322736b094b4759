"""Columns as JSON: the same values as ``json.dumps`` gives, one at a time."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabeam.pipelines.report import as_json
from alphabeam.pipelines.report.links import images_and_links, link_between, links_within

texts = st.lists(st.none() | st.text() | st.sampled_from(["plain", 'a"<b', "\\", "ü\n\x7f"]))


def values(column: pa.Array) -> list[Any]:
    return [None if one is None else json.loads(one) for one in column.to_pylist()]


def encodable(given: list[str | None]) -> pa.Array:
    return pa.array([one and one.encode("utf-8", "ignore").decode() for one in given], pa.string())


@given(texts)
def test_texts(given: list[str | None]) -> None:
    column = encodable(given)
    made = as_json.texts(column)
    assert values(made) == column.to_pylist()
    joined = "".join(filter(None, made.to_pylist()))
    assert joined.isascii() and "<" not in joined and "\n" not in joined


@pytest.mark.slow
@given(st.lists(st.none() | st.floats(width=32)))
def test_floating_numbers(given: list[float | None]) -> None:
    found = values(as_json.numbers(pa.array(given, pa.float32())))
    for number, one in zip(given, found, strict=True):
        if number is None or not math.isfinite(number):
            assert one is None
        else:
            assert one == pytest.approx(round(number, 4), abs=1.1e-4)


@pytest.mark.slow
@given(st.lists(st.none() | st.dictionaries(st.text('aü<"'), st.text("b\\é")), max_size=5))
def test_mappings_of_a_part_of_a_table(given: list[dict[str, str] | None]) -> None:
    items = [None if one is None else [*one.items()] for one in given]
    column = pa.array([[("before", "x")], *items], pa.map_(pa.string(), pa.string()))[1:]
    assert values(as_json.mapping(column)) == [one or None for one in given]


def test_a_row_without_any_value_is_a_row() -> None:
    some, none = pa.array(["1", None, "2"]), pa.array([None, None, "3"], pa.string())
    assert values(as_json.objects({"a": some, "b": none})) == [{"a": 1}, {}, {"a": 2, "b": 3}]


IMAGES = [
    *("/photos/a/b.png", "/photos/ü/b.png", "/photos/a/ü ?.png", "rel/x.png", "x.png", "~/y.png"),
    *("/a//b.png", "/a/../b.png", "/photos/a/.hidden", "/photos/-a.png", "a%20b.png", 'a"<b.png'),
    *("https://cdn.example/a/b.jpg", "https://cdn.example/b.jpg", "https://cdn.example"),
    *("https://u@cdn.example:80/a/b.png", "https://cdn.example/a%20b/c.png", "http://x/?a=/b/c"),
    *("s3://bucket/out", "s3://bucket/out/report", "s3://bucket/photos/x.png", "s3://other/x.png"),
    *("S3A://bucket/x.png", "zip://a.png::s3://b/c.zip", "parquet://1", "", None),
]


@pytest.mark.parametrize("folder", ["/shop/out/report", "s3://bucket/out/report", "https://x/out"])
def test_links_are_those_of_single_rows(folder: str) -> None:
    images, links = images_and_links(pa.array(IMAGES), folder)
    assert values(links) == [link_between(folder, one) if one else None for one in IMAGES]
    assert values(images)[IMAGES.index("/a/../b.png")] == "/b.png"
    assert values(images)[IMAGES.index("parquet://1")] == "parquet://1"
    assert values(images)[-2:] == [None, None]


def test_links_within_the_output() -> None:
    names = pa.array(["cutouts/a.png", "cutouts/ü b.png", "", None])
    assert values(links_within(names)) == [
        "../cutouts/a.png",
        "../cutouts/%C3%BC%20b.png",
        None,
        None,
    ]
