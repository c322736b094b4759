"""The refiner: a small two-level residual network that works on 2 x 2 blocks of pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RefinerNet"]

_ALPHA = slice(5, 6)


def _conv(
    inside: int, outside: int, size: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride, size // 2 * dilation, dilation)


class RefinerNet(nn.Module):
    """Alpha so far plus what is to be added to it; 80 228 weights.

    It starts as the identity: the last layer is zero.
    """

    def __init__(self, fine: int = 16, coarse: int = 48) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, fine, 2, 2)  # pixels to blocks
        self.before = nn.ModuleList([_conv(fine, fine), _conv(fine, fine)])
        self.down = _conv(fine, coarse, 3, 2)
        self.around = nn.ModuleList(
            [_conv(coarse, coarse), _conv(coarse, coarse, dilation=2), _conv(coarse, coarse)]
        )
        self.up = _conv(coarse, fine, 1)
        self.after = nn.ModuleList([_conv(fine, fine), _conv(fine, fine)])
        self.head = _conv(fine, 4, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Mends alpha.

        Args:
            features: N x 12 x H x W in 0..1, H and W multiples of 4: picture (RGB), sure subject,
                sure background, alpha so far, the subject's colours, the background's.

        Returns:
            N x 1 x H x W, about 0..1, not clipped.
        """
        y = F.relu(self.stem(features))
        y = y + F.relu(self.before[1](F.relu(self.before[0](y))))
        z = F.relu(self.down(y))
        z = z + F.relu(self.around[1](F.relu(self.around[0](z))))
        z = z + F.relu(self.around[2](z))
        y = y + F.interpolate(self.up(z), scale_factor=2, mode="nearest")
        y = y + F.relu(self.after[1](F.relu(self.after[0](y))))
        return features[:, _ALPHA] + F.pixel_shuffle(self.head(y), 2)
