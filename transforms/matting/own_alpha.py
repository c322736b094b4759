"""Results that no network decides: a picture is a cutout already, or all of it is the product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.box import clip_box, keep_inside
from alphabeam.transforms.parameters import MattingParameters

__all__ = ["OWN_ALPHA", "WHOLE", "cut_out", "kept_alpha", "without_needless_alpha"]

OWN_ALPHA = "own_alpha"
"""The flag of a result whose alpha is the picture's own."""

WHOLE = "whole"
"""The flag of a result that is all of the picture, because the row says so."""

_OPAQUE = 250  # scaling and lossy formats leave such traces in a picture that was opaque


def without_needless_alpha(
    image: NDArray[np.uint8], params: MattingParameters
) -> NDArray[np.uint8]:
    """The image without an alpha that is opaque everywhere, or that is to be passed over.

    Args:
        image: uint8 HxWx3 or HxWx4, straight alpha.
        params: ``own_alpha`` and ``remove_background`` say whether to pass over it.

    Returns:
        uint8 HxWx3, the colours as they are stored; or the image as it was given.
    """
    if image.ndim != 3 or image.shape[2] != 4 or image.size == 0:
        return image
    if (
        not params.remove_background
        or params.own_alpha == "ignore"
        or int(image[..., 3].min()) >= _OPAQUE
    ):
        return np.ascontiguousarray(image[..., :3])
    return image


def kept_alpha(image: NDArray[np.uint8], params: MattingParameters) -> NDArray[np.uint8] | None:
    """The alpha that is the result without anybody's decision: the image's own, or all of it.

    Args:
        image: As `without_needless_alpha` gives it.
        params: With ``own_alpha``, ``remove_background`` and ``box``.

    Returns:
        uint8 HxW, 0 outside the box; None where a backend is to decide.

    Raises:
        BoxOutsideError: The box does not overlap the image.
    """
    if not params.remove_background:
        alpha = np.full(image.shape[:2], 255, np.uint8)
    elif params.own_alpha != "keep" or image.ndim != 3 or image.shape[2] != 4:
        return None
    else:
        alpha = np.ascontiguousarray(image[..., 3])
    box = clip_box(params.box, (image.shape[0], image.shape[1]))
    return alpha if box is None else keep_inside(alpha, box)


def cut_out(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image's own colours with an alpha; 0 where nothing is visible.

    Args:
        image: uint8 HxWx3 or HxWx4.
        alpha: uint8 HxW.

    Returns:
        uint8 HxWx4, straight alpha.
    """
    rgba = np.dstack([image[..., :3], alpha])
    rgba[alpha == 0] = 0
    return rgba
