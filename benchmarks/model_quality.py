"""How good models are on pictures that none of ours was trained on, and how fast they are.

    python benchmarks/model_quality.py catalogue u2netp --labels WORK/labels --renders RENDERS

A model is ``catalogue`` (the embedded one), ``u2netp`` (from the shared data), or the path of an
ONNX file: with a JSON beside it that tells its preprocessing, as ``catalogue.json`` does, or else
fed as the U²-Net family is. Needs numpy, OpenCV and onnxruntime; ``pysodmetrics`` adds maximum F,
weighted F and S-measure. Held-out pictures come from ``$ALPHABEAM_SHARED`` and are split off by
`training.sources`; the samples come from ``samples/``.

Every metric is taken at the picture's own size (other than the samples: the longer side limited
to 640 pixels), on the alpha that the network alone gives in one look; with ``--matted`` on what
the matting core makes of it, which is what a job writes. Boundary IoU (Cheng et al., 2021) uses a
band of 1 % of the diagonal. False foreground is the share of pixels above 0.5.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
import time
from typing import Any, TypeAlias

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from training import bank as banks  # noqa: E402
from training import compose, labels, pieces, sources  # noqa: E402

About: TypeAlias = dict[str, Any]  # a model's preprocessing
Image: TypeAlias = NDArray[np.uint8]  # H x W x 3, BGR
Alpha: TypeAlias = NDArray[np.float32]  # H x W, 0..1
Mask: TypeAlias = NDArray[np.bool_]  # H x W

_LONGEST = 640
_BAND = 0.01
_WORST = 17  # pictures a set that are named: of the samples, all
# Of the held-out cut-outs with alpha of their own, those that are worn: caps, shoes, a scarf.
_WORN = frozenset({"0011", "0012", "0017", "0038", "0055"})
_ROWS = ("even-soft", "even-hard", "patterned-soft", "patterned-hard")  # of scenes3d.py
_U2NET = {
    "name": "u2net family",
    "layout": "stretch",
    "input_size": 320,
    "scale": "max",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "output": "minmax",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One picture with its truth: BGR uint8, alpha float32 in 0..1.

    Empty scenes have alpha 0 everywhere; photos of which nothing is known have None.
    """

    name: str
    bgr: Image
    alpha: Alpha | None


