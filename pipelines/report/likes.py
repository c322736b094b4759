"""Which pictures look alike, and which pictures of one product do not fit together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["BACKGROUND_DIFFERS", "LOOKS_LIKE", "SCALE_DIFFERS", "differing", "look_alikes"]

# What the report adds to a row's flags.
LOOKS_LIKE = "looks_like_another"
SCALE_DIFFERS = "scale_differs"
BACKGROUND_DIFFERS = "background_differs"

_MOST_BITS = 3  # by which hashes of one picture differ, after scaling and encoding
_BANDS = 4  # of 16 bits: of two hashes that differ in 3 bits, one band is the same
_MOST_IN_BAND = 2000  # pictures with the same band that are all compared with each other
_MOST_ALIKE = 12  # that are named for one row
_SCALE = 1.15  # times the product's median
_COLOUR = 10.0  # CIE76 difference to the product's median


def look_alikes(rows: pa.Table) -> dict[int, list[int]]:
    """Rows whose sources are the same picture, or nearly.

    Args:
        rows: With the column ``phash``.

    Returns:
        By a row's number, those of up to 12 others.
    """
    texts = rows["phash"].to_pylist()
    known = np.array([at for at, text in enumerate(texts) if text], np.int64)
    hashes = np.array([int(texts[at], 16) for at in known.tolist()], np.uint64)
    alike: defaultdict[int, set[int]] = defaultdict(set)
    for band in range(_BANDS):
        keys = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.lexsort((hashes, keys))
        for members in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for one, others in _close(members, hashes):
                alike[one].update(others)
                for other in others:
                    alike[other].add(one)
    return {
        int(known[one]): [int(known[other]) for other in sorted(others)[:_MOST_ALIKE]]
        for one, others in alike.items()
    }


def _close(
    members: NDArray[np.intp], hashes: NDArray[np.uint64]
) -> Iterator[tuple[int, list[int]]]:
    """Of some pictures, each with those behind it that are close to it.

    Of very many, which are most often pictures of nothing, only neighbours are compared.
    """
    room = len(members) if len(members) <= _MOST_IN_BAND else _MOST_ALIKE
    own = hashes[members]
    for at in range(len(members) - 1):
        apart = _bits(own[at + 1 : at + 1 + room] ^ own[at])
        found = members[at + 1 : at + 1 + room][apart <= _MOST_BITS]
        if len(found):
            yield int(members[at]), [int(one) for one in found[:_MOST_ALIKE]]


def _bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits of each value are set."""
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1)
    return np.asarray(bits.sum(1, dtype=np.int64))


def differing(rows: pa.Table, product: str) -> dict[int, list[str]]:
    """Rows that do not fit the other pictures of their product.

    Args:
        rows: Of the metadata's schema.
        product: The manifest's column that names the product.

    Returns:
        By a row's number: ``scale_differs`` where the subject's longer side, as a share of the
        picture's, is 15 % off the product's median; ``background_differs`` where the background's
        colour is.
    """
    products: defaultdict[str, list[int]] = defaultdict(list)
    for at, extra in enumerate(rows["extra"].to_pylist()):
        if name := dict(extra or ()).get(product):
            products[name].append(at)
    shares = _shares(rows)
    colours = _colours(rows["backdrop"].to_pylist())
    found: defaultdict[int, list[str]] = defaultdict(list)
    for members in products.values():
        own = np.array(members)
        with_share = own[~np.isnan(shares[own])]
        if len(with_share) > 1:
            ratio = shares[with_share] / np.median(shares[with_share])
            for at in with_share[(ratio > _SCALE) | (ratio < 1 / _SCALE)].tolist():
                found[at].append(SCALE_DIFFERS)
        with_colour = own[~np.isnan(colours[own, 0])]
        if len(with_colour) > 1:
            middle = np.median(colours[with_colour], axis=0)
            apart = np.linalg.norm(colours[with_colour] - middle, axis=1)
            for at in with_colour[apart > _COLOUR].tolist():
                found[at].append(BACKGROUND_DIFFERS)
    return dict(found)


def _shares(rows: pa.Table) -> NDArray[np.float64]:
    boxes = rows["subject_box"].to_pylist()
    sizes = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
    return np.array(
        [
            max(box[2] - box[0], box[3] - box[1]) / max(width, height)
            if box and width and height
            else np.nan
            for box, (width, height) in zip(boxes, sizes, strict=True)
        ],
        np.float64,
    )


def _colours(backdrops: Sequence[str | None]) -> NDArray[np.float32]:
    """Colours as CIE L*a*b*; NaN for none."""
    lab = np.full((len(backdrops), 3), np.nan, np.float32)
    known = [at for at, one in enumerate(backdrops) if one]
    if known:
        rgb = np.array([[*bytes.fromhex((backdrops[at] or "")[1:])] for at in known], np.float32)
        lab[known] = cv2.cvtColor(rgb[None] / np.float32(255), cv2.COLOR_RGB2LAB)[0]
    return lab
