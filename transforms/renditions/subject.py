"""The subject of a cutout: its box, and its pixels at another size.

Colours are averaged in linear light and weighted by alpha, so that nothing of what is transparent
gets into an edge, and fine bright detail keeps its brightness. Alpha is a share of an area, and is
averaged as it is. Enlarged pixels are interpolated as they are encoded: a cubic's overshoot would
show as dark rims in linear light.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box

__all__ = [
    "VEIL",
    "Subject",
    "box_of",
    "darkest",
    "pixels_of",
    "stand_of",
    "strips_of",
    "without_traces",
    "without_veil",
]

VEIL = 5
"""Alpha up to it, 2 % of 255, is a veil: it moves nothing, and no background shows it."""

_TRACE = 16  # alpha, 6 %: what is fainter, and not beside what is not, is a trace of something
_BESIDE = 3  # pixels
_RAMP = 12  # alpha from which it counts in full, where the veil is taken off
_STRIP = 1 << 15  # pixels
_FINE = 128  # steps of a level in premultiplied pixels of 16 bits
_STAND = 0.1  # of the subject's greatest width: what is narrower at the bottom carries nothing


def box_of(alpha: NDArray[np.uint8]) -> Box | None:
    """The bounding box of all pixels with alpha over 2 %, without faint traces far from the rest.

    Args:
        alpha: uint8 HxW.

    Returns:
        Left, top, right, bottom in pixels, right and bottom exclusive; None if there are none.
    """
    left, top, width, height = cv2.boundingRect(without_traces(alpha))
    return (left, top, left + width, top + height) if width else None


def without_traces(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha without its veil and its traces: what is under 6 %, and not beside what is over it.

    A remainder of a shadow under a chair's leg is over 2 %, is seen by nobody, and would move the
    chair. Where nothing is over 6 %, there are no traces.

    Args:
        alpha: uint8 HxW.

    Returns:
        The same, with 0 in place of them.
    """
    kept: NDArray[np.uint8]
    _, solid = cv2.threshold(alpha, VEIL, 255, cv2.THRESH_TOZERO)
    _, sure = cv2.threshold(alpha, _TRACE, 255, cv2.THRESH_BINARY)
    if not cv2.countNonZero(sure):
        kept = solid
        return kept
    size = 2 * _BESIDE + 1
    beside = cv2.dilate(sure, np.ones((size, size), np.uint8))
    kept = cv2.bitwise_and(solid, beside)
    return kept


def stand_of(alpha: NDArray[np.uint8], box: Box) -> int:
    """The row that a subject stands on: below the last one that is a tenth as wide as it.

    Args:
        alpha: uint8 HxW.
        box: The subject's box.

    Returns:
        A row, exclusive, within the box.
    """
    left, top, right, bottom = box
    widths = np.count_nonzero(alpha[top:bottom, left:right] > 127, axis=1)
    wide = np.flatnonzero(widths >= max(1, _STAND * widths.max(initial=0)))
    return top + int(wide[-1]) + 1 if len(wide) else bottom


