"""Composes a rendition's pixels: subject, shadow and background on a canvas.

The subject goes over its background as the pixels are encoded, and not in linear light: the alpha
was solved for in encoded colours, so only so does a cutout over its own background give the
photo again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box
from alphabeam.transforms.renditions.background import Colour
from alphabeam.transforms.renditions.geometry import Layout, Size, lay_out, place
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.shadow import contact_shadow, drop_shadow
from alphabeam.transforms.renditions.subject import (
    VEIL,
    Subject,
    box_of,
    darkest,
    pixels_of,
    stand_of,
    strips_of,
    without_veil,
)

__all__ = ["Composed", "EmptySubjectError", "compose"]

_WHITE = (255, 255, 255)
_FAINT = 9  # levels: what a JPEG may bring under 2 %
_ALIKE = 16  # levels that are seen at an edge only
_TRIES = 4  # scales, of which the first is nearly always right
_SHARPEN_RADIUS = 0.8  # standard deviation, pixels of the rendition


class EmptySubjectError(ValueError):
    """There is nothing over 2 % in the cutout."""


class Composed(NamedTuple):
    """A rendition's pixels.

    Attributes:
        pixels: uint8 HxWx3 RGB; HxWx4 RGBA, straight alpha; or HxW, a mask.
        box: The subject's box on the canvas: left, top, right, bottom.
        scale: Of the subject, against its source.
        filled: Whether it fills the canvas as asked; not where it would have to be enlarged more
            than it may be.
    """

    pixels: NDArray[np.uint8]
    box: Box
    scale: float
    filled: bool


def compose(
    rendition: Rendition, subject: Subject, image: NDArray[np.uint8] | None = None
) -> Composed:
    """Makes a rendition's pixels.

    Args:
        rendition: What is asked for.
        subject: The cutout.
        image: The background's image, uint8 HxWx3, if it is one.

    Returns:
        The pixels, and what was done. Where the background is one colour, every pixel without
        subject and shadow has exactly that colour.

    Raises:
        EmptySubjectError: The cutout is empty.
        ValueError: There is no room for the subject.
    """
    if subject.box is None:
        raise EmptySubjectError("there is nothing in the cutout")
    left, top, right, bottom = subject.box
    layout = lay_out(rendition, Size(right - left, bottom - top), Size(*subject.size))
    background = rendition.parsed_background
    transparent = background.is_transparent or rendition.content == "mask"
    if rendition.canvas == "source":
        scale = layout.scale
        rgba, box, origin = subject.resampled(scale, veil=transparent)
        at = origin[0] * -1, origin[1] * -1
    else:
        limit = rendition.upscale_limit if layout.scale > 1 else 1.0
        rgba, box, scale = _fitted(subject, layout, limit, veil=transparent)
        at = place(rendition, layout, box, stand_of(rgba[..., 3], box))
    size = layout.width, layout.height
    part, corner = _within_canvas(rgba, at, size)
    placed = _moved(box, at, size)
    filled = layout.scale >= layout.wanted * 0.995
    if rendition.content == "mask":
        return Composed(_on_canvas(part, corner, size)[..., 3].copy(), placed, scale, filled)
    if rendition.sharpen:
        _sharpen(part, rendition.sharpen)
    if rendition.shadow != "none" or background.is_transparent:
        part, corner = _on_canvas(part, corner, size), (0, 0)
    shadow = _shadow(rendition, part[..., 3], placed)
    if shadow is not None:
        part = _over_shadow(part, shadow)
    if background.is_transparent:
        return Composed(part, placed, scale, filled)
    if rendition.shadow != "none":
        part[..., 3] = without_veil(part[..., 3])
    pixels = background.pixels(*size, image)
    plain = background.kind == "colour" and rendition.shadow == "none"
    below = pixels[corner[1] : corner[1] + part.shape[0], corner[0] : corner[0] + part.shape[1]]
    _put_over(below, part, background.colours[0] if plain else None)
    return Composed(pixels, placed, scale, filled)


def _snap(
    faded: NDArray[np.uint8], alpha: NDArray[np.uint8], soft: NDArray[np.intp], colour: Colour
) -> None:
    """Gives soft pixels that cannot be told from the background exactly its colour, in place.

    So no block of a JPEG holds a trace of the subject that nobody sees, and rings for it. The last
    trace of a light edge stays where the edge is.

    Args:
        faded: uint8 nx4, the soft pixels over the background.
        alpha: uint8 HxW.
        soft: Their places in it, flat.
        colour: The background's.
    """
    apart = np.zeros(len(soft), np.int16)
    for channel, value in enumerate(colour):
        np.maximum(apart, np.abs(faded[:, channel].astype(np.int16) - value), out=apart)
    edge = cv2.inRange(alpha, 128, 255)
    edge.ravel()[soft[apart > _ALIKE]] = 255
    beside = cv2.dilate(edge, np.ones((5, 5), np.uint8)).ravel().take(soft)
    faded[(apart <= VEIL) | ((apart <= _ALIKE) & (beside == 0)), :3] = colour


def _whiten_outside(part: NDArray[np.uint8]) -> None:
    """Whitens, in place, nearly white pixels of the subject connected to the background.

    The rim of a clear glass is 253 in long stretches, and no eye and no validator can say where it
    ends. What a darker outline encloses is left as it is.

    Args:
        part: uint8 HxWx3, cut to what is visible of the subject.
    """
    light = darkest(part)
    near, alike = (cv2.inRange(light, 255 - most, 255) for most in (VEIL, _ALIKE))
    # A JPEG makes a pixel that stands alone still fainter.
    faint = cv2.bitwise_and(alike, cv2.inRange(cv2.medianBlur(light, 3), 255 - _FAINT, 255))
    framed = cv2.copyMakeBorder(near, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
    cv2.floodFill(framed, None, (0, 0), 128)
    outside = cv2.inRange(framed[1:-1, 1:-1], 128, 128)
    # A faint remainder beside it, and not beside what is seen, would be lost by a JPEG in part.
    beside = cv2.dilate(outside, np.ones((17, 17), np.uint8))
    seen = cv2.dilate(cv2.bitwise_not(alike), np.ones((9, 9), np.uint8))
    faint = cv2.bitwise_and(cv2.bitwise_and(faint, beside), cv2.bitwise_not(seen))
    outside = cv2.bitwise_or(outside, faint)
    for rows in strips_of(part):
        white = cv2.bitwise_or(part[rows], cv2.cvtColor(outside[rows], cv2.COLOR_GRAY2RGB))
        part[rows] = white


def _fitted(
    subject: Subject, layout: Layout, limit: float, *, veil: bool
) -> tuple[NDArray[np.uint8], Box, float]:
    """The subject at the size at which what is seen of it has the extent that was asked for.

    What is finer than a pixel vanishes, and may have reached beyond the rest; a soft edge may fall
    under 2 %. So the box is measured, and other scales are tried where it is not within a pixel.

    Args:
        subject: The cutout; it is not empty.
        layout: Where it goes.
        limit: The largest scale.
        veil: See `Subject.resampled`.

    Returns:
        uint8 hxwx4, straight alpha; the subject's box in it; and its scale. Where a tip comes and
        goes with the scale, no scale is right: then the largest without it.
    """
    assert subject.box is not None
    axis, scale = layout.axis, layout.scale
    asked = (subject.box[axis + 2] - subject.box[axis]) * scale
    low, high = 0.0, math.inf  # scales that were too small, and too large
    tried: list[tuple[tuple[bool, float], tuple[NDArray[np.uint8], Box, float]]] = []
    while True:
        rgba, box, _ = subject.resampled(scale, veil=veil)
        found = box[axis + 2] - box[axis]
        tried.append(((found > asked + 1, abs(found - asked)), (rgba, box, scale)))
        if abs(found - asked) <= 1 or len(tried) == _TRIES:
            break
        low, high = (scale, high) if found < asked else (low, scale)
        better = scale * asked / found
        better = min(better if low < better < high else (low + high) / 2, limit)
        if better == scale:
            break
        scale = better
    return min(tried, key=lambda one: one[0])[1]


def _within_canvas(
    rgba: NDArray[np.uint8], at: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """What of some pixels lies on a canvas, and where its left top corner is."""
    left, top = max(at[0], 0), max(at[1], 0)
    right = max(min(at[0] + rgba.shape[1], size[0]), left)
    bottom = max(min(at[1] + rgba.shape[0], size[1]), top)
    part = rgba[top - at[1] : bottom - at[1], left - at[0] : right - at[0]]
    return np.ascontiguousarray(part), (left, top)


def _on_canvas(
    part: NDArray[np.uint8], corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The pixels on an empty canvas."""
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    rows, columns = part.shape[:2]
    canvas[corner[1] : corner[1] + rows, corner[0] : corner[0] + columns] = part
    return canvas


