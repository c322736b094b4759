"""Measures a packshot file: what it is, where its subject is, and whether its background is white.

The subject is what differs from white by more than 2 % in some channel. Its background is what is
connected to the frame's edge: a hole that is closed all round may as well be a white part of the
subject. The background must be white *exactly*, but for two things. Two pixels around the subject
are its soft edge. And a JPEG codes blocks of 8 x 8 pixels (16 where colours are halved), and rings
in those that hold a part of the subject or of its soft edge: these blocks are not asked, and all
others are.
"""

from __future__ import annotations

import io
import math
import posixpath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.images import decode
from alphabeam.transforms.images.kinds import kind_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.parameters import Box
from alphabeam.transforms.pixels import composite_over
from alphabeam.transforms.renditions.encoding import srgb_profile
from alphabeam.transforms.renditions.subject import VEIL, darkest

__all__ = ["Measures", "measure"]

_SPECK = 3e-5  # of the frame's pixels: a smaller piece far from the others is dirt
_FAR = 0.03  # of the frame's longer side: how far that is
# Of the frame's edge, so much that is not white is no subject: where what is dark touches all four
# sides, and where it does not. Measured on studio photos as they come from the camera.
_ROUND, _NEARLY_ROUND = 0.7, 0.9
_ALIGNED = 32  # pixels: every codec's blocks begin at its multiples
_SOFT = 2  # pixels of soft edge around a subject in a file without loss
_INWARD = 6  # pixels: how far within the subject its colour is taken for the fringe
_NORMAL = 4  # pixels over which an outline's direction is taken
_FOREIGN = 48.0  # levels, all channels together: farther from a mixture with white is a fringe
_MOST_OUTLINE = 20_000  # pixels of outline that are looked at


class Measures(NamedTuple):
    """What was measured of a file.

    Attributes:
        stem: The file's name without folder and extension.
        extension: In lower case, without a point.
        bytes: Size of the file.
        broken: Why it cannot be decoded; empty if it can.
        format: By content, such as ``jpeg``.
        mode: ``rgb``, ``grey``, ``cmyk``, ``palette``, ``rgb16`` …
        profile: ``srgb``, ``none``, or the profile's own name.
        alpha: Whether some pixel is not opaque.
        width: Pixels, upright.
        height: Likewise.
        box: The subject's: left, top, right, bottom; None if all is white.
        fill: Share of the frame that it takes in the direction in which it takes more.
        touched: Whether the subject touches the left, top, right and bottom of the frame.
        off_white: Pixels of the background that are not 255 in all channels.
        worst: The darkest channel of these.
        off_white_edge: Pixels at the frame's edge that are not white, and no part of the subject.
        edge_worst: The darkest channel of these.
        specks: Small pieces far from the subject.
        first: One pixel of what is not white: across and down.
        fringe: Share of the outline with a colour that is no mixture of the subject's and white.
    """

    stem: str
    extension: str
    bytes: int
    broken: str = ""
    format: str = ""
    mode: str = ""
    profile: str = "none"
    alpha: bool = False
    width: int = 0
    height: int = 0
    box: Box | None = None
    fill: float = 0.0
    touched: tuple[bool, bool, bool, bool] = (False, False, False, False)
    off_white: int = 0
    worst: int = 255
    off_white_edge: int = 0
    edge_worst: int = 255
    specks: int = 0
    first: tuple[int, int] = (0, 0)
    fringe: float = 0.0


def measure(data: bytes, name: str, limits: Limits | None = None) -> Measures:
    """Measures a file.

    Args:
        data: The file.
        name: Its name, with or without folders.
        limits: Within which it is decoded.

    Returns:
        What was found. A file that cannot be decoded says why in ``broken``.
    """
    stem, extension = posixpath.splitext(posixpath.basename(name))
    found = Measures(stem, extension[1:].lower(), len(data))
    try:
        pixels = decode(_without_srgb(data), limits)
    except RowError as error:
        return found._replace(broken=error.message)
    form = kind_of(data)
    found = found._replace(format=form, height=pixels.shape[0], width=pixels.shape[1])
    mode, profile, block = _described(data, form)
    alpha = pixels.shape[2] == 4
    if alpha:
        pixels = composite_over(pixels)
    return _measured(
        found._replace(mode=mode, profile=profile, alpha=alpha), np.ascontiguousarray(pixels), block
    )


def _without_srgb(data: bytes) -> bytes:
    """A JPEG without the sRGB profile that our own files bear: it would change no pixel."""
    profile = b"ICC_PROFILE\0\1\1" + srgb_profile()
    return data.replace(b"\xff\xe2" + (2 + len(profile)).to_bytes(2, "big") + profile, b"", 1)


