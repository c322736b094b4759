"""Measures the matting core: accuracy, CPU time, memory, file sizes.

    python benchmarks/matting.py scenes      # 14 scenes with trimaps, beside PyMatting
    python benchmarks/matting.py composites  # samples on new backgrounds, beside rembg
    python benchmarks/matting.py sizes       # seconds and memory from 1 to 50 megapixels
    python benchmarks/matting.py encoding    # PNG settings: seconds and bytes

PyMatting and rembg are optional: where they are installed (``pip install pymatting rembg[cpu]``),
their rows are printed too. The scenes are those of ``$ALPHABEAM_SHARED/data/matting`` (default
``../shared``; alphamatting.com's training set, Rhemann et al., CVPR 2009, for evaluation only).
All times are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from alphabeam.transforms.encoding import encode_cutout  # noqa: E402
from alphabeam.transforms.matting import Matte, MattingCore  # noqa: E402
from alphabeam.transforms.matting.alpha import refine_alpha  # noqa: E402
from alphabeam.transforms.matting.coarse import CoarseAlpha, coarse_alpha  # noqa: E402
from alphabeam.transforms.matting.foreground import straight_alpha  # noqa: E402
from alphabeam.transforms.matting.refiner import Refiner  # noqa: E402
from alphabeam.transforms.matting.trimap import UNKNOWN, make_trimap  # noqa: E402

__all__ = ["main", "matting_errors"]

SHARED = Path(os.environ.get("ALPHABEAM_SHARED", ROOT.parent / "shared"))
BACKGROUNDS = ((255, 255, 255), (0, 0, 0), (255, 0, 255), (40, 120, 60))
MEASURES = ("SAD", "MSE", "Grad", "Conn")

Image = NDArray[np.uint8]  # HxW, HxWx3 (RGB) or HxWx4 (straight RGBA)
Alpha = NDArray[np.float64]  # HxW, 0..1


def matting_errors(found: Alpha, truth: Alpha, region: NDArray[np.bool_]) -> dict[str, float]:
    """SAD / 1000, MSE, Grad / 1000 and Conn / 1000, as Rhemann et al. (CVPR 2009) define them.

    Args:
        found: float64 HxW, 0..1.
        truth: float64 HxW, 0..1.
        region: bool HxW, the pixels that count.
    """
    difference = (found - truth)[region]
    errors = {"SAD": np.abs(difference).sum() / 1e3, "MSE": (difference**2).mean()}
    slope = (_slope(found) - _slope(truth)) ** 2
    errors["Grad"] = slope[region].sum() / 1e3
    level = np.full(truth.shape, -1.0)
    steps = np.arange(0, 1.0001, 0.1)
    for previous, step in itertools.pairwise(steps):
        both = ((found >= step - 1e-9) & (truth >= step - 1e-9)).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(both, connectivity=4)
        largest = 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else -1
        level[(level == -1) & (labels != largest)] = previous
    level[level == -1] = 1

    def connected(alpha: Alpha) -> Alpha:
        apart = alpha - level
        degree: Alpha = 1 - apart * (apart >= 0.15)
        return degree

    errors["Conn"] = np.abs(connected(found) - connected(truth))[region].sum() / 1e3
    return {name: float(value) for name, value in errors.items()}


def _slope(alpha: Alpha, sigma: float = 1.4) -> Alpha:
    """Magnitude of alpha's gradient, by derivatives of a Gaussian."""
    half = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 1e-2))))
    x = np.arange(-half, half + 1, dtype=float)
    bell = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    kernel = np.outer(bell, x * bell / sigma**2)
    kernel /= np.sqrt((kernel**2).sum())
    edge = cv2.BORDER_REPLICATE
    magnitude: Alpha = np.hypot(
        cv2.filter2D(alpha, cv2.CV_64F, kernel, borderType=edge),
        cv2.filter2D(alpha, cv2.CV_64F, kernel.T, borderType=edge),
    )
    return magnitude


@cache
def _optional(name: str) -> Any:
    """A library that need not be installed; None, and a line that says so, if it is not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"({name.partition('.')[0]} is not installed: its rows are missing)")
        return None


@dataclass(frozen=True)
class _Given:
    """A network whose answer is computed already: it costs nothing."""

    alpha: NDArray[np.float32]

    def predict(self, rgb: Image) -> NDArray[np.float32]:
        return self.alpha


def _read(path: Path) -> Image:
    """An image as RGB."""
    image: Image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return image


def _read_grey(path: Path) -> Image:
    """An image as HxW."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the CPU seconds of this process."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def _scenes(trimap: int) -> Iterator[tuple[Image, Image, Alpha]]:
    """Each scene's image, trimap (0, 128, 255) and true alpha."""
    folder = SHARED / "data" / "matting"
    names = sorted((folder / "image").glob("*.png"))
    if not names:
        raise SystemExit(f"no scenes in {folder}; set ALPHABEAM_SHARED")
    for path in names:
        grey = _read_grey(folder / f"trimap{trimap}" / path.name)
        known = np.where(grey < 10, 0, np.where(grey > 245, 255, 128)).astype(np.uint8)
        yield _read(path), known, _read_grey(folder / "alpha" / path.name) / 255


