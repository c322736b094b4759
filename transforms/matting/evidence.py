"""What speaks against a result: measured in the picture and in the core's own work.

Each piece of evidence is a number of at least 0, and the more of it, the worse. So a confidence
made of it never rises where one of them does. All are taken at the network's resolution, in a few
milliseconds, without another run of the network. How the result changes under another look at the
picture is measured where that is asked for; see `second_looks`.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.coarse import CoarseAlpha
from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.matting.even import fit_plane, largest_channel
from alphabeam.transforms.matting.network import Predictor
from alphabeam.transforms.matting.quality import removed_share
from alphabeam.transforms.pixels import shrunk

__all__ = ["Evidence", "Looks", "evidence_of", "second_looks"]

# All were chosen by benchmarks/quality.py on the half of its scenes that is for fitting.
_INSIDE = 7  # side of the square that an outline's usual blur fills, pixels
_ACROSS = 3.0  # pixels to each side of an outline, where its colours are taken
_OUTLINE = 2000  # pixels of it at most
_WEAK = 0.06  # colours (0..1) that differ by less make no edge
_STRONG = 0.3  # and those that differ by more could not be clearer
_STEP = 25  # grey levels between neighbours that make an edge in the background
_AWAY = 9  # side of the square that must be free of subject, where it is looked
_KNOWN = 0.02  # of the picture, at least, shows the background
_FOREIGN = 0.10  # a colour as far from the background's, in any light, is another thing's
_SHADE = (0.5, 1.15)  # light and shadow scale the background by these factors at most
_SAME = 0.02  # a colour as near to the background's is its own
_MOST = 0.8  # of it is the background proper
_SAMPLE = 4096  # of the background's pixels
_SMALLER = 0.15  # of the sides, added on each of them for the look from farther away


class Evidence(NamedTuple):
    """What speaks against a result. Areas are shares of the subject's, colours RGB of 0..1.

    Attributes:
        undecided: How undecided the network is: 1 less the mean of ``|2 p - 1|`` over its subject.
        unclear: Area where it is undecided (0.1 to 0.9) away from its outline.
        changed: How far the result departs from its answer: 1 less their intersection over union.
        removed: Area of which it is sure, and which is clear in the result.
        weak: Share of the outline at which the picture has no edge.
        faint: How far the colours on both sides of the outline are from a clear contrast, 0..1.
        busy: Share of the background with edges of its own.
        left: Area of what has not the background's colour, in any light, and was left out.
        alike: Area within the subject that has the background's own colour.
        cut: Share of the frame that the subject touches.
        soft: Area within the subject that is not solid.
        thin: Length of the outline, by the area, in pixels.
    """

    undecided: float
    unclear: float
    changed: float
    removed: float
    weak: float
    faint: float
    busy: float
    left: float
    alike: float
    cut: float
    soft: float
    thin: float


class Looks(NamedTuple):
    """How much the network's answer changes if it looks at the picture in another way.

    Attributes:
        mirrored: Mean difference of alpha by the subject's, for the picture mirrored.
        mirrored_part: The largest connected part that differs, by the subject's area.
        smaller: As ``mirrored``, for the picture with a wider border, so that all is smaller.
        smaller_part: As ``mirrored_part``, for that.
    """

    mirrored: float
    mirrored_part: float
    smaller: float
    smaller_part: float


def evidence_of(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], coarse: CoarseAlpha) -> Evidence:
    """Collects what speaks against a result.

    Args:
        rgb: uint8 HxWx3, the picture.
        alpha: uint8 HxW, the result; something in it is over 1/2.
        coarse: The network's answer.
    """
    left, top, right, bottom = coarse.region
    network, result = coarse.answer, coarse.reduced(alpha)
    height, width = network.shape
    picture = shrunk(rgb[top:bottom, left:right], width, height)
    inside = cv2.threshold(result, 127, 1, cv2.THRESH_BINARY)[1]
    area = float(max(cv2.countNonZero(inside), 1))
    outline = inside - _eroded(inside, 3)
    weak, faint = _contrast(picture, inside, outline)
    left_out, alike = _beside_background(picture, result, inside)
    border = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
    within = _eroded(cv2.threshold(result, 12, 1, cv2.THRESH_BINARY)[1], 5)
    return Evidence(
        undecided=_undecided(network),
        unclear=_unclear(network) / area,
        changed=_difference(network > 0.5, inside > 0),
        removed=removed_share(network, result),
        weak=weak,
        faint=faint,
        busy=_busy(picture, result),
        left=4 * left_out / area,
        alike=4 * alike / area,
        cut=float(np.count_nonzero(border > 127)) / border.size,
        soft=_count(within & (result < 242)) / area,
        thin=float(cv2.countNonZero(outline)) / area,
    )


def second_looks(network: Predictor, rgb: NDArray[np.uint8], coarse: CoarseAlpha) -> Looks:
    """Looks at the picture mirrored, and from farther away: two more runs of the network.

    Args:
        network: The network.
        rgb: uint8 HxWx3, the picture.
        coarse: Its answer.
    """
    left, top, right, bottom = coarse.region
    seen = np.ascontiguousarray(rgb[top:bottom, left:right])
    first = coarse.answer
    mirrored = _answer(network, np.ascontiguousarray(seen[:, ::-1]))[:, ::-1]
    down, across = (round(side * _SMALLER) for side in seen.shape[:2])
    wide = cv2.copyMakeBorder(seen, down, down, across, across, cv2.BORDER_REPLICATE)
    smaller = _answer(network, wide)
    scale = smaller.shape[0] / wide.shape[0], smaller.shape[1] / wide.shape[1]
    rows, columns = round(down * scale[0]), round(across * scale[1])
    smaller = smaller[rows : smaller.shape[0] - rows, columns : smaller.shape[1] - columns]
    return Looks(*_differences(first, mirrored), *_differences(first, smaller))


def _answer(network: Predictor, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    answer = np.asarray(network.predict(rgb))
    scale = 1 / 255 if answer.dtype == np.uint8 else 1.0
    return np.asarray(answer * np.float32(scale), np.float32)


def _differences(first: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Mean difference by the subject's alpha, and the largest part that differs by its area."""
    height, width = first.shape
    other = cv2.resize(np.ascontiguousarray(other, np.float32), (width, height))
    mean = float(np.abs(first - other).sum(dtype=np.float64))
    apart = ((first > 0.5) ^ (other > 0.5)).view(np.uint8)
    apart = cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, stats = components_of(apart)
    largest = float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    subject = max(float(np.count_nonzero(first > 0.5)), 1.0)
    return mean / max(float(first.sum(dtype=np.float64)), 1.0), largest / subject


