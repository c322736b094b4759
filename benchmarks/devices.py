"""Every device that is here against the CPU: CPU time of a look, and how far the masks differ.

    python benchmarks/devices.py [--rounds 5] [--samples 6]

Runs the embedded network and the refiner on samples, one thread, once on ONNX Runtime's default
provider and once on each other device that the installed ONNX Runtime has (`backend.device`). A
look is one inference of the network at its own input size. Times are CPU seconds of this process,
the least of the rounds; on a GPU they are not the whole story. The first look, which may compile,
is not counted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.network import Network, load_model
from alphabeam.transforms.matting.session import DEVICES, DeviceError, providers_of

_SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "images"


def devices() -> list[str]:
    """Those that are here, the CPU first."""
    found = ["cpu"]
    for name in DEVICES:
        if name in ("auto", "cpu"):
            continue
        try:
            providers_of(name)
        except DeviceError:
            continue
        found.append(name)
    return found


def pictures(count: int) -> list[np.ndarray]:
    """The first samples, RGB."""
    paths = sorted(_SAMPLES.glob("*.jpg"))[:count]
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]


def milliseconds(network: Network, images: list[np.ndarray], rounds: int) -> float:
    """CPU milliseconds of one inference of the network."""
    size = network.input_size
    network.infer(images[0], size)
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for image in images:
            network.infer(image, size)
        best = min(best, (time.process_time() - began) / len(images))
    return 1000 * best


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=6)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = pictures(options.samples)
    print(f"ONNX Runtime {ort.__version__}, {len(images)} samples\n")
    print(
        "| device | CPU, ms a look | relative | network, most of 255 | mask, most of 255 "
        "| pixels over 1 |"
    )
    print("|---|---|---|---|---|---|")
    base, looks, masks = 0.0, [], []
    for name in devices():
        try:
            network = load_model("catalogue", device=name)
            core = MattingCore(device=name)
            took = milliseconds(network, images, options.rounds)
        except (ValueError, RuntimeError) as error:
            print(f"| {name} | cannot be used: {error} | | | | |")
            continue
        seen = [np.asarray(network.predict(image), np.float64) for image in images]
        made = [core.remove(image).alpha.astype(np.int64) for image in images]
        if name == "cpu":
            base, looks, masks = took, seen, made
        of_network = max(float(np.abs(a - b).max()) for a, b in zip(seen, looks, strict=True))
        apart = [np.abs(a - b) for a, b in zip(made, masks, strict=True)]
        print(
            f"| {name} | {took:.0f} | {took / base:.2f} | {255 * of_network:.4f} "
            f"| {max(int(one.max()) for one in apart)} "
            f"| {sum(int((one > 1).sum()) for one in apart)} of "
            f"{sum(one.size for one in apart)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