def _described(data: bytes, form: str) -> tuple[str, str, int]:
    """Mode, profile, and the side of the blocks in which the codec may ring; 0 for none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = _MODES.get(image.mode, image.mode)
            profile = _profile_name(image.info.get("icc_profile"))
            if form == "jpeg":
                return mode, profile, 8 if JpegImagePlugin.get_sampling(image) == 0 else 16
    except (OSError, ValueError, SyntaxError):  # a kind that Pillow does not open
        return "", "none", 16
    lossless = form in ("png", "tiff", "bmp", "gif") or (form == "webp" and b"VP8L" in data[:64])
    return mode, profile, 0 if lossless else 32


_MODES = {
    "RGB": "rgb", "RGBA": "rgb", "RGBX": "rgb", "L": "grey", "LA": "grey", "1": "bitmap",
    "P": "palette", "PA": "palette", "CMYK": "cmyk", "YCbCr": "rgb", "LAB": "lab",
    "I;16": "grey16", "I;16B": "grey16", "I": "grey16", "F": "float",
}  # fmt: skip


def _profile_name(icc: bytes | None) -> str:
    if not icc:
        return "none"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = ImageCms.getProfileDescription(profile).strip()
    except (ImageCms.PyCMSError, OSError):
        return "broken"
    return "srgb" if "srgb" in name.lower() else name or "unnamed"


def _measured(found: Measures, pixels: NDArray[np.uint8], block: int) -> Measures:
    height, width = pixels.shape[:2]
    whole: NDArray[np.uint8] = cv2.bitwise_not(darkest(pixels))
    # All that is looked at: beyond it, every pixel is white.
    rows, columns = _window(whole)
    dark, at_edge = np.ascontiguousarray(whole[rows, columns]), _rim(whole)
    _, subject = cv2.threshold(dark, VEIL, 255, cv2.THRESH_BINARY)
    subject, specks = _without_specks(subject, (height, width))
    x, y, across, down = cv2.boundingRect(subject)
    left, top = x + columns.start, y + rows.start
    box = (left, top, left + across, top + down) if across else None
    # 255 where a pixel must be white, so that what is dark there is wrong.
    wrong = cv2.bitwise_and(dark, cv2.bitwise_and(_outside(subject), 255 - _zone(subject, block)))
    touched = (False, False, False, False)
    edge, edge_worst = int(np.count_nonzero(at_edge)), 255 - int(at_edge.max())
    if box is not None and edge:
        touched = (left == 0, top == 0, box[2] == width, box[3] == height)
        # What is dark at the edge is a subject that is cut, unless it goes all the way round: then
        # it is a background that is not white, if only nearly so.
        if edge < (_ROUND if all(touched) else _NEARLY_ROUND) * len(at_edge):
            edge = int(np.count_nonzero(_rim(wrong)))
    count = cv2.countNonZero(wrong)
    first = (0, 0)
    if count:
        row, column = np.unravel_index(int(np.argmax(wrong > 0)), wrong.shape)
        first = (int(column) + columns.start, int(row) + rows.start)
    elif specks:
        first = (specks[0][0] + columns.start, specks[0][1] + rows.start)
    return found._replace(
        box=box,
        fill=max(across / width, down / height),
        touched=touched,
        off_white=count,
        worst=255 - int(wrong.max()),
        off_white_edge=edge,
        edge_worst=edge_worst,
        specks=len(specks),
        first=first,
        fringe=_fringe(
            pixels[top : top + down, left : left + across],
            subject[y : y + down, x : x + across],
        )
        if box
        else 0.0,
    )


def _window(dark: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The rows and columns of what is not 0, with a margin, in whole blocks and cells."""
    height, width = dark.shape
    left, top, across, down = cv2.boundingRect(dark)
    if not across:
        return slice(0, min(height, _ALIGNED)), slice(0, min(width, _ALIGNED))
    margin = _SOFT + 1
    return (
        slice(
            max(top - margin, 0) // _ALIGNED * _ALIGNED,
            min(-(-(top + down + margin) // _ALIGNED) * _ALIGNED, height),
        ),
        slice(
            max(left - margin, 0) // _ALIGNED * _ALIGNED,
            min(-(-(left + across + margin) // _ALIGNED) * _ALIGNED, width),
        ),
    )


def _rim(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The values at the frame's edge, the corners twice."""
    return np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])


def _without_specks(
    subject: NDArray[np.uint8], frame: tuple[int, int]
) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """The subject (uint8 HxW, 0 or 255) without small pieces far from it, and where these are.

    How small and how far, the frame's height and width say.
    """
    # In cells of some pixels: what is in one cell is one piece.
    cell = 4 if min(frame) >= 64 else 1
    cells = -(-frame[0] // cell), -(-frame[1] // cell)
    height, width = (-(-side // cell) for side in subject.shape)
    padded = cv2.copyMakeBorder(
        *(subject, 0, height * cell - subject.shape[0], 0, width * cell - subject.shape[1]),
        cv2.BORDER_CONSTANT,
    )
    coarse = cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA)
    _, coarse = cv2.threshold(coarse, 0, 255, cv2.THRESH_BINARY)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(coarse, connectivity=8)
    if count <= 2:
        return subject, []
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = np.flatnonzero(areas < max(_SPECK * cells[0] * cells[1], 4)) + 1
    if not len(small) or len(small) == count - 1:
        return subject, []
    is_small = np.zeros(count, bool)
    is_small[small] = True
    main = np.where(is_small[labels], 0, coarse).astype(np.uint8)
    distance = cv2.distanceTransform(255 - main, cv2.DIST_L2, 3)
    is_far = np.zeros(count, bool)
    for label in small:
        x, y, w, h = stats[label, :4]
        inside = labels[y : y + h, x : x + w] == label
        is_far[label] = distance[y : y + h, x : x + w][inside].min() > _FAR * max(cells)
    if not is_far.any():
        return subject, []
    far = np.repeat(np.repeat(is_far[labels], cell, 0), cell, 1)
    far = far[: subject.shape[0], : subject.shape[1]]
    places = [
        (int(stats[one, 0]) * cell, int(stats[one, 1]) * cell) for one in np.flatnonzero(is_far)
    ]
    return np.where(far, 0, subject).astype(np.uint8), places


def _outside(subject: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is connected to the frame's edge beside the subject: uint8 HxW, 255 there."""
    framed = cv2.copyMakeBorder(subject, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(framed, None, (0, 0), 128)
    outside: NDArray[np.uint8] = cv2.inRange(framed[1:-1, 1:-1], 128, 128)
    return outside


def _zone(subject: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Where pixels need not be white: uint8 HxW, 255 there."""
    size = 2 * _SOFT + 1
    subject = cv2.dilate(subject, np.ones((size, size), np.uint8))
    if not block:
        return subject
    height, width = subject.shape
    rows, columns = math.ceil(height / block), math.ceil(width / block)
    beyond = rows * block - height, columns * block - width
    padded = cv2.copyMakeBorder(subject, 0, beyond[0], 0, beyond[1], cv2.BORDER_CONSTANT)
    if block > 16:  # eight bits do not show one pixel of so many
        padded = padded.astype(np.float32)
    blocks = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    zone: NDArray[np.uint8] = cv2.resize(
        (blocks > 0).astype(np.uint8) * 255,
        (columns * block, rows * block),
        interpolation=cv2.INTER_NEAREST,
    )[:height, :width]
    # Halved colours are interpolated into the pixels beside their blocks.
    if block > 8:
        zone = cv2.dilate(zone, np.ones((5, 5), np.uint8))
    return zone


def _fringe(frame: NDArray[np.uint8], part: NDArray[np.uint8]) -> float:
    """The share of the outline whose colour is no mixture of the subject's own and white.

    The subject's own colour is looked for some pixels inwards. Outlines that have no inside there
    are passed over.

    Args:
        frame: uint8 HxWx3, cut to the subject's box.
        part: uint8 HxW, the subject there: 0 or 255.
    """
    inner = cv2.erode(part, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    # Two pixels of it: the outermost is nearly white, and says little.
    outline = inner - cv2.erode(inner, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    places = np.flatnonzero(outline > 0)
    if len(places) < 32:
        return 0.0
    step = -(-len(places) // _MOST_OUTLINE)
    rows, columns = np.divmod(places[::step], outline.shape[1])
    reach = 2 * _NORMAL
    soft = cv2.blur(
        cv2.copyMakeBorder(part, reach, reach, reach, reach, cv2.BORDER_CONSTANT),
        (2 * _NORMAL + 1, 2 * _NORMAL + 1),
    )
    y, x = rows + reach, columns + reach
    across = soft[y, x + _NORMAL].astype(np.float32) - soft[y, x - _NORMAL]
    down = soft[y + _NORMAL, x].astype(np.float32) - soft[y - _NORMAL, x]
    length = np.maximum(np.hypot(across, down), 1e-3)
    to_row = np.rint(rows + _INWARD * down / length).astype(int)
    to_column = np.rint(columns + _INWARD * across / length).astype(int)
    height, width = part.shape
    good = (to_row >= 0) & (to_row < height) & (to_column >= 0) & (to_column < width)
    good[good] &= inner[to_row[good], to_column[good]] > 0
    if np.count_nonzero(good) < 32:
        return 0.0
    own = frame[to_row[good], to_column[good]].astype(np.float32) - 255
    edge = frame[rows[good], columns[good]].astype(np.float32) - 255
    share = np.clip((edge * own).sum(1) / np.maximum((own * own).sum(1), 1), 0, 1)
    apart = np.abs(edge - share[:, None] * own).sum(1)
    return float(np.mean(apart > _FOREIGN))
