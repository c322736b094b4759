"""What renditions cost: CPU of channels against that of the cutout alone, and a sheet of them.

    python benchmarks/renditions.py cost [--scale 4] [--presets amazon-main ebay shopify]
    python benchmarks/renditions.py sheet out/packshots docs/images/renditions.jpg

``cost`` decodes, mattes and encodes each sample, on one thread, and then makes, encodes and checks
the renditions of its cutout, as the job's write step does. ``--scale`` enlarges the samples, which
have less than a megapixel, to the size of a camera's pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from alphabeam import MattingCore
from alphabeam.transforms.encoding import encode_cutout, encode_mask
from alphabeam.transforms.images import decode
from alphabeam.transforms.pixels import composite_over
from alphabeam.transforms.renditions import Subject, render, rendition_of

SAMPLES = Path(__file__).parent.parent / "samples" / "images"
_CHANNELS = ("amazon-main", "ebay", "kaufland")
_DARK = (40, 40, 46)


def cost(scale: float, presets: list[str], limit: int) -> None:
    """Prints CPU seconds a picture."""
    cv2.setNumThreads(1)
    core = MattingCore("catalogue")
    channels = [rendition_of({"preset": name}) for name in presets]
    alone: list[float] = []
    more: list[float] = []
    for path in [None, *sorted(SAMPLES.glob("*.jpg"))[:limit]]:
        data = (path or sorted(SAMPLES.glob("*.jpg"))[0]).read_bytes()
        if scale != 1:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode(".jpg", pixels)[1].tobytes()
        began = time.process_time()
        matte = core.remove(decode(data))
        assert matte.rgba is not None
        encode_mask(matte.alpha)
        encode_cutout(matte.rgba)
        cut = time.process_time()
        subject = Subject(matte.rgba)
        made = [render(subject, one, name="a.jpg") for one in channels]
        ended = time.process_time()
        if path is None:  # the first warms up
            continue
        alone.append(cut - began)
        more.append(ended - cut)
        sizes = ", ".join(f"{one.width}x{one.height}" for one in made)
        print(f"{path.stem:<12} cutout {alone[-1]:5.2f} s, {sizes}: {more[-1]:5.2f} s")
    share = sum(more) / sum(alone)
    print(f"{len(alone)} pictures, {', '.join(presets)}: {share:.0%} more than the cutouts alone")


def sheet(output: Path, picture: Path, height: int) -> None:
    """Draws some rows' sources and renditions side by side."""
    table = ds.dataset(output / "metadata", exclude_invalid_files=True, format="parquet").to_table()
    rows = sorted(table.to_pylist(), key=lambda row: int(row["line"]))
    lines = [
        np.hstack([_fitted(one, height) for one in _views(row, output)])
        for row in rows
        if row["id"] in ("sandals", "teddy", "plant", "mug")
    ]
    width = max(line.shape[1] for line in lines)
    padded = [
        cv2.copyMakeBorder(
            line, 0, 0, 0, width - line.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for line in lines
    ]
    drawn = cv2.cvtColor(np.vstack(padded), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(picture), drawn, [cv2.IMWRITE_JPEG_QUALITY, 88])


def _views(row: dict[str, Any], output: Path) -> list[NDArray[np.uint8]]:
    files = [Path(row["image"]), *(output / one["uri"] for one in row["renditions"])]
    views = [decode(path.read_bytes()) for path in files]
    return [composite_over(one, _DARK) if one.shape[2] == 4 else one for one in views]


def _fitted(pixels: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Pixels of a height, with a frame that shows where they end."""
    size = round(pixels.shape[1] * height / pixels.shape[0]), height
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    lined = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(200, 200, 205))
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(
        lined, 5, 5, 5, 5, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    return framed


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    costs = commands.add_parser("cost")
    costs.add_argument("--scale", type=float, default=1.0)
    costs.add_argument("--presets", nargs="+", default=list(_CHANNELS))
    costs.add_argument("--limit", type=int, default=6, help="how many samples")
    draws = commands.add_parser("sheet")
    draws.add_argument("output", type=Path, help="what configs/packshots.yaml has written")
    draws.add_argument("picture", type=Path, help="the JPEG to write")
    draws.add_argument("--height", type=int, default=190)
    options = parser.parse_args()
    if options.command == "cost":
        cost(options.scale, options.presets, options.limit)
    else:
        sheet(options.output, options.picture, options.height)


if __name__ == "__main__":
    main()
