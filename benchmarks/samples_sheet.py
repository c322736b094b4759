"""Draws a job's images beside their cutouts on white, black and magenta, or on white alone.

    python benchmarks/samples_sheet.py out/samples docs/images/samples.jpg --white --columns 6

All rows with a cutout are drawn, in the order of the manifest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from alphabeam.transforms.images import decode
from alphabeam.transforms.pixels import composite_over

BACKGROUNDS = ((255, 255, 255), (0, 0, 0), (255, 0, 255))


Image = NDArray[np.uint8]  # HxWx3, RGB


def tile(
    picture: Path,
    cutout: Path,
    height: int,
    backgrounds: tuple[tuple[int, int, int], ...] = BACKGROUNDS,
) -> Image:
    """One image and its cutout on each background, side by side, `height` pixels high."""
    source = decode(picture.read_bytes())[..., :3]
    rgba = cv2.cvtColor(cv2.imread(str(cutout), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    views = [source, *(composite_over(rgba, background) for background in backgrounds)]
    size = (round(source.shape[1] * height / source.shape[0]), height)
    return np.hstack([cv2.resize(view, size, interpolation=cv2.INTER_AREA) for view in views])


def sheet(tiles: list[Image], columns: int) -> Image:
    """Tiles in rows, with white between them."""
    white = (255, 255, 255)
    rows = []
    for start in range(0, len(tiles), columns):
        parts = tiles[start : start + columns]
        rows.append(np.hstack([cv2.copyMakeBorder(t, 3, 3, 3, 3, 0, value=white) for t in parts]))
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], 0, value=white) for row in rows
    ]
    return np.vstack(padded)


def main() -> None:
    """Reads the job's metadata and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="a job's output directory, on this machine")
    parser.add_argument("picture", type=Path, help="the JPEG or PNG to write")
    parser.add_argument("--height", type=int, default=150, help="of a row, pixels")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--white", action="store_true", help="the cutouts on white alone")
    options = parser.parse_args()
    backgrounds = BACKGROUNDS[:1] if options.white else BACKGROUNDS
    rows = ds.dataset(options.output / "metadata").to_table(["image", "cutout", "line"])
    tiles = [
        tile(Path(row["image"]), options.output / row["cutout"], options.height, backgrounds)
        for row in sorted(rows.to_pylist(), key=lambda row: row["line"])
        if row["cutout"]
    ]
    drawn = cv2.cvtColor(sheet(tiles, options.columns), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(options.picture), drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