def _eroded(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Beyond the frame, a subject goes on: what the frame cuts is no outline."""
    square = np.ones((side, side), np.uint8)
    eroded: NDArray[np.uint8] = cv2.erode(mask, square, borderType=cv2.BORDER_REPLICATE)
    return eroded


def _count(mask: NDArray[np.uint8] | NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask))


def _undecided(network: NDArray[np.float32]) -> float:
    weighted = (network * np.abs(2 * network - 1)).sum(dtype=np.float64)
    return max(0.0, 1 - float(weighted / max(network.sum(dtype=np.float64), 1e-6)))


def _unclear(network: NDArray[np.float32]) -> float:
    inside = (network > 0.5).view(np.uint8)
    edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    near = cv2.dilate(edge, np.ones((_INSIDE, _INSIDE), np.uint8))
    return _count((network > 0.1) & (network < 0.9) & (near == 0))


def _difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """1 less the intersection over union."""
    return _count(one ^ other) / max(_count(one | other), 1.0)


def _contrast(
    picture: NDArray[np.uint8], inside: NDArray[np.uint8], outline: NDArray[np.uint8]
) -> tuple[float, float]:
    """Share of the outline without an edge, and how far its contrast is from a clear one."""
    places = np.flatnonzero(outline)
    if not len(places):
        return 0.0, 0.0
    rows, columns = np.divmod(places[:: -(-len(places) // _OUTLINE)], inside.shape[1])
    shape = cv2.blur(inside * np.uint8(255), (9, 9))
    down, across = (
        cv2.Sobel(shape, cv2.CV_32F, dx, 1 - dx)[rows, columns].astype(np.float32) for dx in (0, 1)
    )
    length = np.maximum(np.hypot(down, across), 1e-3)
    down, across = _ACROSS * down / length, _ACROSS * across / length
    colours = cv2.blur(picture, (3, 3))
    height, width = inside.shape

    def taken(side: int) -> NDArray[np.float32]:
        y = np.clip(np.rint(rows + side * down), 0, height - 1).astype(np.intp)
        x = np.clip(np.rint(columns + side * across), 0, width - 1).astype(np.intp)
        return np.asarray(colours[y, x], np.float32)

    apart = largest_channel(np.abs(taken(1) - taken(-1))) * np.float32(1 / 255)
    return float((apart < _WEAK).mean()), 1 - float(np.minimum(apart / _STRONG, 1).mean())


def _busy(picture: NDArray[np.uint8], result: NDArray[np.uint8]) -> float:
    """Share of the background, away from the subject, at which the picture has an edge."""
    near = cv2.dilate(cv2.threshold(result, 12, 1, cv2.THRESH_BINARY)[1], np.ones((_AWAY, _AWAY)))
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    across, down = (cv2.Sobel(grey, cv2.CV_16S, dx, 1 - dx, ksize=1) for dx in (1, 0))
    edges = cv2.max(cv2.convertScaleAbs(across), cv2.convertScaleAbs(down)) > _STEP
    background = near == 0
    return _count(edges & background) / max(_count(background), 1.0)


def _beside_background(
    picture: NDArray[np.uint8], result: NDArray[np.uint8], inside: NDArray[np.uint8]
) -> tuple[float, float]:
    """What of another colour than the background's was left out, and what of its own was kept.

    The background's colour is a plane of light through most of it. Where it scatters, what counts
    as its colour is wider.

    Returns:
        Two areas, pixels at half the network's resolution.
    """
    height, width = (max(1, side // 2) for side in inside.shape)
    planes = cv2.split(shrunk(picture, width, height))
    colours = np.stack(planes).astype(np.float32) * np.float32(1 / 255)
    small = shrunk(result, width, height)
    seen = cv2.threshold(small, 12, 1, cv2.THRESH_BINARY)[1]
    background = cv2.dilate(seen, np.ones((5, 5), np.uint8)) == 0
    places = np.flatnonzero(background)
    if len(places) < _KNOWN * background.size:
        return 0.0, 0.0
    places = places[:: -(-len(places) // _SAMPLE)]
    samples = np.ascontiguousarray(colours.reshape(3, -1).take(places, axis=1).T)
    rows, columns = np.divmod(places, width)
    light = np.stack([np.ones(len(places)), rows / height, columns / width], 1).astype(np.float32)
    fit = _plane_through(light, samples)
    rest = largest_channel(np.abs(samples - light @ fit))
    most = rest <= np.quantile(rest, _MOST)
    fit = _plane_through(light[most], samples[most])
    noise = float(np.quantile(largest_channel(np.abs(samples - light @ fit)), _MOST))
    down, across = (np.arange(n, dtype=np.float32) / n for n in (height, width))
    base, falls, slopes = (one[:, None, None] for one in fit)
    plane = (base + falls * down[:, None]) + slopes * across
    norm = np.maximum((plane * plane).sum(axis=0), np.float32(1e-6))
    factor = np.clip((colours * plane).sum(axis=0) / norm, *_SHADE)
    apart = np.abs(colours - plane * factor).max(axis=0)
    foreign = _eroded((apart > _FOREIGN + 2 * noise).view(np.uint8), 3)
    same = np.abs(colours - plane).max(axis=0) < _SAME + noise
    solid = _eroded(cv2.threshold(small, 127, 1, cv2.THRESH_BINARY)[1], 3)
    return _count(foreign & background), _count(same & (solid > 0))


def _plane_through(light: NDArray[np.float32], colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """`fit_plane` of nx3 arrays, in single precision."""
    fit: NDArray[np.float32] = fit_plane(light.T, colours.T).T.astype(np.float32)
    return fit
