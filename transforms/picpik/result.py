"""From the picture that the API gave to a mask and a cutout."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from alphabeam.transforms.picpik.errors import AnswerInvalidError
from alphabeam.transforms.pixels import to_8_bit

__all__ = ["colour_difference", "matte_from_result"]

_GREY_SPREAD = 8  # levels between channels that JPEG's chroma may leave in a grey picture

# A cutout is of another picture if half of its opaque pixels differ by more than so many levels,
# in the channel that differs most, from the original. An upload as JPEG of quality 75, and a
# colour correction along the edges, stay far below.
_OTHER_PICTURE = 32
_MOST_COMPARED = 200_000  # pixels
_FEWEST_COMPARED = 64


def matte_from_result(
    original: np.ndarray, result: bytes, only_mask: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Makes the mask, and the cutout where wanted, from whichever form the API gave.

    The form is recognised by content. A picture with an alpha channel is a cutout: its alpha is the
    mask, and its colours are kept to the bit. A grey picture (or RGB whose channels agree)
    without alpha is a mask: the cutout has the original's colours. Where only the mask was asked
    for, a grey picture with an alpha that is opaque everywhere is a mask as well. What was
    transparent in the original stays so, and colours under alpha 0 are 0.

    Args:
        original: The upright decoded picture that was sent, uint8, H x W x 3, or H x W x 4 with
            straight alpha.
        result: The bytes of a PNG, JPEG or WebP file.
        only_mask: No cutout is wanted.

    Returns:
        alpha, uint8, H x W; and the cutout, straight (not premultiplied) RGBA, uint8,
        H x W x 4, or None with ``only_mask``.

    Raises:
        AnswerInvalidError: The file is damaged, of another size than the original, neither a cutout
            nor a mask, or a cutout of another picture.
    """
    height, width = original.shape[:2]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(result), formats=("PNG", "JPEG", "WEBP"))
        # Before any pixel is decoded: a small file may claim a huge picture.
        if image.size != (width, height):
            raise AnswerInvalidError(
                f"the result is {image.size[0]} x {image.size[1]}, "
                f"but the image that was sent is {width} x {height}"
            )
        pixels = _eight_bit(image)
    except AnswerInvalidError:
        raise
    except Exception as error:
        raise AnswerInvalidError(
            f"the result of {len(result)} bytes cannot be decoded ({type(error).__name__}); "
            "run the job again to fetch it anew"
        ) from None
    colours = original[:, :, :3]
    if pixels.ndim == 2:
        alpha = pixels
    elif pixels.shape[2] == 4 and not (
        only_mask and pixels[:, :, 3].min() == 255 and _is_grey(pixels)
    ):
        colours, alpha = pixels[:, :, :3], pixels[:, :, 3]
        difference = colour_difference(original, colours, alpha)
        if difference > _OTHER_PICTURE:
            raise AnswerInvalidError(
                "the result shows another picture: half of its opaque pixels differ by "
                f"{difference:.0f} or more of 255 levels from the image that was sent"
            )
    elif _is_grey(pixels):
        alpha = pixels[:, :, 1]
    else:
        raise AnswerInvalidError("the result has colours but no alpha: neither a cutout nor a mask")
    if original.shape[2] == 4:
        alpha = np.minimum(alpha, original[:, :, 3])
    alpha = np.ascontiguousarray(alpha)
    if only_mask:
        return alpha, None
    cutout = np.dstack([colours, alpha])
    cutout[alpha == 0] = 0
    return alpha, cutout


def colour_difference(original: np.ndarray, colours: np.ndarray, alpha: np.ndarray) -> float:
    """How much a cutout's opaque pixels differ from the original's.

    Args:
        original: The picture that was sent, uint8, H x W x 3 or H x W x 4.
        colours: The cutout's colours, uint8, H x W x 3.
        alpha: Its alpha, uint8, H x W.

    Returns:
        The median over the pixels that are opaque in both, of the difference in the channel that
        differs most, 0..255. 0 where too few are opaque to tell.
    """
    opaque = alpha >= 250
    if original.shape[2] == 4:
        opaque &= original[:, :, 3] >= 250
    where = np.flatnonzero(opaque)
    if where.size < _FEWEST_COMPARED:
        return 0.0
    where = where[:: -(-where.size // _MOST_COMPARED)]
    rows, columns = np.divmod(where, alpha.shape[1])
    apart = original[rows, columns, :3].astype(np.int16) - colours[rows, columns]
    return float(np.median(np.abs(apart).max(axis=1)))


def _eight_bit(image: Image.Image) -> np.ndarray:
    """The pixels as uint8: H x W (grey), H x W x 3 (RGB) or H x W x 4 (straight RGBA)."""
    if image.mode.startswith("I"):  # 16-bit grey
        return to_8_bit(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return np.array(image.convert("RGBA"))
    return np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _is_grey(pixels: np.ndarray) -> bool:
    red, green, blue = (pixels[:, :, c].astype(np.int16) for c in range(3))
    spread = max(np.abs(red - green).max(), np.abs(green - blue).max())
    return int(spread) <= _GREY_SPREAD
