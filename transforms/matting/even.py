"""An even background, and what of the picture is its colour to the last bit.

Product photos often stand on one even colour, perhaps with light falling off to one side. What the
network takes for subject there can be compared with the background itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["EvenBackground", "even_background"]

# Colours are RGB of 0..1.
_CLEAR = 0.05  # the network's alpha below it, away from the subject, shows the bare background
_AWAY = 9  # side of the square that must be free of subject, the network's pixels
_SHARE = 0.1  # of the picture, at least, shows the background
_EVEN = 0.02  # the most that its pixels may scatter about a plane of light (standard deviation)
_SAMPLE = 1 << 13  # of its pixels
_LEAST_NOISE = 0.002  # half a step of 8 bits


@dataclass(frozen=True)
class EvenBackground:
    """The background of a picture of h x w pixels, at the network's resolution.

    Attributes:
        colours: float32 hxwx3, 0..1, the picture.
        plane: float32 hxwx3, 0..1, the background as it is or would be at each pixel.
        noise: How much it scatters about the plane: the standard deviation of a channel.
    """

    colours: NDArray[np.float32]
    plane: NDArray[np.float32]
    noise: float

    def difference(self) -> NDArray[np.float32]:
        """How far each pixel is from the background, float32 hxw: the worst of its channels."""
        return np.asarray(np.abs(self.colours - self.plane).max(axis=2), np.float32)


def even_background(alpha: NDArray[np.float32], rgb: NDArray[np.uint8]) -> EvenBackground | None:
    """The background, if it is even.

    Args:
        alpha: float32 hxw, 0..1, the network's.
        rgb: uint8 HxWx3, what the network saw, at any size.

    Returns:
        None if too little of it is seen, or if it is not even.
    """
    height, width = alpha.shape
    subject = cv2.dilate((alpha > _CLEAR).view(np.uint8), np.ones((_AWAY, _AWAY), np.uint8))
    known = subject == 0
    if known.mean() < _SHARE:
        return None
    colours = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    places = np.flatnonzero(known)
    places = places[:: max(1, len(places) // _SAMPLE)]
    seen = colours.reshape(-1, 3)[places].astype(np.float32) / 255
    rows, columns = np.divmod(places, width)
    light = np.stack([np.ones(len(places)), rows / height, columns / width], axis=1)
    fit, *_ = np.linalg.lstsq(light, seen, rcond=None)
    noise = float(np.sqrt(np.mean((seen - light @ fit) ** 2)))
    if noise > _EVEN:
        return None
    fit = fit.astype(np.float32)
    down, across = (np.arange(n, dtype=np.float32)[:, None] / n for n in (height, width))
    plane = (fit[0] + down * fit[1])[:, None] + (across * fit[2])[None]
    colours = colours.astype(np.float32) * np.float32(1 / 255)
    return EvenBackground(colours, plane, max(noise, _LEAST_NOISE))
