"""From a record of a manifest to a `Row`: ids, parameters and their bounds, other columns."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import default_id
from alphabeam.transforms.manifest.text import MAX_LINE_BYTES
from alphabeam.transforms.parameters import PARAMETERS, Box, MattingParameters
from alphabeam.transforms.rows import FAILURE_COLUMNS, Row
from alphabeam.transforms.settings import Setting

__all__ = ["id_and_image", "own_id", "row_from_record"]

_PARAMETERS = {p.name: p for p in PARAMETERS}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _whole_number(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str):  # spreadsheets and pandas write 15.0 for 15
            return int(re.sub(r"\.0+$", "", value.strip()))
        number = int(value)
        if number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise RowError(
            ErrorCode.INVALID_PARAMETER, f"{name}: {_shown(value)} is not a whole number"
        ) from None
    return number


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"true", "1", "yes"}:
        return True
    if text in {"false", "0", "no"}:
        return False
    raise RowError(ErrorCode.INVALID_PARAMETER, f"{name}: {_shown(value)} is not true or false")


def _box(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [part for part in value.strip().strip("[]()").split(",")]
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise RowError(
            ErrorCode.INVALID_PARAMETER,
            f"box: four whole numbers left,top,right,bottom are needed, got {_shown(value)}",
        )
    return tuple(_whole_number("box", v) for v in value)


def _parsed(parameter: Setting, value: Any) -> Any:
    """A manifest's value as the type that the parameter has."""
    if parameter.type is bool:
        return _truth(parameter.name, value)
    if parameter.type is int:
        return _whole_number(parameter.name, value)
    if parameter.choices:
        # YAML and JSON writers turn a bare on/off into a boolean.
        on_off = {True: "on", False: "off"}
        text = on_off[value] if isinstance(value, bool) else str(value)
        return text.strip().lower()
    if parameter.type == Box | None:
        return _box(value)
    raise TypeError(f"{parameter.name}: no column type for {parameter.type}")


def _parameters(values: Mapping[str, Any], defaults: MattingParameters) -> MattingParameters:
    if _PARAMETERS.keys().isdisjoint(values):
        return defaults
    given: dict[str, Any] = {}
    for name, parameter in _PARAMETERS.items():
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        given[name] = _parsed(parameter, value)
    try:
        return dataclasses.replace(defaults, **given) if given else defaults
    except ValueError as error:
        raise RowError(ErrorCode.INVALID_PARAMETER, str(error)) from None


_DEFAULTS = MattingParameters()
_SHORT_BYTES = 64  # what is longer is no digest or UUID, but a file
# Characters of a URI. Servers take URLs of 8000 (RFC 9110), keys of S3 have 1024; what is longer
# is a picture itself as text, or a column of something else.
_LONGEST_IMAGE = 8000


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        if len(value) > MAX_LINE_BYTES:  # whatever it is, it is no text of a manifest's
            return f"{len(value)} bytes"
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return value.hex() if len(value) <= _SHORT_BYTES else f"{len(value)} bytes"
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value)


def own_id(values: Mapping[str, Any]) -> str:
    """The id that a record gives itself; empty if it gives none.

    A whole number is written without a point and an exponent, whatever type its column has:
    1001.0 of a column of doubles is 1001. NaN, which is what spreadsheets' libraries make of an
    empty cell, is no id.
    """
    value = values.get("id")
    if isinstance(value, (float, Decimal, np.floating)):
        if value != value:
            return ""
        exact = Decimal(value) if isinstance(value, Decimal) else Decimal(repr(float(value)))
        if exact.is_finite():
            whole = exact == exact.to_integral_value() and exact.adjusted() < 40
            return f"{exact.quantize(Decimal(1)) if whole else exact:f}"
    return "" if value is None else _text(value).strip()


