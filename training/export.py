"""From the trained network to the shipped ONNX file and its description."""

from __future__ import annotations

import hashlib
import json
import pathlib
import warnings

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.utils import Extractor

from .network import CatalogueNet, Exported

__all__ = ["INPUT_SIZE", "export", "save", "trace"]

INPUT_SIZE = 416
"""Default longer side of the input, pixels: that of the end of the training."""


def _halve(model: onnx.ModelProto) -> None:
    """Stores the weights as float16, cast back to float32 when the session opens."""
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        half = numpy_helper.to_array(tensor).astype("float16")
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(half, f"{tensor.name}.f16"))
        casts.append(
            helper.make_node("Cast", [f"{tensor.name}.f16"], [tensor.name], to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _fold_padding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Has each convolution add the zeros itself that a node before it pads its input with.

    PyTorch's convolutions cannot pad one side more than the other, as TensorFlow's do with strides;
    ONNX's can. A node of its own costs a copy, and ONNX Runtime's blocked layout.
    """
    pads = {node.output[0]: node for node in model.graph.node if node.op_type == "Pad"}
    widths = [node.input[1] for node in pads.values()]
    eight = [helper.make_tensor_value_info(name, TensorProto.INT64, [8]) for name in widths]
    model.graph.value_info.extend(eight)
    constant = Extractor(model).extract_model([], widths)
    found = dict(zip(widths, ReferenceEvaluator(constant).run(None, {}), strict=True))
    for conv in (node for node in model.graph.node if node.op_type == "Conv"):
        pad = pads.get(conv.input[0])
        if pad is None:
            continue
        # Four axes before, then four behind; the convolution names the last two of each.
        around = found[pad.input[1]].tolist()
        own = next(attribute for attribute in conv.attribute if attribute.name == "pads")
        own.ints[:] = [a + b for a, b in zip(own.ints, around[2:4] + around[6:8], strict=True)]
        conv.input[0] = pad.input[0]
    names = [[value.name for value in ends] for ends in (model.graph.input, model.graph.output)]
    lean: onnx.ModelProto = Extractor(model).extract_model(*names)
    return lean


def trace(
    net: torch.nn.Module,
    example: torch.Tensor,
    target: pathlib.Path,
    name: str,
    axes: dict[int, str],
) -> None:
    """Writes a network as ONNX, by the tracing exporter: it is the one that folds batch norm.

    Args:
        net: The network; moved to the CPU and to evaluation.
        example: An input to trace it with.
        target: The file to write.
        name: The input's name; the output's is ``alpha``.
        axes: The axes of both that are free, by name.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is told to be on its way out
        torch.onnx.export(
            net.cpu().eval().to(memory_format=torch.contiguous_format),
            (example,),
            str(target),
            input_names=[name],
            output_names=["alpha"],
            dynamic_axes={name: axes, "alpha": axes},
            opset_version=17,
            dynamo=False,
        )


def export(net: CatalogueNet, target: pathlib.Path) -> str:
    """Writes ``target`` and the JSON beside it, which tells how to feed it.

    Args:
        net: The trained network.
        target: The ONNX file to write.

    Returns:
        A line to print.
    """
    axes = {0: "batch", 2: "height", 3: "width"}
    trace(Exported(net), torch.zeros(1, 3, 320, 320), target, "image", axes)
    model = onnx.load(str(target))
    model = _fold_padding(model)
    _halve(model)
    onnx.checker.check_model(model)
    return save(model, target)


def save(model: onnx.ModelProto, target: pathlib.Path) -> str:
    """Writes a model and the JSON beside it, which tells how to feed it.

    Args:
        model: The whole model.
        target: The ONNX file to write.

    Returns:
        A line to print.
    """
    onnx.save(model, str(target))
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    about = {
        "name": "catalogue",
        "input_size": INPUT_SIZE,
        "multiple": 32,
        "layout": "letterbox",
        "padding": "right and below, by the last pixel, to the multiple",
        "colour": "RGB",
        "scale": "255",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "input": "image",
        "output_name": "alpha",
        "output": "probability",
        "licence": "Apache-2.0",
        "sha256": digest,
    }
    target.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return f"{target}: {target.stat().st_size / 1e6:.2f} MB, sha256 {digest}"
