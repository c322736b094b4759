"""CPU seconds of a picture, from the JPEG's bytes to the bytes of cutout and mask, beside rembg.

    python benchmarks/photo_to_files.py --megapixels 1
    python benchmarks/photo_to_files.py --megapixels 4 --pictures 6

The pictures are the samples, brought to ``--megapixels``. rembg is optional (``pip install
rembg[cpu]``); it runs U²-Net-p, with its alpha matting and without, takes the same bytes and gives
a PNG. Its model is that of ``$ALPHABEAM_SHARED/models`` (default ``../shared``); where that is
absent, rembg fetches its own. All times are CPU seconds of one thread; the methods take turns on
each picture, so that a ratio is of one run and one machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
ROOT = Path(__file__).resolve().parents[1]

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from alphabeam.transforms.encoding import encode_cutout, encode_mask  # noqa: E402
from alphabeam.transforms.images import decode  # noqa: E402
from alphabeam.transforms.matting import MattingCore  # noqa: E402

__all__ = ["main"]

_OURS = "alphabeam"


def _ours(core: MattingCore, data: bytes) -> None:
    matte = core.remove(decode(data))
    assert matte.rgba is not None  # a cutout is the default
    encode_cutout(matte.rgba)
    encode_mask(matte.alpha)


def _rembg(folder: Path) -> dict[str, Callable[[bytes], Any]]:
    """What rembg offers, by name; nothing, and a line that says so, where it is not installed."""
    shared = Path(os.environ.get("ALPHABEAM_SHARED", ROOT.parent / "shared"))
    model = shared / "models" / "u2netp.onnx"
    if model.is_file():
        shutil.copy(model, folder)
        os.environ.update(U2NET_HOME=str(folder), MODEL_CHECKSUM_DISABLED="1")
    try:
        import rembg
    except ImportError:
        print("(rembg is not installed: its rows are missing)")
        return {}
    session = rembg.new_session("u2netp", providers=["CPUExecutionProvider"])
    return {
        "rembg": partial(rembg.remove, session=session),
        "rembg, alpha matting": partial(rembg.remove, session=session, alpha_matting=True),
    }


def _pictures(megapixels: float, count: int) -> list[tuple[str, bytes]]:
    """The first samples as JPEG files of a size, by name."""
    pictures = []
    for file in sorted((ROOT / "samples" / "images").glob("*.jpg"))[:count]:
        bgr = cv2.imread(str(file))
        assert bgr is not None, file
        scale = (megapixels * 1e6 / (bgr.shape[0] * bgr.shape[1])) ** 0.5
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=how)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
        pictures.append((file.stem, data.tobytes()))
    return pictures


def main() -> None:
    """Time each method on each picture, and print the ratios of their means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--megapixels", type=float, default=1)
    parser.add_argument("--pictures", type=int, default=17, help="so many of the 17 samples")
    args = parser.parse_args()
    if args.megapixels <= 0 or args.pictures < 1:
        sys.exit("--megapixels above 0 and at least one picture are needed")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        methods: dict[str, Callable[[bytes], Any]] = {
            _OURS: partial(_ours, MattingCore()),
            **_rembg(Path(folder)),
        }
        pictures = _pictures(args.megapixels, args.pictures)
        for method in methods.values():  # opens the sessions, compiles what rembg compiles
            method(pictures[0][1])
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for picture, data in pictures:
            for name, method in methods.items():
                began = time.process_time()
                method(data)
                seconds[name].append(time.process_time() - began)
            print(
                f"{picture:11}" + "".join(f"{name:>22}{s[-1]:7.3f}" for name, s in seconds.items())
            )
    means = {name: float(np.mean(taken)) for name, taken in seconds.items()}
    for name, mean in means.items():
        print(f"{name:22}{mean:7.3f} CPU s a picture, {mean / means[_OURS]:5.1f} times {_OURS}")


if __name__ == "__main__":
    main()