class Model:
    """An ONNX matting model and the way to feed it."""

    def __init__(
        self, name: str, path: pathlib.Path, about: dict[str, Any], size: int | None
    ) -> None:
        """Opens the file on one thread; `size` overrides its default input size."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.name, self.about = name, about
        self.size = size or about["input_size"]
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self._input = self.session.get_inputs()[0].name
        self._output = self.session.get_outputs()[0].name

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the network alone: N x 3 x S x S float32 to N x 1 x S x S float32."""
        answers: list[NDArray[np.float32]] = self.session.run([self._output], {self._input: x})
        return answers[0]

    def __call__(self, bgr: Image) -> Alpha:
        """The alpha of `bgr`, H x W float32 in 0..1."""
        h, w = bgr.shape[:2]
        nh = nw = ph = pw = self.size
        if self.about["layout"] == "letterbox":
            k, multiple = self.size / max(h, w), self.about["multiple"]
            nh, nw = max(round(h * k), 1), max(round(w * k), 1)
            ph, pw = (-(-side // multiple) * multiple for side in (nh, nw))
        method = cv2.INTER_AREA if nh < h and nw < w else cv2.INTER_LINEAR
        rgb = cv2.resize(bgr, (nw, nh), interpolation=method)[..., ::-1]
        rgb = compose.pad(np.ascontiguousarray(rgb), ph, pw)
        scale = rgb.max() if self.about["scale"] == "max" else float(self.about["scale"])
        x = (rgb / np.float32(max(scale, 1)) - self.about["mean"]) / self.about["std"]
        p = self.run(np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32))[0, 0]
        if self.about["output"] == "minmax":
            p = (p - p.min()) / max(p.max() - p.min(), 1e-6)
        alpha = cv2.resize(p[:nh, :nw], (w, h), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(alpha, 0, 1), np.float32)


class Matted(Model):
    """A model with the matting core behind it."""

    def __init__(
        self, name: str, path: pathlib.Path, about: dict[str, Any], size: int | None
    ) -> None:
        """Opens the file twice: for its answers, and alone for the times."""
        from alphabeam.transforms.matting import MattingCore
        from alphabeam.transforms.matting.network import load_model

        super().__init__(name, path, about, size)
        how = {**about, "input_size": self.size}
        self.core = MattingCore(load_model(path, preprocessing=how))

    def __call__(self, bgr: Image) -> Alpha:
        """The alpha of the cutout, H x W float32 in 0..1."""
        alpha = self.core.remove(np.ascontiguousarray(bgr[..., ::-1])).alpha
        return np.asarray(alpha / np.float32(255), np.float32)


def answer(model: Model, case: Case, cache: pathlib.Path | None) -> Alpha:
    """The model's alpha, from the cache where it was computed before."""
    if cache is None:
        return model(case.bgr)
    picture = hashlib.sha256(case.bgr.tobytes()).hexdigest()[:16]
    file = cache / f"{model.digest}-{model.size}-{picture}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, model(case.bgr).astype(np.float16))
    return np.asarray(np.load(file), np.float32)


def open_model(name: str, shared: pathlib.Path, kind: type[Model] = Model) -> Model:
    """Opens a model by name or path; ``NAME@SIZE`` overrides the input size."""
    name, _, size = name.partition("@")
    if name == "catalogue":
        path = _ROOT / "transforms" / "matting" / "models" / "catalogue.onnx"
    elif name == "u2netp":
        path = shared / "models" / "u2netp.onnx"
    else:
        path = pathlib.Path(name)
    if not path.exists():
        sys.exit(f"model {name!r}: no file {path}; give a path, or set ALPHABEAM_SHARED for u2netp")
    described = path.with_suffix(".json")
    about = json.loads(described.read_text()) if described.exists() else _U2NET
    shown = name if path.parent.name == "models" else path.stem
    return kind(f"{shown}@{size}" if size else shown, path, about, int(size) if size else None)


# --- the sets ----------------------------------------------------------------------------------


def _read(path: pathlib.Path, flags: int = cv2.IMREAD_COLOR) -> Any:
    """A picture as OpenCV reads it; one that it cannot read ends the run."""
    image = cv2.imread(str(path), flags)
    if image is None:
        sys.exit(f"{path}: no picture that OpenCV can read")
    return image


def _limit(image: Any) -> Any:
    """The picture, its longer side limited."""
    k = _LONGEST / max(image.shape[:2])
    return image if k >= 1 else cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)