def scenes(args: argparse.Namespace) -> None:
    """SAD, MSE, Grad, Conn and CPU seconds on the unknown region, mean over the scenes."""
    refiner = Refiner()
    methods: dict[str, Callable[[Image, Image], Alpha]] = {
        "alphabeam": lambda image, known: refine_alpha(image, known, refiner=refiner) / 255,
        "no refiner": lambda image, known: refine_alpha(image, known) / 255,
    }
    if pymatting := _optional("pymatting"):

        def peer(method: Callable[[Alpha, Alpha], Alpha]) -> Callable[[Image, Image], Alpha]:
            return lambda image, known: np.clip(
                method(image / 255, np.where(known == UNKNOWN, 0.5, known / 255)), 0, 1
            )

        methods["closed-form"] = peer(pymatting.estimate_alpha_cf)
        if not args.quick:
            methods["KNN"] = peer(pymatting.estimate_alpha_knn)
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    stripes = np.repeat(np.array([0, 128, 255, 255], np.uint8), 16)[:, None].repeat(64, 1)
    for method in methods.values():
        method(small, stripes)  # compiles and loads, outside the timing
    print(f"{'trimap':8}{'method':14}" + "".join(f"{m:>9}" for m in MEASURES) + f"{'CPU s':>9}")
    for trimap in (1, 2):
        rows: dict[str, list[list[float]]] = {name: [] for name in methods}
        for image, known, truth in _scenes(trimap):
            for name, method in methods.items():
                found, seconds = _timed(partial(method, image, known))
                errors = matting_errors(found, truth, known == UNKNOWN)
                rows[name].append([*(errors[m] for m in MEASURES), seconds])
        for name, values in rows.items():
            mean = np.mean(values, 0)
            print(f"{trimap:<8}{name:14}" + "".join(f"{v:9.4f}" for v in mean), flush=True)


def _samples(folder: Path = SAMPLES) -> Iterator[tuple[str, Image, Image]]:
    """Each sample's name, image and true alpha, where that is known."""
    for path in sorted((folder / "images").glob("*.jpg")):
        truth = folder / "truth" / f"{path.stem}.png"
        if truth.exists():
            yield path.stem, _read(path), _read_grey(truth)


def _subject(image: Image, truth: Image) -> Image:
    """The sample's subject without its background, RGBA.

    The colours are PyMatting's, as rembg uses: ours would be measured against themselves. They
    are ours only where PyMatting is not installed.
    """
    pymatting = _optional("pymatting")
    if pymatting is None:
        return straight_alpha(image, truth)
    fore = pymatting.estimate_foreground_ml(image / 255, truth / 255)
    fore = np.clip(np.rint(fore * 255), 0, 255)
    return np.dstack([fore * (truth[..., None] > 0), truth]).astype(np.uint8)