def without_veil(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha (uint8, any shape) with its veil at 0, and what is over it unchanged but for a ramp."""
    thin: NDArray[np.uint8] = cv2.LUT(alpha, _without_veil())
    return thin


@functools.cache
def _without_veil() -> NDArray[np.uint8]:
    values = np.arange(256, dtype=np.float64)
    ramp = (values - VEIL) * _RAMP / (_RAMP - VEIL)
    return np.rint(np.where(values <= VEIL, 0, np.where(values < _RAMP, ramp, values))).astype(
        np.uint8
    )


class Subject:
    """A cutout, cropped to what is visible in it, to be resampled to several sizes.

    Args:
        rgba: uint8 HxWx4, straight alpha, sRGB.
        shadow: Whether its black, where it is translucent, is a shadow: that is visible, but no
            part of the subject's box.

    Attributes:
        box: The subject's box in the cutout; None if nothing is over 2 %.
        size: Width and height of the cutout, pixels.
    """

    def __init__(self, rgba: NDArray[np.uint8], *, shadow: bool = False) -> None:
        self.size = (rgba.shape[1], rgba.shape[0])
        self._shadow = shadow
        left, top, width, height = cv2.boundingRect(rgba[..., 3])
        self._crop = (left, top, left + width, top + height)
        self._rgba = rgba[top : top + height, left : left + width]
        self.box: Box | None = None
        if width:
            seen = _without_shadow(self._rgba) if shadow else self._rgba[..., 3]
            box = box_of(seen)
            self.box = box and (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
        self._linear: NDArray[np.uint16] | None = None
        self._multiplied: tuple[Box, NDArray[np.uint16]] | None = None  # of that part

    def resampled(
        self, scale: float, *, veil: bool = True
    ) -> tuple[NDArray[np.uint8], Box, tuple[int, int]]:
        """The visible part at another size.

        Args:
            scale: Of its sides. The subject's box gets ``scale`` times its width and height,
                rounded; a scale in between stretches a side by less than a pixel.
            veil: Whether what is up to 2 % is left; without it, nothing but the subject's box is
                given, and so it is cut there.

        Returns:
            uint8 hxwx4, straight alpha; the subject's box in it; and where in it the cutout's
            left and top corner would be.
        """
        assert self.box is not None
        left, top, right, bottom = self.box
        crop = self._crop if veil or self._shadow else self.box
        sides = [right - left, bottom - top]
        scales = [max(1, round(side * scale)) / side for side in sides]
        size = (
            max(1, round((crop[2] - crop[0]) * scales[0])),
            max(1, round((crop[3] - crop[1]) * scales[1])),
        )
        inner = (
            crop[0] - self._crop[0],
            crop[1] - self._crop[1],
            crop[2] - self._crop[0],
            crop[3] - self._crop[1],
        )
        rgba = self._resized(inner, size)
        alpha = cv2.extractChannel(rgba, 3)
        if not veil:
            alpha = without_veil(alpha) if self._shadow else without_traces(alpha)
            cv2.insertChannel(alpha, rgba, 3)
        found = box_of(_without_shadow(rgba) if self._shadow else alpha)
        origin = (round(-crop[0] * scales[0]), round(-crop[1] * scales[1]))
        return rgba, found or (0, 0, *size), origin

    def _resized(self, part: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
        left, top, right, bottom = part
        if size == (right - left, bottom - top):
            return self._rgba[top:bottom, left:right].copy()
        if size[0] * size[1] > (right - left) * (bottom - top):
            if self._multiplied is None or self._multiplied[0] != part:
                self._multiplied = part, _premultiplied(self._rgba[top:bottom, left:right])
            large = cv2.resize(self._multiplied[1], size, interpolation=cv2.INTER_CUBIC)
            return _from_premultiplied(large)
        if self._linear is None:
            self._linear = _linear(self._rgba)
        linear = self._linear[top:bottom, left:right]
        return _straight(cv2.resize(linear, size, interpolation=cv2.INTER_AREA))


def _without_shadow(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha without pixels that are black and translucent, as a shadow that was kept is."""
    black = cv2.inRange(rgba, (0, 0, 0, 0), (0, 0, 0, 254))
    alpha: NDArray[np.uint8] = cv2.bitwise_and(cv2.extractChannel(rgba, 3), cv2.bitwise_not(black))
    return alpha


def _linear(rgba: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Colours in linear light times alpha, and alpha: uint16 HxWx4, 0..65535."""
    alpha = cv2.extractChannel(rgba, 3)
    # What is transparent has no colour.
    out: NDArray[np.uint16] = cv2.LUT(cv2.copyTo(rgba, alpha), _to_linear())
    cv2.insertChannel(cv2.multiply(alpha, 257, dtype=cv2.CV_16U), out, 3)
    thin = np.flatnonzero(cv2.inRange(alpha, 1, 254) > 0)
    if len(thin):
        flat = out.reshape(-1, 4)
        values = flat.take(thin, axis=0).astype(np.float32)
        values[:, :3] *= alpha.ravel().take(thin)[:, None] * np.float32(1 / 255)
        flat.view(np.uint64).ravel()[thin] = np.rint(values).astype(np.uint16).view(np.uint64)[:, 0]
    return out


def _straight(linear: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Straight sRGB, uint8 HxWx4, from linear colours times alpha, uint16 HxWx4."""
    alpha = cv2.extractChannel(linear, 3)
    eight = cv2.multiply(alpha, 1 / 257, dtype=cv2.CV_8U)
    colours = _encoded(cv2.cvtColor(linear, cv2.COLOR_RGBA2RGB))
    out: NDArray[np.uint8] = cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(eight, out, 3)
    soft = np.flatnonzero(cv2.inRange(alpha, 1, 65534) > 0)  # flat: a tenth of the time
    if len(soft):
        opacity = eight.ravel().take(soft)
        straight = linear.reshape(-1, 4).take(soft, axis=0).astype(np.float32)
        straight *= np.float32(65535) / straight[:, 3:]
        encoded = _encoded(np.minimum(straight, 65535).astype(np.uint16))
        encoded[:, 3] = opacity
        encoded[opacity == 0] = 0
        pixels_of(out)[soft] = pixels_of(encoded)
    return out


def _encoded(linear: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """sRGB, uint8, of linear values 0..65535 of any shape."""
    if _LUT_OF_16_BITS:  # a quarter of the time
        fast: NDArray[np.uint8] = cv2.LUT(linear, _from_linear()[None])
        return fast
    return _from_linear()[linear]


def _lut_takes_16_bits() -> bool:
    try:
        return bool(
            cv2.LUT(np.zeros((1, 1), np.uint16), np.zeros((1, 65536), np.uint8)) is not None
        )
    except cv2.error:  # OpenCV 4
        return False


_LUT_OF_16_BITS = _lut_takes_16_bits()


def _premultiplied(rgba: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Colours times alpha, and alpha: uint16 HxWx4, in steps of 1/128 of a level.

    So a cubic has room above, where it overshoots; what would be under 0 is 0.
    """
    alpha = cv2.extractChannel(rgba, 3)
    weights = cv2.merge([alpha, alpha, alpha, np.full_like(alpha, 255)])
    out: NDArray[np.uint16] = cv2.multiply(rgba, weights, scale=_FINE / 255, dtype=cv2.CV_16U)
    return out


def _from_premultiplied(large: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Straight pixels, uint8 HxWx4, of those that `_premultiplied` gives."""
    out: NDArray[np.uint8] = cv2.convertScaleAbs(large, alpha=1 / _FINE)  # rounds, and cuts
    # Beside an edge, alpha overshoots as the colours do.
    alpha = cv2.extractChannel(large, 3)
    solid, half = 255 * _FINE, _FINE // 2
    soft = np.flatnonzero(cv2.inRange(alpha, solid - half, solid + half) == 0)
    soft = soft[alpha.ravel().take(soft) > half]
    if len(soft):
        values = large.reshape(-1, 4).take(soft, axis=0).astype(np.float32)
        values *= 255 / values[:, 3:]
        np.minimum(values, 255, out=values)
        straight = np.rint(values).astype(np.uint8)
        straight[:, 3] = out.reshape(-1, 4)[:, 3].take(soft)
        pixels_of(out)[soft] = pixels_of(straight)
    clear: NDArray[np.uint8] = cv2.copyTo(out, cv2.extractChannel(out, 3))
    return clear


def strips_of(pixels: NDArray[np.uint8]) -> list[slice]:
    """Rows of a picture in strips, whose temporaries stay in the processor's cache."""
    height, width = pixels.shape[:2]
    rows = max(1, _STRIP // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def darkest(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The lowest of each pixel's channels: uint8 HxW, of uint8 HxWx3."""
    low = np.empty(rgb.shape[:2], np.uint8)
    for rows in strips_of(rgb):
        red, green, blue = cv2.split(rgb[rows])
        cv2.min(cv2.min(red, green), blue, dst=low[rows])
    return low


def pixels_of(rgba: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The same memory as one number a pixel: these are gathered ten times as fast.

    Args:
        rgba: uint8 ...x4, contiguous.

    Returns:
        uint32, flat.
    """
    return rgba.reshape(-1).view(np.uint32)


@functools.cache
def _to_linear() -> NDArray[np.uint16]:
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    table: NDArray[np.uint16] = np.rint(linear * 65535).astype(np.uint16)
    return table


@functools.cache
def _from_linear() -> NDArray[np.uint8]:
    values = np.arange(65536) / 65535
    encoded = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return table