def _pair(picture: pathlib.Path, truth: pathlib.Path, limited: bool = True) -> Case:
    alpha = _read(truth, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    alpha = _limit(alpha) if limited else alpha
    bgr = cv2.resize(_read(picture), alpha.shape[1::-1], interpolation=cv2.INTER_AREA)
    return Case(picture.stem, bgr, alpha)


def sample_cases() -> list[Case]:
    """The project's own samples that have a truth beside them, at their own size."""
    found = []
    for truth in sorted((_ROOT / "samples").glob("**/truth/*.png")):
        for suffix in (".jpg", ".jpeg", ".png", ".webp"):
            picture = next(truth.parents[1].glob(f"**/images/{truth.stem}{suffix}"), None)
            if picture is not None:
                found.append(_pair(picture, truth, limited=False))
                break
    return found


def scene_cases(folder: pathlib.Path) -> dict[str, list[Case]]:
    """The held-out models that `scenes3d.py` rendered, by background and light."""
    found: dict[str, list[Case]] = {row: [] for row in _ROWS}
    for truth in sorted((folder / "truth").glob("*.png")):
        alpha = _read(truth, cv2.IMREAD_UNCHANGED)[..., 3].astype(np.float32) / 255
        row = next(row for row in _ROWS if truth.name.startswith(row))
        bgr = _read(folder / "images" / truth.name)
        found[row].append(Case(truth.stem.removeprefix(f"{row}-"), bgr, alpha))
    return found


def composite_cases(
    bank: pieces.Bank, count: int, name: str = "composite", seed: int = 4711
) -> list[Case]:
    """The bank's cut-outs over its backgrounds, 512 pixels long."""
    made = []
    for i in range(count):
        h, w = compose.frame_of(seed, i, 512)
        bgr, alpha = compose.compose(np.random.default_rng([seed, i]), bank, h, w)
        if (alpha > 0.5).mean() > 0.01:
            made.append(Case(f"{name}-{i:03d}", bgr, alpha))
    return made


def exact_cases(bank: pieces.Bank, paths: list[pathlib.Path], count: int) -> dict[str, list[Case]]:
    """Composites of objects and of garments, of cut-outs alone whose alpha no model made.

    Args:
        bank: The held-out bank, whose renders and backgrounds are used.
        paths: Held-out cut-outs with alpha of their own.
        count: Composites a set.
    """
    cutouts = [(path.stem in _WORN, banks.load_cutout(path)) for path in paths]
    worn = [cutout for is_worn, cutout in cutouts if is_worn and cutout]
    others = [cutout for is_worn, cutout in cutouts if not is_worn and cutout]
    pools = {
        "objects": {"exact": others, "renders": bank.cutouts["renders"]},
        "garments": {"exact": worn},
    }
    return {
        name: composite_cases(dataclasses.replace(bank, cutouts=cutouts), count, name, 4713)
        for name, cutouts in pools.items()
    }


def photo_cases(
    paths: list[pathlib.Path], folder: pathlib.Path, names: set[str], count: int
) -> list[Case]:
    """Held-out photos of the sources `names` for which the teacher's label is sure."""
    known = {label.photo: label for label in labels.read_labels(folder)}
    made: list[Case] = []
    for path in paths:
        label = known.get(f"{path.parent.name}/{path.name}")
        if path.parent.name in names and label is not None and label.is_sure and len(made) < count:
            picture, alpha = banks.load_label(path, folder)
            made.append(Case(f"{path.parent.name}-{path.stem}", picture.bgr, alpha))
    return made


def empty_cases(bank: pieces.Bank, count: int) -> list[Case]:
    """Backgrounds without a subject: patterns, studios, surfaces, shop scenes; hard shadows."""
    made = []
    for i in range(count):
        h, w = compose.frame_of(4712, i, 512)
        bgr = compose.empty(np.random.default_rng([4712, i]), bank, h, w)
        made.append(Case(f"empty-{i:03d}", bgr, np.zeros(bgr.shape[:2], np.float32)))
    return made


# --- the measures ------------------------------------------------------------------------------


def boundary(mask: Mask) -> Mask:
    """The pixels of `mask` (bool) that lie within the band inside its outline."""
    d = max(round(_BAND * float(np.hypot(*mask.shape))), 1)
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)[1:-1, 1:-1]
    return np.asarray(mask & (inner == 0))


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two bool masks; 1 where both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def measure(cases: list[Case], answers: list[Alpha]) -> tuple[dict[str, float], list[float]]:
    """Measures a model's answers on one set: the means, and each picture's IoU."""
    try:
        import py_sod_metrics as sod
    except ImportError:
        sod = None
    if sod:
        maximum, weighted, structure = sod.Fmeasure(), sod.WeightedFmeasure(), sod.Smeasure()
    rows = []
    truths = [case.alpha for case in cases if case.alpha is not None]
    for alpha, p in zip(truths, answers, strict=True):
        said, true = np.asarray(p > 0.5), np.asarray(alpha > 0.5)
        rows.append(
            (
                float(np.abs(p - alpha).mean()),
                iou(said, true),
                iou(boundary(said), boundary(true)),
                float(said.mean()),
            )
        )
        if sod and true.any():
            pred, gt = np.rint(p * 255).astype(np.uint8), true.astype(np.uint8) * 255
            for metric in (maximum, weighted, structure):
                metric.step(pred=pred, gt=gt)
    mae, ious, edges, foreground = (np.array(column) for column in zip(*rows, strict=True))
    result = {"MAE": mae.mean(), "IoU": ious.mean(), "boundary": edges.mean()}
    if not any(alpha.any() for alpha in truths):
        result = {"MAE": mae.mean(), "false fg": foreground.mean(), "worst fg": foreground.max()}
    elif sod:
        result["max F"] = maximum.get_results()["fm"]["curve"].max()
        result["weighted F"] = weighted.get_results()["wfm"]
        result["S"] = structure.get_results()["sm"]
    return {name: float(value) for name, value in result.items()}, [float(v) for v in ious]


