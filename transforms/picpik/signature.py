"""The signature of the PICPIK API, as its vendor publishes it.

All parameters but ``Signature`` are sorted by name and written as name + value with nothing
between, the private key follows, and the SHA-1 of the UTF-8 text, in hex, is the signature. The
private key itself never travels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

__all__ = ["sign"]


def sign(params: Mapping[str, object], private_key: str) -> str:
    """Signs the parameters of one request.

    Args:
        params: Every parameter of the request. ``Signature`` itself is left out when present.
            Values are strings, booleans, numbers, None, and sequences and maps of these.
        private_key: The private key of the account.

    Returns:
        40 lower-case hex digits.

    Raises:
        TypeError: A value, or a map's key, has no published text form.
        ValueError: A float is not finite, or a text cannot be written as UTF-8.
    """
    digest = hashlib.sha1(usedforsecurity=False)  # the vendor's choice
    for piece in _map_text({k: v for k, v in params.items() if k != "Signature"}):
        digest.update(piece.encode("utf-8"))
    digest.update(private_key.encode("utf-8"))
    return digest.hexdigest()


def _map_text(values: Mapping[str, object]) -> Iterator[str]:
    for name in values:
        if not isinstance(name, str):
            raise TypeError(f"a parameter's name must be text, got {type(name).__name__}")
    for name in sorted(values):
        yield name
        yield from _text(name, values[name])


def _text(name: str, value: object) -> Iterator[str]:
    # Pieces are yielded, not joined: an image is one parameter of up to tens of megabytes.
    if value is None:
        return
    if isinstance(value, bool):  # before int, of which it is a kind
        yield "true" if value else "false"
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int):
        yield str(value)
    elif isinstance(value, float):
        yield _float_text(name, value)
    elif isinstance(value, Mapping):
        yield from _map_text(value)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        for element in value:
            yield from _text(name, element)
    else:
        raise TypeError(f"parameter {name}: a {type(value).__name__} cannot be signed")


def _float_text(name: str, value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"parameter {name}: {value} is not a finite number")
    if value == 0:
        return "0"  # also for -0.0
    # repr() is the shortest text that reads back as the same number; Decimal's "f" writes it
    # without an exponent.
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
