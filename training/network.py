"""The network: a pretrained encoder, and a light decoder of dense convolutions.

The decoder goes from a dilated bottom with a global context back to stride 2; there it glances at
the picture itself once more, so that the edge is drawn at full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .encoder import Encoder

__all__ = ["CatalogueNet", "Exported"]


_MIDDLE, _HALF = 127 / 255, 128 / 255
"""What the encoder was trained with: pixels from -1 to 1."""


class _Conv(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(self, i: int, o: int, k: int = 3, s: int = 1, d: int = 1, relu: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(i, o, k, s, d * ((k - s + 1) // 2), d, bias=False),
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

    def __init__(
        self, widths: tuple[int, ...] = (16, 32, 56, 96, 128), encoder: Encoder | None = None
    ) -> None:
        """Builds the network.

        Args:
            widths: The decoder's channels at strides 2, 4, 8, 16 and 32.
            encoder: What sees; EfficientNet-Lite2 without weights where it is left out.
        """
        super().__init__()
        a, b, c, d, e = widths
        self.encoder = encoder or Encoder()
        s2, s4, s8, s16, s32 = self.encoder.widths
        self.bottom = nn.Sequential(
            _Conv(s32, e, 1), _Block(e), _Block(e, 2), _Context(e), _Block(e, 3), _Context(e)
        )
        self.merge16 = _Merge(e, s16, d, 1)
        self.merge8 = _Merge(d, s8, c, 2)
        self.merge4 = _Merge(c, s4, b, 2)
        self.up2 = _Conv(b, a, 1, relu=False)
        self.skip2 = _Conv(s2, a, 1, relu=False)
        self.fine = _Conv(a, a, relu=False)
        self.glance = _Conv(3, a, 6, 2, relu=False)
        self.finish = _Block(a)
        self.head = nn.Conv2d(a, 4, 3, padding=1)
        self.side = nn.Conv2d(c, 1, 1)
        for name, m in self.named_modules():
            if name.startswith("encoder"):
                continue
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            if isinstance(m, _Block):  # every block begins as the identity
                nn.init.zeros_(m.body[1][1].weight)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits N x 1 x H x W and, for training, those at stride 8."""
        s2, s4, s8, s16, s32 = self.encoder((image - _MIDDLE) / _HALF)
        y = self.merge16(self.bottom(s32), s16)
        y8 = self.merge8(y, s8)
        y = self.merge4(y8, s4)
        y = F.interpolate(self.up2(y), scale_factor=2.0, mode="bilinear", align_corners=False)
        y = F.relu(y + self.skip2(s2))
        y = self.finish(F.relu(self.fine(y) + self.glance(image - 0.5)))
        return F.pixel_shuffle(self.head(y), 2), self.side(y8)


class Exported(nn.Module):
    """What the ONNX file computes: alpha as a probability, at the picture's size."""

    def __init__(self, net: CatalogueNet):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Returns alpha in 0..1, N x 1 x H x W."""
        return torch.sigmoid(self.net(image)[0])