def _moved(box: Box, at: tuple[int, int], size: tuple[int, int]) -> Box:
    left, top, right, bottom = box
    return (
        min(max(left + at[0], 0), size[0]),
        min(max(top + at[1], 0), size[1]),
        min(max(right + at[0], 0), size[0]),
        min(max(bottom + at[1], 0), size[1]),
    )


def _sharpen(canvas: NDArray[np.uint8], amount: float) -> None:
    """Raises fine detail within the subject; alpha, and so its outline, stays as it is.

    The blurred colours are weighted by alpha, so that no halo of the background comes in.
    """
    left, top, right, bottom = box_of(canvas[..., 3]) or (0, 0, 1, 1)
    part = canvas[top:bottom, left:right]
    alpha = part[..., 3:].astype(np.float32) * np.float32(1 / 255)
    colours = part[..., :3].astype(np.float32)
    weighted = cv2.GaussianBlur(colours * alpha, (0, 0), _SHARPEN_RADIUS)
    weight = cv2.GaussianBlur(alpha, (0, 0), _SHARPEN_RADIUS)[..., None]
    detail = colours - weighted / np.maximum(weight, 1e-3)
    detail[alpha[..., 0] == 0] = 0
    part[..., :3] = np.rint(np.clip(colours + np.float32(amount) * detail, 0, 255))


