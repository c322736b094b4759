"""From the trained refiner to its ONNX file."""

from __future__ import annotations

import pathlib

import onnx
import torch

from ..export import trace
from .network import RefinerNet

__all__ = ["export"]


def export(net: RefinerNet, target: pathlib.Path) -> None:
    """Writes ``target``: input ``features``, output ``alpha``, any batch and multiples of 4."""
    trace(net, torch.zeros(1, 12, 64, 96), target, "features", {0: "n", 2: "h", 3: "w"})
    onnx.checker.check_model(onnx.load(str(target)))