def _composite(rgba: Image, megapixels: float, seed: int) -> tuple[Image, Image]:
    """A subject on a random smooth background, at another size.

    Args:
        rgba: The subject, straight alpha.
        megapixels: Size of the composite.
        seed: Of the background and the noise.

    Returns:
        The composite, RGB, and the subject in it, straight RGBA.
    """
    truth = rgba[..., 3]
    scale = (megapixels * 1e6 / truth.size) ** 0.5
    size = (round(truth.shape[1] * scale), round(truth.shape[0] * scale))
    alpha = cv2.resize(truth, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    solid = cv2.resize(rgba[..., :3], size, interpolation=cv2.INTER_CUBIC)
    # The zeros around the subject darken enlarged colours at its edge: divide by their weight.
    weight = cv2.resize((rgba[..., 3] > 0).astype(np.float32), size)[..., None]
    solid = np.clip(solid / np.maximum(weight, 0.05), 0, 255).astype(np.uint8)
    rng = np.random.default_rng(seed)
    background = cv2.resize(rng.uniform(150, 240, (3, 3, 1)).astype(np.float32), size)[..., None]
    background = background + rng.normal(0, 8, 3)
    # The subject's own colours get the sensor's noise too: a method that keeps it makes no error.
    noise = np.empty(solid.shape, np.int8)
    cv2.setRNGSeed(seed)
    cv2.randn(noise, 0, 2)
    solid = cv2.add(solid, noise, dtype=cv2.CV_8U)
    out = np.empty_like(solid)
    for y in range(0, size[1], 512):
        a = alpha[y : y + 512, :, None].astype(np.float32) / 255
        mixed = solid[y : y + 512] * a + background[y : y + 512] * (1 - a)
        mixed += noise[y : y + 512] * (1 - a)
        out[y : y + 512] = np.clip(np.rint(mixed), 0, 255)
    return out, np.dstack([solid, alpha])


def _composites(
    folder: Path, megapixels: float, backgrounds: int
) -> Iterator[tuple[str, Image, Image]]:
    """Each sample's name, and its subject on several backgrounds, see :func:`_composite`."""
    for number, (name, image, truth) in enumerate(_samples(folder)):
        rgba = _subject(image, truth)
        for background in range(backgrounds):
            yield name, *_composite(rgba, megapixels, number + 1000 * background)


def _composite_error(found: Image, truth: Image) -> float:
    """Mean absolute difference on new backgrounds around the subject's edge, in 8-bit steps.

    Composited in floats: rounding to 8 bits would be an error of its own.
    """
    soft = cv2.dilate(cv2.inRange(truth[..., 3], 1, 254), np.ones((25, 25), np.uint8)) > 0
    wrong = (found[..., 3] != truth[..., 3]) | soft
    a, b = found[wrong].astype(np.float32), truth[wrong].astype(np.float32)
    total = 0.0
    for background in BACKGROUNDS:
        over = [
            x[:, :3] * (x[:, 3:] / 255) + np.array(background, np.float32) * (1 - x[:, 3:] / 255)
            for x in (a, b)
        ]
        total += float(np.abs(over[0] - over[1]).sum()) / 3
    return total / len(BACKGROUNDS) / max(int(soft.sum()), 1)


def composites(args: argparse.Namespace) -> None:
    """Error of the composite over new backgrounds, all methods from the same coarse alpha."""
    if args.backgrounds < 1:
        raise SystemExit(f"--backgrounds {args.backgrounds}: at least 1 is needed")
    core = MattingCore(args.model)
    rembg = _optional("rembg.bg")
    print(f"{'sample':10}{'MP':>4}{'method':>22}{'error':>8}{'CPU s':>8}")
    totals: dict[str, list[float]] = {}
    for name, picture, exact in _composites(args.samples, args.megapixels, args.backgrounds):
        coarse, looking = _timed(partial(coarse_alpha, core.network, picture))
        methods: dict[str, Callable[[], Any]] = {"alphabeam": partial(core.remove, picture)}
        if rembg is not None:
            pixels, mask = PIL.Image.fromarray(picture), PIL.Image.fromarray(coarse.full())
            methods["rembg"] = partial(rembg.naive_cutout, pixels, mask)
            if args.megapixels <= 4:
                methods["rembg, alpha matting"] = partial(
                    rembg.alpha_matting_cutout, pixels, mask, 240, 10, 10
                )
        for method, work in methods.items():
            result, seconds = _timed(work)
            if method == "alphabeam":
                seconds -= looking  # the others are given the mask
            found = np.asarray(result.rgba if isinstance(result, Matte) else result, np.uint8)
            error = _composite_error(found, exact)
            totals.setdefault(method, []).append(error)
            print(f"{name:10}{args.megapixels:4g}{method:>22}{error:8.2f}{seconds:8.2f}")
    if not totals:
        raise SystemExit(f"--samples {args.samples}: no images/ID.jpg with its truth/ID.png there")
    for method, errors in totals.items():
        print(f"{'mean':10}{args.megapixels:4g}{method:>22}{np.mean(errors):8.2f}", flush=True)


def one_size(args: argparse.Namespace) -> None:
    """CPU seconds, or with --memory the peak memory, at one size; `sizes` runs it."""
    core = MattingCore()
    image, truth = next((i, t) for name, i, t in _samples() if name == args.sample)
    core.remove(image)
    picture, _ = _composite(_subject(image, truth), args.megapixels, 1)
    del image, truth, _
    coarse = coarse_alpha(core.network, picture)
    if coarse.region != (0, 0, *picture.shape[1::-1]):
        raise SystemExit(f"--sample {args.sample}: the network looks closer at it; take another")
    core.network = _Given(coarse.alpha)
    if args.memory:
        _print_memory(core, picture)
    else:
        _print_seconds(core, picture, coarse, args.megapixels)


def _print_memory(core: MattingCore, picture: Image) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak

    def status(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith(field)) / 1024

    before = status("VmRSS")
    core.remove(picture)
    used = status("VmHWM") - before
    print(f"{used:22.0f} MiB more = {used / picture.nbytes * 2**20:.1f} x decoded", flush=True)


def _print_seconds(
    core: MattingCore, picture: Image, coarse: CoarseAlpha, megapixels: float
) -> None:
    band = make_trimap(coarse.full(), 240, 15, max(15, round(4 * coarse.pixel)))
    matte, seconds = min((_timed(lambda: core.remove(picture)) for _ in range(3)), key=_seconds)
    bgra = cv2.cvtColor(matte.rgba, cv2.COLOR_RGBA2BGRA)
    level1 = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    png = min(_timed(lambda: cv2.imencode(".png", bgra, level1))[1] for _ in range(3))
    own = min(_timed(lambda: encode_cutout(matte.rgba))[1] for _ in range(3))
    print(
        f"{megapixels:4g} MP  band {(band == UNKNOWN).mean():5.1%}  matting and colours "
        f"{seconds:5.2f} s  PNG level 1 {png:5.2f} s (ratio {seconds / png:.2f})  "
        f"own PNG {own:5.2f} s",
        flush=True,
    )
    if megapixels > 4:
        return
    refiner = Refiner()
    alone = min(
        _timed(lambda: refine_alpha(picture, band, coarse, refiner=refiner))[1] for _ in range(3)
    )
    if pymatting := _optional("pymatting"):
        floats = picture / 255, np.where(band == UNKNOWN, 0.5, band / 255)
        peer = _timed(lambda: pymatting.estimate_alpha_cf(*floats))[1]
        print(
            f"         alpha alone {alone:.3f} s, closed-form {peer:.1f} s "
            f"({peer / alone:.0f} times)",
            flush=True,
        )


def _seconds(run: tuple[Any, float]) -> float:
    return run[1]


def sizes(args: argparse.Namespace) -> None:
    """CPU seconds and peak memory of matting and colours, without the network, per size."""
    # Freed memory is returned at once, so that the growth counted is the matting's own. That costs
    # time, so the time is taken in another run.
    exact = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    for megapixels in args.at:
        for memory in (False, True):
            command = [sys.executable, __file__, "one-size", str(megapixels), args.sample]
            command += ["--memory"] if memory else []
            environment = {**os.environ, **(exact if memory else {})}
            if subprocess.run(command, env=environment).returncode:
                raise SystemExit(1)  # it has said why


def encoding(args: argparse.Namespace) -> None:
    """PNG levels and strategies on one cutout: CPU seconds and bytes."""
    name, image, truth = next(_samples())
    _, rgba = _composite(_subject(image, truth), args.megapixels, 1)
    rgba[rgba[..., 3] == 0] = 0
    bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
    print(f"{name}, {args.megapixels:g} MP, {np.mean(rgba[..., 3] > 0):.0%} covered")
    strategies = {"default": 0, "filtered": 1, "huffman": 2, "rle": 3, "fixed": 4}
    for level in (0, 1, 3):
        for label, strategy in strategies.items():
            if level == 0 and strategy:
                continue
            for filters in ("", "NO_FILTERS", "FILTER_SUB", "FILTER_UP", "FAST_FILTERS"):
                options = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, strategy]
                if filters:  # OpenCV 4 has none of them
                    if level == 0 or not hasattr(cv2, f"IMWRITE_PNG_{filters}"):
                        continue
                    options += [cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_{filters}")]
                (_, data), seconds = _timed(partial(cv2.imencode, ".png", bgra, options))
                print(f"level {level} {label:9}{filters or 'as it comes':13}", end="")
                print(f"{seconds:7.2f} s {len(data) / 1e6:7.2f} MB")
    for kind in ("png", "webp"):
        data, seconds = _timed(partial(encode_cutout, rgba, kind))
        print(f"encode_cutout {kind:18}{seconds:7.2f} s {len(data) / 1e6:7.2f} MB", flush=True)


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser("scenes", help=scenes.__doc__)
    kind.add_argument("--quick", action="store_true", help="leave KNN out, which is slow")
    kind.set_defaults(run=scenes)
    kind = kinds.add_parser("composites", help=composites.__doc__)
    kind.add_argument("--model", default="catalogue")
    kind.add_argument("--megapixels", type=float, default=1)
    kind.add_argument("--samples", type=Path, default=SAMPLES, help="rendered larger, for example")
    kind.add_argument("--backgrounds", type=int, default=1, help="backgrounds a sample")
    kind.set_defaults(run=composites)
    kind = kinds.add_parser("sizes", help=sizes.__doc__)
    kind.add_argument("--at", type=float, nargs="+", default=[1, 4, 12, 50], metavar="MP")
    kind.add_argument("--sample", default="bottle")
    kind.set_defaults(run=sizes)
    kind = kinds.add_parser("one-size", help=one_size.__doc__)
    kind.add_argument("megapixels", type=float)
    kind.add_argument("sample")
    kind.add_argument("--memory", action="store_true")
    kind.set_defaults(run=one_size)
    kind = kinds.add_parser("encoding", help=encoding.__doc__)
    kind.add_argument("--megapixels", type=float, default=4)
    kind.set_defaults(run=encoding)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.run(args)


if __name__ == "__main__":
    main()
