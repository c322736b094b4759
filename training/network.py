"""The network: a small residual U-Net with dense convolutions, which CPUs run best.

Strides 2 to 32 with a dilated bottom and a global context; the last layer sees the picture itself
once more, four pixels at a time, so that the edge is drawn at full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CatalogueNet", "Exported"]


class _Conv(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(self, i: int, o: int, k: int = 3, s: int = 1, d: int = 1, relu: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(i, o, k, s, d * (k // 2), d, bias=False),
            nn.BatchNorm2d(o),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class _Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, c: int, d: int = 1):
        super().__init__()
        self.body = nn.Sequential(_Conv(c, c, d=d), _Conv(c, c, d=d, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class _Context(nn.Module):
    """Adds what the whole picture says to every place of it."""

    def __init__(self, c: int):
        super().__init__()
        self.squeeze = nn.Conv2d(c, c // 2, 1)
        self.excite = nn.Conv2d(c // 2, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True))))


class _Merge(nn.Module):
    """One step of the decoder: the coarser features doubled in size, plus the skip."""

    def __init__(self, coarse: int, skip: int, out: int, blocks: int):
        super().__init__()
        self.coarse = _Conv(coarse, out, 1, relu=False)
        self.skip = _Conv(skip, out, 1, relu=False)
        self.blocks = nn.Sequential(*(_Block(out) for _ in range(blocks)))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(self.coarse(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.blocks(F.relu(x + self.skip(skip)))


class CatalogueNet(nn.Module):
    """From RGB in 0..1, N x 3 x H x W (multiples of 32), to logits of alpha."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 112, 144)) -> None:
        """Builds the network.

        Args:
            widths: Channels at strides 2, 4, 8, 16 and 32.
        """
        super().__init__()
        a, b, c, d, e = widths
        self.stem = _Conv(3, a, 3, 2)
        self.stage4 = nn.Sequential(_Conv(a, b, 3, 2), _Block(b))
        self.stage8 = nn.Sequential(_Conv(b, c, 3, 2), _Block(c), _Block(c))
        self.stage16 = nn.Sequential(_Conv(c, d, 3, 2), _Block(d), _Block(d))
        self.stage32 = nn.Sequential(
            _Conv(d, e, 3, 2), _Block(e), _Block(e, 2), _Context(e), _Block(e, 3), _Context(e)
        )
        self.merge16 = _Merge(e, d, 80, 1)
        self.merge8 = _Merge(80, c, 48, 2)
        self.merge4 = _Merge(48, b, 32, 2)
        self.up2 = _Conv(32, 16, 1, relu=False)
        self.skip2 = _Conv(a, 16, 1, relu=False)
        self.fine = nn.Sequential(_Conv(16 + 12, 16), _Block(16))
        self.head = nn.Conv2d(16, 4, 3, padding=1)
        self.side = nn.Conv2d(48, 1, 1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            if isinstance(m, _Block):  # every block begins as the identity
                nn.init.zeros_(m.body[1][1].weight)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits N x 1 x H x W and, for training, those at stride 8."""
        x = (image - 0.5) * 4
        s2 = self.stem(x)
        s4 = self.stage4(s2)
        s8 = self.stage8(s4)
        s16 = self.stage16(s8)
        y = self.merge16(self.stage32(s16), s16)
        y8 = self.merge8(y, s8)
        y = self.merge4(y8, s4)
        y = F.interpolate(self.up2(y), scale_factor=2.0, mode="bilinear", align_corners=False)
        y = F.relu(y + self.skip2(s2))
        y = self.fine(torch.cat([y, F.pixel_unshuffle(x, 2)], 1))
        return F.pixel_shuffle(self.head(y), 2), self.side(y8)


class Exported(nn.Module):
    """What the ONNX file computes: alpha as a probability, at the picture's size."""

    def __init__(self, net: CatalogueNet):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Returns alpha in 0..1, N x 1 x H x W."""
        return torch.sigmoid(self.net(image)[0])
