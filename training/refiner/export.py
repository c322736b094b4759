"""From the trained refiner to its ONNX file."""

from __future__ import annotations

import pathlib
import warnings

import onnx
import torch

from .network import RefinerNet

__all__ = ["export"]


def export(net: RefinerNet, target: pathlib.Path) -> None:
    """Writes ``target``: input ``features``, output ``alpha``, any batch and multiples of 4."""
    target.parent.mkdir(parents=True, exist_ok=True)
    axes = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is told to be on its way out
        torch.onnx.export(
            net.cpu().eval().to(memory_format=torch.contiguous_format),
            (torch.zeros(1, 12, 64, 96),),
            str(target),
            input_names=["features"],
            output_names=["alpha"],
            dynamic_axes={"features": axes, "alpha": axes},
            opset_version=17,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(str(target)))