def milliseconds(models: list[Model], rounds: int = 12) -> dict[str, tuple[float, float]]:
    """CPU milliseconds per picture on one core, models taking turns.

    Returns:
        For each model the median of the network alone, and of everything from BGR to alpha.
    """
    picture = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    spent: dict[str, list[tuple[float, float]]] = {model.name: [] for model in models}
    cv2.setNumThreads(1)
    for _ in range(rounds):
        for model in models:
            x = np.zeros((1, 3, model.size, model.size), np.float32)
            a = time.process_time()
            model.run(x)
            b = time.process_time()
            model(picture)
            spent[model.name].append((b - a, time.process_time() - b))
    found = {}
    for name, times in spent.items():
        network, whole = 1e3 * np.median(times[2:], axis=0)
        found[name] = (float(network), float(whole))
    return found


# --- what is shown -----------------------------------------------------------------------------


def _cell(bgr: Image, alpha: Alpha | None, side: int) -> Image:
    """A picture, or its cut-out on magenta, in a square cell."""
    k = side / max(bgr.shape[:2])
    size = (max(int(bgr.shape[1] * k), 1), max(int(bgr.shape[0] * k), 1))
    shown = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if alpha is not None:
        a = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
        shown = shown * a + np.array([190, 60, 190], np.float32) * (1 - a)
    cell = np.full((side, side, 3), 255, np.uint8)
    cell[: size[1], : size[0]] = shown.astype(np.uint8)
    return cell


def write_sheet(
    target: pathlib.Path,
    cases: list[Case],
    answers: list[list[Alpha]],
    side: int = 150,
    across: int = 3,
) -> None:
    """Writes a contact sheet: the picture, its truth if known, and each model's cut-out.

    Args:
        target: The PNG to write.
        cases: The pictures.
        answers: For each picture, each model's alpha.
        side: Side of a cell, pixels.
        across: Pictures a row.
    """
    strips = []
    for case, alphas in zip(cases, answers, strict=True):
        shown = [None, *([] if case.alpha is None else [case.alpha]), *alphas]
        strip = np.hstack([_cell(case.bgr, alpha, side) for alpha in shown])
        strip[-1:] = strip[:, -2:] = 0
        for colour, width in (((0, 0, 0), 2), ((255, 255, 255), 1)):
            cv2.putText(strip, case.name[:28], (3, side - 5), 0, 0.35, colour, width, cv2.LINE_AA)
        strips.append(strip)
    while len(strips) % across:
        strips.append(np.full_like(strips[0], 255))
    rows = [np.hstack(strips[i : i + across]) for i in range(0, len(strips), across)]
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), np.vstack(rows))


