"""Rows: their schema, their coder, their fingerprints."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.portability.api import schema_pb2
from apache_beam.typehints.schemas import named_tuple_to_schema
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata.schema import decode_table, rows_from_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.rows import DONE, FAILED, MadeRendition, Row, local_task_uid

FULL = Row(
    id="a/ä", image="s3://b/ä #%20.jpg", status=DONE, line=7, backend="local", task_uid="u" * 20,
    request_uuid="r", cutout="c", mask="m", cutout_bytes=1,
    cutout_sha256="7", mask_bytes=2, mask_sha256="8", width=3, height=4, source_format="png",
    source_bytes=10**12, source_sha256="5", source_version="v", box=[1, 2, 3, 4], erode_size=0,
    foreground_threshold=255, background_threshold=0, hair_optimization="on", only_mask=True,
    keep_shadow=True, model="n", model_sha256="6", subject_box=[0, 0, 1, 1], coverage=0.5,
    phash="00ff", backdrop="#fafafa", confidence=0.25, local_confidence=0.125,
    doubts=["confidence"], flags=["empty"], credits=3,
    read_ms=1.5, remove_ms=2.5, write_ms=3.5,
    attempts=2, error_stage="read", error_code="not_found", error_message="gone",
    fingerprint="f", quick_key="q", run_id="r1",
    finished_at=Timestamp(micros=1_700_000_000_123_456),
    renditions=[
        MadeRendition(
            "n", "amazon-main", "renditions/n/a.jpg", 5, 6, 7, "9", [1, 2, 3, 4], 0.5, 90,
            ["upscaled"], ["white: no"], "e", "k", "r1",
        ),
        MadeRendition("bare", box=[], flags=[], violations=[]),
    ],
    extra={"sku": "5", "": "ö"},
)  # fmt: skip


def test_the_full_row_above_is_full() -> None:
    assert all(value not in (None, "", ()) for value in FULL)


def decoded_by_schema_alone(row: Row) -> typing.Any:
    """A row as a worker decodes it that has not imported the class."""
    schema = schema_pb2.Schema()
    schema.CopyFrom(named_tuple_to_schema(Row))
    schema.id = "00000000-0000-4000-8000-000000000001"
    data = beam.coders.RowCoder.from_type_hint(Row, None).encode(row)
    return beam.coders.RowCoder(schema).decode(data)


def test_what_a_worker_decodes_by_schema_alone_becomes_a_row() -> None:
    strange = decoded_by_schema_alone(FULL)
    assert not isinstance(strange, Row) and not hasattr(strange, "failed")
    row = Row.of(strange)
    assert isinstance(row, Row) and row == FULL and row.parameters == FULL.parameters
    assert Row.of(FULL) is FULL
    assert Row.of(beam.Row(id="a", image="a.png", sku=5)) == Row("a", "a.png")


def test_every_step_takes_what_was_decoded_by_schema_alone(tmp_path: Path) -> None:
    from alphabeam.transforms.images import ReadImages
    from alphabeam.transforms.ledger import SkipFinished
    from alphabeam.transforms.metadata.groups import WriteGroupsFn

    strange = decoded_by_schema_alone(Row("a", str(tmp_path / "none.png")))
    picture = ReadImages().stage.open()(strange)
    assert picture.row.error_code == "not_found"
    output = Output(str(tmp_path / "out"))
    backend = typing.cast(typing.Any, None)
    assert isinstance(SkipFinished(output, backend).stage.open()(strange), Row)
    groups = WriteGroupsFn(output, "run")
    groups.setup()
    groups.start_bundle()
    list(groups.process(decoded_by_schema_alone(FULL)))
    (group,) = groups.finish_bundle()
    assert [row.id for row in rows_from_table(decode_table(output.read(group.value)))] == [FULL.id]


def kinds(field: schema_pb2.FieldType) -> list[str]:
    """All type names within a field."""
    inner = {
        "array_type": lambda t: [t.array_type.element_type],
        "iterable_type": lambda t: [t.iterable_type.element_type],
        "map_type": lambda t: [t.map_type.key_type, t.map_type.value_type],
        "row_type": lambda t: [field.type for field in t.row_type.schema.fields],
    }
    kind = field.WhichOneof("type_info")
    if kind == "logical_type":
        return [field.logical_type.urn]
    return [kind, *(name for t in inner.get(kind, lambda _: [])(field) for name in kinds(t))]


def test_every_field_is_a_plain_type_of_beams_schemas() -> None:
    schema = named_tuple_to_schema(Row)
    assert [field.name for field in schema.fields] == list(Row._fields)
    for field in schema.fields:
        for kind in kinds(field.type):
            assert "python" not in kind and "pickle" not in kind, (field.name, kind)
    nullable = {field.name for field in schema.fields if field.type.nullable}
    optional = {
        name
        for name, hint in typing.get_type_hints(Row).items()
        if type(None) in typing.get_args(hint)
    }
    assert nullable == optional


@pytest.mark.parametrize("row", [FULL, Row(id="a", image="b")], ids=["full", "bare"])
def test_the_coder_gives_the_row_back(row: Row) -> None:
    coder = beam.coders.registry.get_coder(Row)
    assert isinstance(coder, beam.coders.RowCoder)
    again = coder.decode(coder.encode(row))
    for name in Row._fields:
        expected, got = getattr(row, name), getattr(again, name)
        if isinstance(expected, (list, tuple)):
            expected, got = list(expected), list(got)
        assert got == expected, name


CHANGES = {
    "image": "other.jpg", "source_version": "2", "box": [0, 0, 1, 1], "erode_size": 3,
    "foreground_threshold": 200, "background_threshold": 3, "hair_optimization": "off",
    "only_mask": True, "keep_shadow": True, "own_alpha": "refine", "remove_background": False,
}  # fmt: skip


ROW = Row(id="a", image="a.jpg", source_version="1", source_sha256="5")


@pytest.mark.parametrize(
    ("key", "source"),
    [("fingerprint", {"source_sha256"}), ("quick_key", {"image", "source_version"})],
)
def test_a_key_sees_the_work_and_its_source_and_nothing_else(key: str, source: set[str]) -> None:
    def key_of(row: Row, backend: str = "local", model: str | None = "sha") -> str:
        return getattr(row.fingerprinted(backend, "m", model), key)

    changes = {"source_sha256": "6", **CHANGES}
    seen = {*source, *MattingParameters.__slots__}
    keys = {key_of(ROW), key_of(ROW, model="other"), key_of(ROW, "picpik", None)}
    for name in seen:
        keys.add(key_of(ROW._replace(**{name: changes[name]})))
    assert len(keys) == len(seen) + 3
    for name in set(Row._fields) - seen - {"task_uid", "backend", "model", "model_sha256"}:
        row = ROW._replace(**{name: getattr(FULL, name)})
        assert key_of(row) == key_of(ROW), name


def test_a_parameter_that_came_later_changes_no_key_at_its_default() -> None:
    row = ROW.fingerprinted("local", "m", "sha")
    # As version 0.2.0 made them, before there was own_alpha.
    assert row.fingerprint == "832f98f4646705db1d24b86f40cb703b"
    assert row.quick_key == "2f265571450dd710a6e2796b7aaaaf00"


def test_what_is_not_known_yet_gives_no_key() -> None:
    unread = ROW._replace(source_sha256=None).fingerprinted("local", "m", "sha")
    assert (unread.fingerprint, unread.task_uid, unread.request_uuid) == (None, "", "")
    assert unread.quick_key
    unversioned = ROW._replace(source_version="").fingerprinted("local", "m", "sha")
    assert unversioned.quick_key is None and unversioned.fingerprint


def test_a_signature_is_no_part_of_a_key() -> None:
    signed = "https://user:secret@cdn.example/a.jpg?w=9&X-Amz-Signature=%s&X-Amz-Date=%s"
    keys = {
        ROW._replace(image=signed % pair).fingerprinted("local", "m", "s").quick_key
        for pair in (("ab", 1), ("cd", 2))
    }
    assert len(keys) == 1


def test_a_box_is_the_same_box_as_list_and_tuple() -> None:
    one = Row(id="a", image="a", box=[1, 2, 3, 4], source_sha256="5").fingerprinted(
        "local", "m", "s"
    )
    other = Row(id="a", image="a", box=(1, 2, 3, 4), source_sha256="5").fingerprinted(
        "local", "m", "s"
    )
    assert one.fingerprint == other.fingerprint


def test_ids_of_a_fingerprint_never_change_between_releases() -> None:
    """What is in ledgers and at the API today must be found again."""
    row = Row(id="a", image="s3://shop/a.jpg", source_version="v1", source_sha256="cd" * 32)
    row = row.fingerprinted("local", "catalogue", "ab" * 32)
    assert row.quick_key == "a721b2921de72d6a2fe372a1d20511f6", "version 0.1's fingerprint"
    assert row.fingerprint == FIXED["fingerprint"]
    assert row.request_uuid == FIXED["request_uuid"]
    assert row.task_uid == FIXED["task_uid"]


FIXED = {
    "fingerprint": "a026953d75c72dcec085a1923336bd34",
    "request_uuid": "222352b1-cb56-50c3-8788-281c55852eb9",
    "task_uid": "5sevmidet78bhbjsh02g",
}


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_task_uid_has_picpiks_form(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    uid = local_task_uid(text)
    assert re.fullmatch("[0-9a-v]{20}", uid)
    assert uid == local_task_uid(text) != local_task_uid(text + "x")


def test_the_apis_own_task_uid_is_kept() -> None:
    row = ROW._replace(task_uid="cktlm6lrh4xxx8ng9nf0")
    assert row.fingerprinted("picpik", None, None).task_uid == "cktlm6lrh4xxx8ng9nf0"
    assert ROW.fingerprinted("picpik", None, None).task_uid == ""


def test_a_failure_is_one_line_with_a_code() -> None:
    row = Row(id="a", image="a").failed("read", RowError(ErrorCode.NOT_FOUND, "no\nsuch\t image"))
    assert (row.status, row.error_stage, row.error_code) == (FAILED, "read", "not_found")
    assert row.error_message == "no such image"
    assert row.finished_at is not None
    row = Row(id="a", image="a").failed("write", KeyError("x" * 5000))
    assert row.error_code == "internal"
    assert row.error_message and len(row.error_message) == 1000
    assert row.error_message.startswith("KeyError: ")
