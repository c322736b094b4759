"""TIFF: tifffile finds the right page; Pillow decodes the usual ones, and the rest is done here.

Pillow takes the first page, whatever it is, and misreads some samples (16 bits in planes, 16 bits
with white as 0, 12 bits). Such files, if they are not packed in a way that only libtiff knows how
to unpack for a whole picture, are put together here from their strips or tiles.
"""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images.raster import Raster, broken, decoding, unsupported
from alphabeam.transforms.limits import Limits

__all__ = ["TiffPage", "decode_tiff", "read_tiff"]

_MOST_PAGES = 64
_MOST_BYTES = 170_000_000  # of a strip: what Pillow takes as one picture
_REDUCED = 1  # NewSubfileType: a preview
_MASK = 4
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_RAW = {32803, 34892}  # a sensor's colour filter array, and linear raw
_NAMES = {
    4: "transparency mask", _YCBCR: "YCbCr", _LAB: "CIELab", 9: "ICCLab", 10: "ITULab",
    32844: "LogL", 32845: "LogLuv", _RGB: "RGB", _CMYK: "CMYK", _PALETTE: "palette",
    _WHITE_IS_ZERO: "grey", _BLACK_IS_ZERO: "grey",
}  # fmt: skip
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_SIGNED, _FLOAT = 2, 3
_ASSOCIATED, _UNASSOCIATED = 1, 2
# Whole strips of bytes, whatever they mean: none, LZW, deflate (two numbers), PackBits, LZMA, Zstd.
_BYTE_PACKINGS = (1, 5, 8, 32946, 32773, 34925, 50000)
_PACKINGS = {6: "old-style JPEG", 7: "JPEG", 34712: "JPEG 2000", 50001: "WebP", 50002: "JPEG XL"}
_RAW_MAKERS = (
    ("nikon", "Nikon NEF"), ("canon", "Canon CR2"), ("sony", "Sony ARW"), ("pentax", "Pentax PEF"),
    ("ricoh", "Pentax PEF"), ("samsung", "Samsung SRW"), ("hasselblad", "Hasselblad 3FR"),
    ("phase one", "Phase One IIQ"), ("leaf", "Leaf MOS"), ("epson", "Epson ERF"),
    ("kodak", "Kodak DCR"), ("olympus", "Olympus ORF"), ("panasonic", "Panasonic RW2"),
    ("mamiya", "Mamiya MEF"),
)  # fmt: skip


class TiffPage(NamedTuple):
    """The page of a TIFF that is decoded.

    Attributes:
        width: In pixels, as stored.
        height: Likewise.
        offset: Of its directory in the file.
        first: Whether the file begins with it.
        big: A BigTIFF.
        order: ``<`` or ``>``.
        bits: Per sample.
        samples: Per pixel.
        format: 1 unsigned, 2 signed, 3 floating point.
        photometric: What the samples mean.
        planar: Each sample has a plane of its own.
        packing: The compression's number.
        predictor: 1 none, 2 horizontal, 3 floating point.
        extra: What the samples beyond the colours are.
        fill_order: 2 where the bits of each byte are reversed.
        tiled: In tiles, not strips.
        block: Height and width of a strip or tile.
        offsets: Of the strips or tiles.
        sizes: Likewise, in bytes.
        profile: The ICC profile.
        orientation: As EXIF numbers it.
    """

    width: int
    height: int
    offset: int
    first: bool
    big: bool
    order: str
    bits: int
    samples: int
    format: int
    photometric: int
    planar: bool
    packing: int
    predictor: int
    extra: tuple[int, ...]
    fill_order: int
    tiled: bool
    block: tuple[int, int]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    profile: bytes | None
    orientation: int


