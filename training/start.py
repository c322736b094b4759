"""Starts a network from an exported file, such as the shipped one, instead of from nothing."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from .network import CatalogueNet

__all__ = ["start_from"]

_NORM = 2**0.5
"""Norm of a filter as `CatalogueNet` is initialised: what the learning rates are made for."""


def _layers(net: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions in the order in which they run, each with the batch norm after it."""
    ran: list[nn.Module] = []
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [
        module.register_forward_hook(lambda module, *_: ran.append(module))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        net.eval()(example)
    for hook in hooks:
        hook.remove()
    following = [*ran[1:], None]
    return [
        (layer, after if isinstance(after, nn.BatchNorm2d) else None)
        for layer, after in zip(ran, following, strict=True)
        if isinstance(layer, nn.Conv2d)
    ]


def start_from(file: pathlib.Path, net: CatalogueNet, pictures: Iterable[Tensor]) -> int:
    """Gives `net` the weights of an exported file; in evaluation both compute the same.

    An exported file has its batch norms folded into the convolutions. They are unfolded here:
    each filter is brought back to the norm that it began with, and the statistics of its output
    are taken from `pictures`, so that training goes on as if it had never been exported. Layers
    that the file does not have, such as a block added since, stay as they were initialised:
    blocks begin as the identity.

    Args:
        file: An ONNX file that `training.export.export` wrote.
        net: The network to fill, with the same widths.
        pictures: Batches of training pictures, N x 3 x H x W float32 in 0..1.

    Returns:
        How many convolutions were taken from the file.

    Raises:
        ValueError: The file has convolutions that the network does not have.
    """
    graph = onnx.load(str(file)).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]].astype("float32")
    stored = [
        [torch.from_numpy(tensors[name].copy()) for name in node.input[1:]]
        for node in graph.node
        if node.op_type == "Conv"
    ]
    taken: list[nn.BatchNorm2d] = []
    count = 0
    for layer, norm in _layers(net, torch.zeros(1, 3, 64, 64)):
        if count == len(stored) or stored[count][0].shape != layer.weight.shape:
            continue
        weight, bias = stored[count]
        count += 1
        with torch.no_grad():
            if norm is None:
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
                continue
            length = weight.flatten(1).norm(dim=1).clamp_min(1e-4)
            layer.weight.copy_(weight * (_NORM / length)[:, None, None, None])
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.copy_(length / _NORM)
            norm.bias.copy_(bias)
            taken.append(norm)
    if count < len(stored):
        raise ValueError(
            f"{file}: convolution {count + 1} of {len(stored)} does not fit the network; "
            "start from a file that this recipe exported"
        )
    _take_statistics(net, taken, pictures)
    return count


def _take_statistics(
    net: CatalogueNet, norms: list[nn.BatchNorm2d], pictures: Iterable[Tensor]
) -> None:
    """Sets the norms' running statistics to those of `pictures`, without changing the network."""
    # How many values, their sum and that of their squares, by channel.
    sums: dict[nn.Module, list[Any]] = {norm: [0, 0.0, 0.0] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        x = inputs[0].double()
        total = sums[norm]
        total[0] += x.numel() // x.shape[1]
        total[1] = total[1] + x.sum((0, 2, 3))
        total[2] = total[2] + x.square().sum((0, 2, 3))

    hooks = [norm.register_forward_hook(note) for norm in norms]
    with torch.no_grad():
        for batch in pictures:
            net.eval()(batch)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for norm, (n, first, second) in sums.items():
            mean = first / n
            variance = (second / n - mean.square()).clamp_min(1e-8)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            # So far the norm was x * weight + bias: the same again, with the statistics in it.
            slope = norm.weight.double()
            norm.bias.copy_(norm.bias.double() + slope * mean)
            norm.weight.copy_(slope * (variance + norm.eps).sqrt())