def main() -> None:
    """Prints the tables and writes the contact sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["catalogue", "u2netp"])
    parser.add_argument("--shared", type=pathlib.Path, default=sources.find_shared())
    parser.add_argument("--labels", type=pathlib.Path, help="the teacher's labels (training/)")
    parser.add_argument("--renders", type=pathlib.Path, help="renders, of which some are held out")
    parser.add_argument("--scenes", type=pathlib.Path, help="what scenes3d.py rendered")
    parser.add_argument("--count", type=int, default=100, help="pictures a set at most")
    parser.add_argument("--sets", nargs="*", help="only these sets")
    parser.add_argument("--sheets", type=int, default=36, help="pictures a contact sheet, 0: none")
    parser.add_argument("--worst", action="store_true", help="sheets of the first model's worst")
    parser.add_argument("--matted", action="store_true", help="measure what the core makes of it")
    parser.add_argument("--cache", type=pathlib.Path, help="keep the models' answers here")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    kind = Matted if options.matted else Model
    models = [open_model(name, options.shared, kind) for name in options.models]
    # The cache knows a model by its file: what the core makes of it changes with the core.
    cache = None if options.matted else options.cache

    cases: dict[str, list[Case]] = {"samples": sample_cases()}
    cases["test photos"] = [
        Case(path.stem, _limit(_read(path)), None)
        for path in sorted((options.shared / "data" / "photos").glob("*.*"))
    ]
    if options.scenes:
        cases |= scene_cases(options.scenes)
    wants_held_out = not options.sets or set(options.sets) - {"samples", "test photos", *_ROWS}
    if (options.shared / "data" / "train").is_dir() and wants_held_out:
        _, out = sources.find_sources(options.shared)
        folder = options.labels or pathlib.Path("no labels")
        bank = banks.build_bank(out, folder, options.renders, out=True)
        n = options.count
        cases["composites"] = composite_cases(bank, n)
        cases["renders"] = [
            _pair(path, path.parents[1] / "truth" / f"{path.stem}.png")
            for path in banks.find_renders(options.renders, out=True)[:n]
        ]
        cases |= exact_cases(bank, out.cutouts, n)
        kinds = {
            "photos of objects*": {"spree", "eshop_ai", "otel", "gcp_boutique", "apc"},
            "photos of garments*": {"clothing"},
            "people*": {"azure", "sylius", "bagisto"},
        }
        for name, from_ in kinds.items():
            cases[name] = photo_cases(out.photos, folder, from_, n)
        cases["empty"] = empty_cases(bank, n)
    elif wants_held_out:
        print(f"held-out sets skipped: no data/train in {options.shared}", file=sys.stderr)
    cases = {
        name: found
        for name, found in cases.items()
        if found and (not options.sets or name.strip("*") in {s.strip("*") for s in options.sets})
    }
    for name, found in cases.items():
        print(f"\n{name} ({len(found)} pictures)")
        answers = [[answer(model, case, cache) for case in found] for model in models]
        order = np.arange(len(found))
        if found[0].alpha is not None:
            scores = []
            for model, alphas in zip(models, answers, strict=True):
                means, each = measure(found, alphas)
                scores.append(each)
                print(
                    f"  {model.name:24s}"
                    + "".join(f"{key} {value:.4f}   " for key, value in means.items())
                )
            rank = np.argsort(scores[0])
            worst = [f"{found[i].name} {scores[0][i]:.3f}" for i in rank[:_WORST]]
            print(f"  {models[0].name}'s lowest IoU: " + ", ".join(worst), flush=True)
            order = rank if options.worst else order
        if options.sheets:
            order = order[: options.sheets]
            write_sheet(
                options.out / f"{name.strip('*').replace(' ', '-')}.png",
                [found[i] for i in order],
                [[alphas[i] for alphas in answers] for i in order],
            )
    print("\nmilliseconds of one core a picture: the network, and from picture to alpha")
    times = milliseconds(models)
    for name, (network, whole) in times.items():
        print(f"  {name:24s}{network:8.1f}{whole:8.1f}")
    first, last = models[0].name, models[-1].name
    if len(models) > 1:
        print(f"  {last} / {first}: {times[last][0] / times[first][0]:.1f}")
    print("* against labels of u2netp itself (flip-averaged, refined): agreement, not truth")
    if os.environ.get("OMP_NUM_THREADS") is None:
        print("  (for stable times set OMP_NUM_THREADS=1)")


if __name__ == "__main__":
    main()
