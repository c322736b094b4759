"""``failures.jsonl``: the failed rows, as a manifest that runs them again."""

from __future__ import annotations

import json
import os
from typing import Any

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import FAILURE_COLUMNS, Row

__all__ = ["failure_record"]


def failure_record(row: Row) -> str:
    """A failed row as a line of a JSONL manifest that runs the image again."""
    record: dict[str, Any] = {"id": row.id, "image": _absolute(row)}
    for parameter in PARAMETERS:
        value = getattr(row, parameter.name)
        if value is not None:
            record[parameter.name] = list(value) if isinstance(value, (list, tuple)) else value
    record.update(row.extra)
    record.update(
        zip(
            FAILURE_COLUMNS,
            (row.line, row.error_stage, row.error_code, row.error_message),
            strict=True,
        )
    )
    return json.dumps(record, ensure_ascii=False)


def _absolute(row: Row) -> str:
    """The image's URI; a relative path would mean another file beside the failures."""
    if not row.image or row.error_code == ErrorCode.INVALID_URI.value:
        return row.image
    picture = storage.embedded(row.image)
    if picture is not None:
        return picture._replace(file=_absolute_path(picture.file)).uri
    return _absolute_path(row.image)


def _absolute_path(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))
