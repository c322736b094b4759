"""Draws a job's pictures beside their cutouts on three backgrounds, to be looked at.

    python benchmarks/samples_sheet.py out/samples docs/images/samples.jpg --height 150

The order is the manifest's; nothing is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow.dataset as ds

from alphabeam.transforms.images import decode

BACKGROUNDS = ((255, 255, 255), (0, 0, 0), (255, 0, 255))


def tile(picture: Path, cutout: Path, height: int) -> np.ndarray:
    """One picture and its cutout on each background, RGB uint8, `height` pixels high."""
    source = decode(picture.read_bytes())[..., :3]
    bgra = cv2.imread(str(cutout), cv2.IMREAD_UNCHANGED)
    rgba = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    views = [source.astype(np.float32)]
    views += [
        rgba[..., :3] * alpha + np.float32(background) * (1 - alpha) for background in BACKGROUNDS
    ]
    scale = height / source.shape[0]
    size = (round(source.shape[1] * scale), height)
    return np.hstack([cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in views])


def sheet(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Tiles in rows, white between them, RGB uint8."""
    rows = []
    for start in range(0, len(tiles), columns):
        parts = [
            cv2.copyMakeBorder(t, 3, 3, 3, 3, 0, value=(255,) * 3) for t in tiles[start:][:columns]
        ]
        rows.append(np.hstack(parts))
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], 0, value=(255,) * 3) for row in rows
    ]
    return np.vstack(padded).round().astype(np.uint8)


def main() -> None:
    """Reads the job's metadata and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="a job's output directory, on this machine")
    parser.add_argument("picture", type=Path, help="the JPEG or PNG to write")
    parser.add_argument("--height", type=int, default=240, help="of a row, pixels")
    parser.add_argument("--columns", type=int, default=2)
    options = parser.parse_args()
    rows = ds.dataset(options.output / "metadata").to_table(["image", "cutout", "line"])
    tiles = [
        tile(Path(row["image"]), options.output / row["cutout"], options.height)
        for row in sorted(rows.to_pylist(), key=lambda row: row["line"])
        if row["cutout"]
    ]
    drawn = cv2.cvtColor(sheet(tiles, options.columns), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(options.picture), drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
