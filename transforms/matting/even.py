"""An even background, and what of the picture is its colour to the last bit.

Product photos often stand on one even colour, perhaps with light falling off to one side. What the
network takes for subject there can be compared with the background itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.background_colour import distance_to_background

__all__ = ["EvenBackground", "even_background", "fit_plane", "largest_channel", "plane_of_light"]

# Colours are RGB of 0..1.
_CLEAR = 0.05  # the network's alpha below it, away from the subject, shows the bare background
_AWAY = 9  # side of the square that must be free of subject, the network's pixels
_SHARE = 0.1  # of the picture, at least, shows the background
_EVEN = 0.02  # the most that its pixels may scatter about a plane of light (standard deviation)
_MOST = 0.97  # of it is even; the rest may be something that the network left out
_SAMPLE = 1 << 13  # of its pixels, at most
_FITS = 4  # of a plane to most of them
_LEAST_NOISE = 0.002  # half a step of 8 bits
# A foreign colour. Set on the layouts, single products and reflections of benchmarks/damage.py, and
# on the held-out sets of benchmarks/model_quality.py.
_NOISE = 8.0  # standard deviations of the background, and
_FOREIGN = 0.03  # RGB of 0..1, by which a colour differs at least from every shade of it
_SHADE = (0.3, 1.3)  # light and shadow scale the background by these factors at most


@dataclass(frozen=True)
class EvenBackground:
    """The background of a picture of h x w pixels, at the network's resolution.

    Attributes:
        colours: float32 hxwx3, 0..1, the picture.
        plane: float32 hxwx3, 0..1, the background as it is or would be at each pixel.
        known: bool hxw, what the network takes for background, away from the subject.
        noise: How much most of it scatters about the plane: the standard deviation of a channel.
    """

    colours: NDArray[np.float32]
    plane: NDArray[np.float32]
    known: NDArray[np.bool_]
    noise: float

    @property
    def is_bare(self) -> bool:
        """Whether no shadow was taken for background."""
        return self.scatter <= _EVEN

    @cached_property
    def scatter(self) -> float:
        """As `noise`, of all that was taken for background and may be it, in whatever light."""
        # There are such pixels: most that are known lie nearer to the plane than a foreign colour.
        places = _sampled(self.known & ~self.foreign)
        rest = self.colours.reshape(-1, 3)[places] - self.plane.reshape(-1, 3)[places]
        return max(float(np.sqrt(np.mean(rest**2))), _LEAST_NOISE)

    @cached_property
    def foreign(self) -> NDArray[np.bool_]:
        """Where neither light nor shadow makes the colour of the background's: bool hxw."""
        colours, plane = (
            np.ascontiguousarray(one.reshape(-1, 3).T) for one in (self.colours, self.plane)
        )
        distance = distance_to_background(colours, plane, _SHADE)
        foreign = distance > max(_NOISE * self.noise, _FOREIGN)
        return np.asarray(foreign.reshape(self.colours.shape[:2]))

    def difference(self) -> NDArray[np.float32]:
        """How far each pixel is from the background, float32 hxw: the worst of its channels."""
        return largest_channel(np.abs(self.colours - self.plane))


def even_background(
    alpha: NDArray[np.float32], picture: NDArray[np.uint8]
) -> EvenBackground | None:
    """The background, if it is even.

    Args:
        alpha: float32 hxw, 0..1, the network's.
        picture: uint8 hxwx3, what it saw, at its resolution.

    Returns:
        None if too little of it is seen, or if it is not even.
    """
    subject = cv2.dilate((alpha > _CLEAR).view(np.uint8), np.ones((_AWAY, _AWAY), np.uint8))
    known = subject == 0
    if known.mean() < _SHARE:
        return None
    colours = picture.astype(np.float32) * np.float32(1 / 255)
    plane, rest = plane_of_light(colours, known, most=_MOST)
    noise = float(np.sqrt(np.mean(rest[:, _nearest(rest, _MOST)] ** 2)))
    if noise > _EVEN:
        return None
    return EvenBackground(colours, plane, known, max(noise, _LEAST_NOISE))


def largest_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of three channels, the last axis: numpy's ``max`` takes nine times as long."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def plane_of_light(
    colours: NDArray[np.float32], known: NDArray[np.bool_], most: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fits a colour that changes evenly across the picture, by least squares.

    Args:
        colours: float32 hxwx3, 0..1.
        known: bool hxw, where the background is seen; somewhere it is.
        most: Share of it, 0..1, to which the plane is fitted: what lies farthest from it counts no
            more.

    Returns:
        The plane, float32 hxwx3; and float64 3xn, what it leaves of a sample of the known pixels.
    """
    height, width = known.shape
    places = _sampled(known)
    seen = np.ascontiguousarray(colours.reshape(-1, 3)[places].T, np.float64)
    rows, columns = np.divmod(places, width)
    light = np.stack([np.ones(len(places)), rows / height, columns / width])
    fit = fit_plane(light, seen)
    for _ in range(_FITS - 1 if most < 1 else 0):
        near = _nearest(seen - fit @ light, most)
        fit = fit_plane(light[:, near], seen[:, near])
    rest = seen - fit @ light
    base, falls, slopes = fit.T.astype(np.float32)
    down, across = (np.arange(n, dtype=np.float32)[:, None] / n for n in (height, width))
    # Rows of 3 w numbers: numpy is slow over an axis of three.
    plane = down * np.tile(falls, width)
    plane += (base + across * slopes).ravel()
    return plane.reshape(height, width, 3), rest


def _sampled(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Positions of at most _SAMPLE pixels of a mask, evenly taken; somewhere it is set."""
    places = np.flatnonzero(mask)
    return places[:: -(-len(places) // _SAMPLE)]


def fit_plane(
    light: NDArray[np.floating[Any]], seen: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Fits channels as sums of functions of the place, least squares by the normal equations.

    Args:
        light: kxn, the functions at n places.
        seen: 3xn, the channels there.

    Returns:
        3xk, so that ``fit @ light`` is the plane.
    """
    light = light.astype(np.float64)
    normal = light @ light.T + 1e-9 * np.eye(len(light))  # the tiny term keeps it solvable
    return np.asarray(np.linalg.solve(normal, light @ seen.T).T, np.float64)


def _nearest(rest: NDArray[np.float64], most: float) -> NDArray[np.bool_]:
    """Which share of the pixels a plane fits best: bool n, of 3xn that it leaves."""
    far = np.abs(rest).max(axis=0)
    last = int(most * (len(far) - 1))
    return np.asarray(far <= np.partition(far, last)[last])
