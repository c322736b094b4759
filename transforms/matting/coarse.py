"""The coarse alpha: a segmentation network's answer, where it lies, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.box import drop_neighbours, with_margin
from alphabeam.transforms.matting.cast_shadow import drop_cast_shadow
from alphabeam.transforms.matting.closer import closer_region, merge_looks
from alphabeam.transforms.matting.even import EvenBackground, even_background
from alphabeam.transforms.matting.faces import fill_faces
from alphabeam.transforms.matting.fine import look_at_fine_parts
from alphabeam.transforms.matting.left_out import fill_left_out
from alphabeam.transforms.matting.loops import open_loops
from alphabeam.transforms.matting.network import Predictor, outline_distance, pixel_side
from alphabeam.transforms.matting.openings import close_false_openings
from alphabeam.transforms.matting.reflections import drop_reflection
from alphabeam.transforms.parameters import Box
from alphabeam.transforms.pixels import shrunk

__all__ = ["CoarseAlpha", "Grid", "coarse_alpha"]

# A network places its outline with an error of a pixel or two of its own. Its decision gets weight
# 0 up to the first distance from the outline (in its pixels), and full weight from the second on.
_TRUST_FROM, _TRUST_TO = 0.5, 2.5
# Exponent of |2p - 1| in the trust. Measured between 2 (leaves veils in handles) and 4 (tears holes
# into white products); see docs/matting.md, "What was tried".
_DECISION_POWER = 3


class Grid(NamedTuple):
    """Where a pyramid level lies in the whole image.

    Attributes:
        left: The image's column at the level's left edge, in pixels.
        top: The image's row at its top edge.
        step: Pixels of the image per pixel of the level.
    """

    left: int
    top: int
    step: int


@dataclass(frozen=True)
class CoarseAlpha:
    """The network's alpha and the part of the image that it covers.

    Attributes:
        alpha: float32 hxw, 0..1, at the network's resolution; at twice that where it looked at
            fine parts.
        region: Left, top, right, bottom of the part that it covers, in pixels of the image. All
            else is background.
        shape: Height and width of the image.
        before: float32 hxw, 0..1, alpha before faces were filled, a reflection was dropped, loops
            were opened and parts were filled; None if nothing was.
        mirrored: Whether a reflection was dropped.
        shadowed: Whether a cast shadow was.
        doubted: Area of round openings that may be faces, by that of the subject; see `faces`.
        background: The region's background, if it is even.
    """

    alpha: NDArray[np.float32]
    region: Box
    shape: tuple[int, int]
    before: NDArray[np.float32] | None = None
    mirrored: bool = False
    shadowed: bool = False
    doubted: float = 0.0
    background: EvenBackground | None = None

    @property
    def pixel(self) -> float:
        """Side of one pixel of alpha, in pixels of the image."""
        left, top, right, bottom = self.region
        return pixel_side((bottom - top, right - left), self.alpha.shape)

    @property
    def answer(self) -> NDArray[np.float32]:
        """What the network said: `alpha`, or that before the even background corrected it."""
        return self.alpha if self.before is None else self.before

    def reduced(self, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A result at the network's resolution, to be compared with `answer`.

        Args:
            alpha: uint8 HxW, of the image.

        Returns:
            uint8 hxw, of the region.
        """
        left, top, right, bottom = self.region
        height, width = self.answer.shape
        return shrunk(alpha[top:bottom, left:right], width, height)

    def full(self) -> NDArray[np.uint8]:
        """Alpha at the size of the image, uint8 HxW, 0..255; 0 outside the region."""
        small = np.rint(self.alpha * np.float32(255)).astype(np.uint8)
        left, top, right, bottom = self.region
        size = (right - left, bottom - top)
        shrinks = size[0] <= small.shape[1] and size[1] <= small.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        full: NDArray[np.uint8] = cv2.resize(small, size, interpolation=how)
        if size == (self.shape[1], self.shape[0]):
            return full
        out = np.zeros(self.shape, np.uint8)
        out[top:bottom, left:right] = full
        return out

    @cached_property
    def trust(self) -> NDArray[np.float32]:
        """Weight of the network's decision (subject or not) at each of its pixels.

        float32 hxw, 0..1: 0 at the outline, which the network draws roughly; away from it
        ``|2 alpha - 1| ** 3``, which is 1 where the network is decided.
        """
        # Pixel centres lie half a pixel from the outline between them.
        away = (outline_distance(self.alpha) - (0.5 + _TRUST_FROM)) / (_TRUST_TO - _TRUST_FROM)
        decision = np.abs(2 * self.alpha - 1) ** _DECISION_POWER
        weight: NDArray[np.float32] = np.clip(away, 0, 1) * decision
        return weight.astype(np.float32)

    def sample(
        self, plane: NDArray[np.float32], left: int, top: int, step: int, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Samples a plane of the network's resolution on a grid of the image, bilinearly.

        Args:
            plane: float32 hxw, such as :attr:`alpha`.
            left: The image's column at the grid's left edge; see :class:`Grid`.
            top: The image's row at its top edge.
            step: Pixels of the image per grid cell.
            size: Height and width of the grid, in cells.

        Returns:
            float32 of that size, 0 outside the region.
        """
        x0, y0, x1, y1 = self.region
        fx, fy = plane.shape[1] / (x1 - x0), plane.shape[0] / (y1 - y0)
        # Centre of grid cell i: image coordinate left + (i + 1/2) step, pixel edges at integers.
        to_plane = np.array(
            [
                [fx * step, 0, fx * (left + step / 2 - x0) - 0.5],
                [0, fy * step, fy * (top + step / 2 - y0) - 0.5],
            ],
            np.float64,
        )
        sampled: NDArray[np.float32] = cv2.warpAffine(
            plane,
            to_plane,
            (size[1], size[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        columns = left + (np.arange(size[1]) + 0.5) * step
        rows = top + (np.arange(size[0]) + 0.5) * step
        sampled[(rows < y0) | (rows > y1)] = 0
        sampled[:, (columns < x0) | (columns > x1)] = 0
        return sampled


def coarse_alpha(network: Predictor, rgb: NDArray[np.uint8], box: Box | None = None) -> CoarseAlpha:
    """Runs the network on the image, or on a box with a margin, and cleans its answer.

    Without a box, a subject that fills a part of the image only is looked at again (`closer`); so
    are the thin parts of openwork, in tiles (`fine`).
    Patches that the network opened in the subject by mistake are closed (`openings`), and so are
    round faces (`faces`). With a box, neighbours that reach into it are removed (`box`). On an even
    background, parts of a hard shadow (`cast_shadow`) and a product's mirror image (`reflections`)
    are dropped, thin closed loops are opened (`loops`), and parts of another colour that the
    network left out are filled (`left_out`).

    Args:
        network: Anything with ``predict``.
        rgb: uint8 HxWx3, RGB.
        box: Left, top, right, bottom of the subject, inside the image; None for the whole image.

    Returns:
        The coarse alpha.

    Raises:
        ValueError: The network returned something other than a 2-D alpha.
    """
    height, width = rgb.shape[:2]
    region = (0, 0, width, height) if box is None else with_margin(box, (height, width))
    seen = _part(rgb, region)
    alpha = np.ascontiguousarray(_as_alpha(network.predict(seen)))
    closer = closer_region(alpha, (height, width)) if box is None else None
    if closer is not None:
        part = _part(rgb, closer)
        answer = np.ascontiguousarray(_as_alpha(network.predict(part)))
        merged = merge_looks(alpha, closer, (height, width), answer)
        if merged is not None:
            region, seen, alpha = closer, part, merged
    alpha = look_at_fine_parts(network, seen, alpha)
    small = shrunk(seen, alpha.shape[1], alpha.shape[0])
    close_false_openings(alpha, small)
    if box is not None:
        drop_neighbours(alpha, region, box)
    shadowed = drop_cast_shadow(alpha, small)
    before = alpha.copy()
    filled, doubted = fill_faces(alpha, small)
    background = even_background(alpha, small)
    mirrored = False
    if background is not None:
        mirrored = drop_reflection(alpha, background)
        side = max(height, width) / pixel_side(seen.shape, alpha.shape)
        filled |= open_loops(alpha, background, side)
        filled |= fill_left_out(alpha, background)
    changed = before if mirrored or filled else None
    return CoarseAlpha(
        alpha, region, (height, width), changed, mirrored, shadowed, doubted, background
    )


def _part(rgb: NDArray[np.uint8], region: Box) -> NDArray[np.uint8]:
    left, top, right, bottom = region
    return np.ascontiguousarray(rgb[top:bottom, left:right])


def _as_alpha(answer: object) -> NDArray[np.float32]:
    """A network's answer (uint8 0..255 or float 0..1) as float32 0..1 without NaN."""
    alpha = np.asarray(answer)
    if alpha.ndim != 2 or alpha.size == 0:
        raise ValueError(f"the network gave an alpha of shape {alpha.shape}; HxW is needed")
    if alpha.dtype == np.uint8:
        alpha = alpha.astype(np.float32) * np.float32(1 / 255)
    clean: NDArray[np.float32] = np.clip(np.nan_to_num(alpha.astype(np.float32, copy=False)), 0, 1)
    return clean