def _shadow(rendition: Rendition, alpha: NDArray[np.uint8], box: Box) -> NDArray[np.float32] | None:
    """How dark the made shadow is, 0..1; None if none is made."""
    if rendition.shadow not in ("contact", "drop"):
        return None
    longest = max(box[2] - box[0], box[3] - box[1])
    blur = rendition.blur.of(longest)
    across, down = (length.of(longest) for length in rendition.offset)
    if rendition.shadow == "drop":
        shape = drop_shadow(alpha, across, down, blur)
    else:
        stand = stand_of(alpha, box)
        shape = contact_shadow(alpha, box, stand, blur)
        if across or down:
            move = np.array([[1, 0, across], [0, 1, down]], np.float32)
            shape = cv2.warpAffine(shape, move, (shape.shape[1], shape.shape[0]))
    return shape * np.float32(rendition.shadow_opacity)


def _over_shadow(canvas: NDArray[np.uint8], shadow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The canvas over black of the shadow's opacity."""
    alpha = canvas[..., 3].astype(np.float32) * np.float32(1 / 255)
    together = alpha + (1 - alpha) * np.minimum(shadow, 1)
    share = alpha / np.maximum(together, np.float32(1e-6))
    out = np.empty_like(canvas)
    out[..., :3] = np.rint(canvas[..., :3] * share[..., None])
    out[..., 3] = np.rint(together * 255)
    return out


def _put_over(
    below: NDArray[np.uint8], part: NDArray[np.uint8], colour: Colour | None = None
) -> None:
    """Puts pixels over a background, in place; rounded to the nearest value.

    Args:
        below: uint8 HxWx3, the background.
        part: uint8 HxWx4, straight alpha, contiguous; it is used up.
        colour: That of the background, if what cannot be told from it is to have it exactly; see
            `_snap`.
    """
    if not part.size:
        return
    alpha = cv2.extractChannel(part, 3)
    soft = np.flatnonzero(cv2.inRange(alpha, 1, 254) > 0)
    if len(soft):
        mixed = part.reshape(-1, 4).take(soft, axis=0).astype(np.uint16)
        share = mixed[:, 3:].copy()
        rest = 255 - share
        mixed *= share
        mixed[:, :3] += (
            below[np.divmod(soft, part.shape[1])] if colour is None else np.array(colour, np.uint16)
        ) * rest
        mixed += 127
        faded = (mixed // 255).astype(np.uint8)
        if colour is not None:
            _snap(faded, alpha, soft, colour)
        pixels_of(part)[soft] = pixels_of(faded)
    for rows in strips_of(part):
        cv2.copyTo(cv2.cvtColor(part[rows], cv2.COLOR_RGBA2RGB), alpha[rows], below[rows])
    if colour == _WHITE:
        _whiten_outside(below)
