"""A linear ramp between 0 and 1, the membership function of all soft thresholds here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ramp"]


def ramp(values: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Maps values linearly so that ``start`` becomes 0 and ``end`` becomes 1, and clips.

    Args:
        values: float32, any shape.
        start: The value that maps to 0. It may be the larger one: then the ramp falls.
        end: The value that maps to 1.

    Returns:
        float32 of the same shape, 0..1.
    """
    result: NDArray[np.float32] = np.clip((values - start) / (end - start), 0, 1)
    return result