def read_tiff(data: bytes) -> TiffPage:
    """Finds the page to decode: the first that is no preview, in the chain or in a SubIFD.

    Raises:
        RowError: ``unsupported_image`` for a raw photo, or samples that are not understood;
            ``truncated_image``.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages = list(_pages(file))
            _refuse_raw(pages)
            return _described(_chosen(pages), file)
    except (RowError, MemoryError):
        raise
    except Exception:  # broken files raise nearly anything
        raise broken("the image's header is broken or cut off") from None


def _pages(file: Any) -> Iterator[Any]:
    for number in range(_MOST_PAGES):
        try:
            page = file.pages[number]
        except IndexError:
            return
        yield page
        for below in range(_MOST_PAGES if page.subifds else 0):
            try:
                yield page.pages[below]
            except (IndexError, TypeError):
                break


def _refuse_raw(pages: list[Any]) -> None:
    first = pages[0]
    digital_negative = any(tag in first.tags for tag in (50706, 50708))  # DNGVersion, its model
    raw = digital_negative or any(_number(page, 262, -1) in _RAW for page in pages)
    if not raw:
        return
    name = "DNG"
    if not digital_negative:
        maker = str(first.tags.valueof(271, "")).lower()
        name = next((name for start, name in _RAW_MAKERS if start in maker), "camera")
    raise unsupported(f"{name} raw photo", "export it as TIFF or JPEG")


def _chosen(pages: list[Any]) -> Any:
    whole = [page for page in pages if not _subfile(page) & (_REDUCED | _MASK)]
    if whole and whole[0] is pages[0]:
        return pages[0]
    # Behind a preview: of several sizes of one picture the largest.
    return max(whole or pages, key=lambda page: page.imagewidth * page.imagelength)


def _subfile(page: Any) -> int:
    kind = _number(page, 254, 0)
    return kind | (_REDUCED if _number(page, 255, 1) == 2 else 0)  # the tag's older form


def _number(page: Any, tag: int, default: int) -> int:
    value = page.tags.valueof(tag, default)
    if isinstance(value, (tuple, list)):
        value = value[0] if value else default
    return int(value)


def _described(page: Any, file: Any) -> TiffPage:
    bits = page.tags.valueof(258, 1)
    kinds = page.tags.valueof(339, 1)
    for name, values in (("bits", bits), ("formats", kinds)):
        if isinstance(values, tuple) and len(set(values)) != 1:
            raise unsupported(f"a TIFF whose samples have different {name}")
    tiled = 322 in page.tags
    width, height = int(page.imagewidth), int(page.imagelength)
    rows = min(_number(page, 278, height), height) or height
    extra = page.tags.valueof(338, ())
    profile = page.tags.valueof(34675, None)
    return TiffPage(
        width,
        height,
        int(page.offset),
        page.offset == file.pages[0].offset,
        bool(file.is_bigtiff),
        str(file.byteorder),
        int(bits[0] if isinstance(bits, tuple) else bits),
        _number(page, 277, 1),
        int(kinds[0] if isinstance(kinds, tuple) else kinds),
        _number(page, 262, -1),
        _number(page, 284, 1) == 2 and _number(page, 277, 1) > 1,
        _number(page, 259, 1),
        _number(page, 317, 1),
        tuple(int(v) for v in (extra if isinstance(extra, tuple) else (extra,))),
        _number(page, 266, 1),
        tiled,
        (_number(page, 323, 0), _number(page, 322, 0)) if tiled else (rows, width),
        tuple(int(v) for v in page.dataoffsets),
        tuple(int(v) for v in page.databytecounts),
        profile if isinstance(profile, bytes) else None,
        _number(page, 274, 1),
    )


def decode_tiff(data: bytes, page: TiffPage, limits: Limits) -> Raster:
    """Decodes a page.

    Raises:
        RowError: ``truncated_image``, ``unsupported_image``, or ``too_large`` for what takes too
            long.
    """
    if page.format == _FLOAT:
        raise unsupported(f"floating-point samples ({page.bits} bits)")
    if page.format == _SIGNED:
        raise unsupported(f"signed {page.bits}-bit samples")
    if page.format != 1 or page.bits > 16:
        raise unsupported(f"{page.bits}-bit integer samples")
    if page.photometric not in _NAMES or page.photometric in (4, 9, 10, 32844, 32845):
        raise unsupported(f"a TIFF of {_NAMES.get(page.photometric, 'unknown')} samples")
    end = max((o + s for o, s in zip(page.offsets, page.sizes, strict=False)), default=0)
    if not page.sizes or len(page.offsets) != len(page.sizes) or end > len(data):
        raise broken("the image is cut off: some of its strips are missing")
    colours = _CHANNELS.get(page.photometric, page.samples)
    usual = (
        page.bits in (1, 2, 4, 8)
        and not page.planar
        and not (page.big and page.order == ">")
        and not (page.photometric == _CMYK and page.samples > 4)
    )
    known = page.photometric in _CHANNELS and page.packing in _BYTE_PACKINGS
    if usual:
        try:
            return _by_pillow(data, page)
        except UnidentifiedImageError:  # an unusual number of samples, or packing
            if not known or page.predictor == 3:
                raise unsupported(_described_as(page)) from None
    if not known:
        raise unsupported(_described_as(page))
    if page.samples < colours:
        raise broken("the image's header is broken")
    samples = _samples(data, page, limits)
    return _raster(samples, page, colours)


def _described_as(page: TiffPage) -> str:
    packing = (
        "" if page.packing in _BYTE_PACKINGS else _PACKINGS.get(page.packing, "an unknown method")
    )
    return (
        f"a TIFF of {page.samples} {page.bits}-bit {_NAMES[page.photometric]} samples"
        + (" in planes" if page.planar else "")
        + (f", packed by {packing}" if packing else "")
    )


def _by_pillow(data: bytes, page: TiffPage) -> Raster:
    """Decodes by Pillow.

    Raises:
        UnidentifiedImageError: Pillow does not know such a file.
        RowError: ``truncated_image``.
    """
    if not page.first:  # let the file begin with the right page
        place = struct.Struct(page.order + ("Q" if page.big else "I"))
        start = 8 if page.big else 4
        data = data[:start] + place.pack(page.offset) + data[start + place.size :]
    if page.packing == 6:
        raise UnidentifiedImageError
    with decoding(UnidentifiedImageError):
        image = Image.open(io.BytesIO(data), formats=("TIFF",))
        image.load()  # which turns it upright
    return Raster(image, page.profile)


def _raster(samples: NDArray[np.uint8], page: TiffPage, colours: int) -> Raster:
    alpha: NDArray[np.uint8] | None = None
    extra = page.extra[: page.samples - colours]
    for number, kind in enumerate(extra):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            alpha = np.ascontiguousarray(samples[:, :, colours + number])
            break
    main = samples[:, :, :colours]
    if alpha is not None and _ASSOCIATED in extra and page.photometric != _CMYK:
        main = _unmultiplied(main, alpha)
    if page.photometric == _WHITE_IS_ZERO:
        main = 255 - main
    main = np.ascontiguousarray(main)
    image: Image.Image | NDArray[np.uint8] = main
    if colours == 1:
        image = main[:, :, 0]
    elif colours == 4:
        image = Image.fromarray(main, "CMYK")
    return Raster(image, page.profile, alpha=alpha, orientation=page.orientation)


def _unmultiplied(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = np.maximum(alpha, 1).astype(np.float32)[:, :, None]
    return np.minimum(np.rint(colours * (255 / weight)), 255).astype(np.uint8)


def _samples(data: bytes, page: TiffPage, limits: Limits) -> NDArray[np.uint8]:
    """All samples, uint8 H x W x samples, put together from strips or tiles."""
    tall, wide = page.block
    if tall < 1 or wide < 1 or tall * wide > 4 * limits.max_pixels:
        raise broken("the image's header is broken")
    across, down = -(-page.width // wide), -(-page.height // tall)
    planes = page.samples if page.planar else 1
    if len(page.offsets) < across * down * planes:
        raise broken("the image is cut off: some of its strips are missing")
    out = np.zeros((page.height, page.width, page.samples), np.uint8)
    until = time.monotonic() + limits.max_decode_seconds
    for number in range(across * down * planes):
        if time.monotonic() > until:
            raise RowError(
                ErrorCode.TOO_LARGE,
                f"the image takes over max_decode_seconds {limits.max_decode_seconds:g} to decode",
            )
        plane, place = divmod(number, across * down)
        top, left = tall * (place // across), wide * (place % across)
        # The last strip holds only the rows that are left; a tile is always whole.
        rows = tall if page.tiled else min(tall, page.height - top)
        start, size = page.offsets[number], page.sizes[number]
        if page.packing == 1:  # whose size is known: the file may say less
            size = max(size, rows * _stride(page, wide, page.samples // planes))
        block = _block(data[start : start + size], page, rows, wide, page.samples // planes)
        part = block[: page.height - top, : page.width - left]
        target = out[top : top + part.shape[0], left : left + part.shape[1]]
        if page.planar:
            target[:, :, plane] = part[:, :, 0]
        else:
            target[:] = part
    return out


def _stride(page: TiffPage, columns: int, samples: int) -> int:
    """Bytes of a row of a strip or tile."""
    return (columns * samples * page.bits + 7) // 8


def _block(
    packed: bytes, page: TiffPage, rows: int, columns: int, samples: int
) -> NDArray[np.uint8]:
    """One strip or tile, uint8 rows x columns x samples."""
    stride = _stride(page, columns, samples)
    plain = _unpacked(packed, page, stride, rows)
    if page.bits == 16:
        wide = np.frombuffer(plain, f"{page.order}u2").reshape(rows, columns, samples)
        if page.predictor == 2:
            wide = np.cumsum(wide, axis=1, dtype=np.uint16)
        return ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if page.predictor != 1 and page.bits != 8:
        raise unsupported(f"a TIFF of {page.bits}-bit samples with predictor {page.predictor}")
    if page.bits == 8:
        narrow = np.frombuffer(plain, np.uint8).reshape(rows, columns, samples)
        return np.cumsum(narrow, axis=1, dtype=np.uint8) if page.predictor == 2 else narrow
    # Samples are packed without gaps; each row begins at a byte.
    bits = np.unpackbits(np.frombuffer(plain, np.uint8).reshape(rows, stride), axis=1)
    bits = bits[:, : columns * samples * page.bits].reshape(rows, columns, samples, page.bits)
    values: NDArray[Any] = np.zeros((rows, columns, samples), np.uint32)
    for place in range(page.bits):
        values = (values << 1) | bits[:, :, :, place]
    most = (1 << page.bits) - 1
    return ((values * 255 + most // 2) // most).astype(np.uint8)


def _unpacked(packed: bytes, page: TiffPage, stride: int, rows: int) -> bytes:
    """A strip's or tile's bytes, ``stride * rows`` of them."""
    if page.predictor not in (1, 2):
        raise unsupported(f"a TIFF with predictor {page.predictor}")
    size = stride * rows
    if page.packing == 1:
        if len(packed) < size:
            raise broken("the image is cut off: one of its strips is too short")
        plain = packed[:size]
        if page.fill_order == 2:
            reversed_bits = np.packbits(
                np.unpackbits(np.frombuffer(plain, np.uint8)).reshape(-1, 8)[:, ::-1]
            )
            plain = reversed_bits.tobytes()
        return plain
    if size > _MOST_BYTES:
        raise unsupported(f"a TIFF with strips of {size} bytes", "save it in smaller strips")
    # To libtiff, in Pillow, it is a picture of bytes: what they mean is no matter of the packing.
    fields = [
        (256, 4, stride), (257, 4, rows), (258, 3, 8), (259, 3, page.packing), (262, 3, 1),
        (266, 3, page.fill_order), (273, 4, 134), (277, 3, 1), (278, 4, rows),
        (279, 4, len(packed)),
    ]  # fmt: skip
    directory = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I" if kind == 4 else "<HH", *value)
        for tag, kind, value in ((t, k, (v,) if k == 4 else (v, 0)) for t, k, v in fields)
    )
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + directory + bytes(4)
    with decoding():
        pixels = Image.open(io.BytesIO(head + packed), formats=("TIFF",)).tobytes()
    return pixels
