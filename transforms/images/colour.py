"""Colours to sRGB. LittleCMS does all of it; spaces that a file only names become a profile."""

from __future__ import annotations

import functools
import io
import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from alphabeam.transforms.images.raster import Raster, unsupported, upright

__all__ = ["adobe_rgb", "finished", "profile_of_codes", "profile_of_gamma"]

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))

_D50 = (0.9642, 1.0, 0.8249)
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
# x, y of red, green and blue
_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_MOST_XYZ = 2.0  # of a primary; red, green and blue together make white, whose largest is 1
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # ICC's g, a, b, c, d

# By the code points of ITU-T H.273, which PNG's cICP and HEIF's nclx use.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _BT709,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08),  # BT.470 M, whose white is illuminant C
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
_WHITES = {4: (0.310, 0.316)}
_CURVES: dict[int, tuple[float, ...]] = {
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
# Camera curves. A picture is shown as if it were sRGB; every viewer does so.
_AS_SRGB = (1, 6, 11, 12, 14, 15)
_HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = (0, 2, 3)


def profile_of_codes(primaries: int, transfer: int) -> bytes | None:
    """The profile of a colour space given by H.273 code points; None for sRGB or unspecified.

    Raises:
        RowError: ``unsupported_image``: an HDR picture, or a space that is not known.
    """
    if transfer in _HDR:
        raise unsupported(
            f"an HDR picture ({_HDR[transfer]})", "save it for standard dynamic range, as sRGB"
        )
    if primaries in _UNSPECIFIED:
        primaries = 1
    if transfer in _UNSPECIFIED or transfer in _AS_SRGB:
        transfer = 13
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise unsupported(f"colours by code points {primaries} and {transfer}", "save it as sRGB")
    if (primaries, transfer) == (1, 13):
        return None
    white = _WHITES.get(primaries, _D65)
    return _rgb_profile(_PRIMARIES[primaries], white, _CURVES[transfer])


def profile_of_gamma(
    gamma: float | None, chromaticities: Sequence[float] | None, grey: bool
) -> bytes | None:
    """The profile of PNG's gAMA and cHRM chunks; None for sRGB, and for what is senseless.

    A gamma of about 1/2.2 beside sRGB's chromaticities, or none, is what programs write that mean
    sRGB. Taken by the letter it would darken the shadows.

    Args:
        gamma: Of the encoding, such as 0.45455; None if there is no gAMA.
        chromaticities: x, y of white, red, green and blue; None if there is no cHRM.
        grey: Whether the picture is grey.
    """
    white: tuple[float, float] = _D65
    primaries: tuple[float, ...] = _BT709
    if chromaticities is not None and not grey:
        white, primaries = (chromaticities[0], chromaticities[1]), tuple(chromaticities[2:])
        if white[1] <= 0 or min(primaries[1::2]) <= 0:
            return None
    same = max(abs(a - b) for a, b in zip((*white, *primaries), (*_D65, *_BT709), strict=True))
    usual = gamma is None or abs(gamma - 1 / 2.2) < 0.01
    if same < 0.003 and usual:
        return None
    curve = _SRGB_CURVE if gamma is None else (1 / gamma,)
    if not 0.1 <= curve[0] <= 10:
        return None
    return _grey_profile(curve) if grey else _rgb_profile(primaries, white, curve)


@functools.cache
def adobe_rgb() -> bytes:
    """The profile of Adobe RGB (1998)."""
    profile = _rgb_profile(_ADOBE, _D65, (563 / 256,))
    assert profile is not None
    return profile


def finished(raster: Raster) -> NDArray[np.uint8]:
    """Upright sRGB pixels of a decoded picture.

    Returns:
        uint8, H x W x 3, or H x W x 4 with straight alpha where some pixel is not opaque.

    Raises:
        RowError: ``unsupported_image``.
    """
    image, alpha = raster.image, raster.alpha
    if isinstance(image, np.ndarray) and image.ndim == 3 and raster.profile is None:
        pixels = image
    else:
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        if alpha is None:
            alpha = _alpha_of(image)
        converted = _converted(image, raster.profile) if raster.profile else None
        pixels = np.asarray(converted if converted is not None else _as_rgb(image))
    if alpha is not None and int(alpha.min()) < 255:
        pixels = np.dstack([pixels, alpha])
    if raster.orientation == 1:
        return np.ascontiguousarray(pixels)
    return upright(pixels, raster.orientation)


def _alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return np.asarray(image.convert("RGBA").getchannel("A"))
    return None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        return _by_profile(image, _LAB)
    if image.mode == "RGB":
        return image
    try:
        # By way of RGBA, which undoes what La and RGBa have multiplied.
        return (image.convert("RGBA") if image.mode in ("La", "RGBa") else image).convert("RGB")
    except ValueError:
        raise unsupported(f"colour mode {image.mode} cannot be converted") from None


def _converted(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Converts by the embedded profile; None if it is broken or of another kind of colours."""
    mode = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB", "LA": "L", "1": "L"}.get(
        image.mode, image.mode
    )
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return _by_profile(image if image.mode == mode else image.convert(mode), profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _by_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        _SRGB,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted


# -------------------------------------------------------------------------------- writing profiles


def _rgb_profile(
    primaries: Sequence[float], white: tuple[float, float], curve: Sequence[float]
) -> bytes | None:
    """An ICC profile (v4, matrix and curve) of three primaries; None if they make no white."""
    xyz = np.array([_xyz(x, y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)]).T
    source = np.array(_xyz(*white))
    try:
        with np.errstate(all="ignore"):
            columns = _adapted(source) @ (xyz * np.linalg.solve(xyz, source))
    except np.linalg.LinAlgError:  # they are on one line
        return None
    if not np.abs(columns).max() <= _MOST_XYZ:
        return None
    tone = _curve_tag(curve)
    return _profile(
        b"RGB ",
        [
            *zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz_tag, columns.T), strict=True),
            *((name, tone) for name in (b"rTRC", b"gTRC", b"bTRC")),
        ],
    )


def _grey_profile(curve: Sequence[float]) -> bytes:
    return _profile(b"GRAY", [(b"kTRC", _curve_tag(curve))])


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = "alphabeam".encode("utf-16-be")
    name = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", name), (b"cprt", name), (b"wtpt", _xyz_tag(_D50)), *tags]
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for key, data in tags:
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4x4s4s4s4s12x4s28x", at + len(body), b"\x04\x20\0\0", b"mntr", space, b"XYZ ", b"acsp"
    )
    header += b"".join(map(_s15, _D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _adapted(white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bradford's matrix from a white to D50."""
    scale = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD)


def _s15(value: float) -> bytes:
    return struct.pack(">i", math.floor(value * 65536 + 0.5))


def _xyz_tag(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_s15(float(value)) for value in values)


def _curve_tag(curve: Sequence[float]) -> bytes:
    kind = {1: 0, 5: 3}[len(curve)]
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(_s15, curve))
