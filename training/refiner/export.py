"""From the trained refiner to its ONNX file."""

from __future__ import annotations

import hashlib
import json
import pathlib

import onnx
import torch

from ..export import trace
from .network import RefinerNet

__all__ = ["export"]


def export(net: RefinerNet, target: pathlib.Path) -> None:
    """Writes ``target`` and, beside it, the JSON file with its SHA-256.

    The network's input is ``features``, its output ``alpha``, any batch and multiples of 4.
    """
    trace(net, torch.zeros(1, 12, 64, 96), target, "features", {0: "n", 2: "h", 3: "w"})
    onnx.checker.check_model(onnx.load(str(target)))
    about = {
        "name": target.stem,
        "input": "features",
        "output_name": "alpha",
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }
    target.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
