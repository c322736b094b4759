"""``failures.jsonl``: the failed rows, as a manifest that runs them again."""

from __future__ import annotations

import json
import os
from typing import Any

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.parameters import PARAMETERS, MattingParameters
from alphabeam.transforms.rows import FAILURE_COLUMNS, Row

__all__ = ["failure_record"]


def failure_record(row: Row, defaults: MattingParameters | None = None) -> str:
    """A failed row as a line of a JSONL manifest that runs the image again.

    Args:
        row: The row.
        defaults: The parameters of rows that do not say their own; None for alphabeam's. The
            record holds what differs from them: the rest is the job's that runs it again.
    """
    defaults = defaults or MattingParameters()
    record: dict[str, Any] = {"id": row.id, "image": _absolute(row)}
    for parameter in PARAMETERS:
        value, job = (_plain(getattr(of, parameter.name)) for of in (row, defaults))
        if value is not None and value != job:
            record[parameter.name] = value
    record.update(row.extra)
    record.update(
        zip(
            FAILURE_COLUMNS,
            (row.line, row.error_stage, row.error_code, row.error_message),
            strict=True,
        )
    )
    return json.dumps(record, ensure_ascii=False)


def _plain(value: object) -> object:
    """A value as JSON has it."""
    return list(value) if isinstance(value, (list, tuple)) else value


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