def _image(value: Any, line: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None or (isinstance(value, (float, Decimal, np.floating)) and value != value):
        return ""
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode().strip()
        except UnicodeDecodeError:
            raise RowError(
                ErrorCode.MANIFEST_ROW,
                f"line {line}: 'image' holds {len(value)} bytes that are no text; give a path or "
                "a URI",
            ) from None
    raise RowError(
        ErrorCode.MANIFEST_ROW,
        f"line {line}: 'image' is {_shown(value)}; give one path or URI as text",
    )


def _check_text(image: str, line: int) -> None:
    """A listed file's name may be bytes that are no text; no row can hold it."""
    try:
        image.encode()
    except UnicodeEncodeError:
        raise RowError(
            ErrorCode.INVALID_URI,
            f"line {line}: '{storage.redact(image)}' is not UTF-8; rename the image",
        ) from None


def _unsigned(uri: str) -> str:
    """The URI that names a row: a signature or a password must not stand in file names."""
    return storage.public(uri) if "://" in uri else uri


def _default_id(uri: str, picture: storage.Embedded | None, folder: str) -> str:
    """The id of a row that gives none: its image's name."""
    if picture is None:
        return default_id(_unsigned(uri), folder)
    if not picture.name:  # the file's name, and the row in it
        return f"{os.path.splitext(default_id(_unsigned(picture.file), folder))[0]}-{picture.row}"
    try:
        name = storage.resolve(folder, picture.name)
    except RowError:  # a name and no place: it need not lead anywhere
        name = picture.name
    return default_id(_unsigned(name), folder)


def row_from_record(
    values: Mapping[str, Any],
    *,
    folder: str = ".",
    defaults: MattingParameters | None = None,
    line: int = 0,
) -> Row:
    """Makes a row from one record of a manifest.

    Args:
        values: By our column names: ``image``, optionally ``id`` and the parameters; every other
            key goes to the row's ``extra``.
        folder: What a relative ``image`` is relative to.
        defaults: Parameters that the record does not say.
        line: Where the record stands, for messages.

    Returns:
        A pending row, or a failed one that says what is wrong with the record.
    """
    defaults = defaults or _DEFAULTS
    extra = {
        str(k): _text(v)
        for k, v in values.items()
        if v is not None
        and k not in _PARAMETERS
        and k not in ("image", "id")
        and k not in FAILURE_COLUMNS
    }
    id, image = own_id(values) or f"line-{line}", ""
    try:
        image = _image(values.get("image"), line)
        image = _resolved(image, folder, line)
        id = _id(values, image, folder, line)
        parameters = _parameters(values, defaults)
    except RowError as error:
        shown = image.encode("utf-8", "backslashreplace").decode()
        if "://" in folder and "://" not in shown:
            shown = storage.redact(shown)  # a part of a URL that cannot be resolved
        if not error.message.startswith("line "):
            error = RowError(error.code, f"line {line}: {error.message}")
        # The failures hold the values as they were given, so that they can be fixed there.
        given = {k: _text(v) for k, v in values.items() if k in _PARAMETERS and v is not None}
        row = Row(id=id, image=shown, line=line, extra={**extra, **given})
        return row.failed("manifest", error)
    row = Row(id=id, image=image, line=line, extra=extra)
    return row if parameters == _DEFAULTS else row.with_parameters(parameters)


def id_and_image(values: Mapping[str, Any], *, folder: str, line: int) -> tuple[str, str]:
    """The id and the image's URI that the row of a record has, without making the row.

    A record without a usable image has the id that its failed row will have, and no URI.
    """
    try:
        image = _resolved(_image(values.get("image"), line), folder, line)
        return _id(values, image, folder, line), image
    except RowError:
        return own_id(values) or f"line-{line}", ""


def _resolved(image: str, folder: str, line: int) -> str:
    if not image:
        raise RowError(ErrorCode.MANIFEST_ROW, f"line {line}: 'image' is empty; give its URI")
    if len(image) > _LONGEST_IMAGE:
        raise RowError(
            ErrorCode.MANIFEST_ROW,
            f"line {line}: 'image' has over {_LONGEST_IMAGE} characters; give a path or a URI",
        )
    if not image.isascii():
        _check_text(image, line)
    return storage.resolve(folder, image)


def _id(values: Mapping[str, Any], uri: str, folder: str, line: int) -> str:
    picture = storage.embedded(uri)  # raises for a link that names none, whoever gives the id
    id = own_id(values) or _default_id(uri, picture, folder)
    if len(id) > 1000:
        raise RowError(
            ErrorCode.MANIFEST_ROW, f"line {line}: the id has over 1000 characters; shorten it"
        )
    return id
