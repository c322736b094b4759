"""The tags of a source that its cutout bears too: resolution, EXIF and XMP, made neutral.

Left out is what would be wrong of the cutout, or is not to be published: the orientation (the
cutout is upright), the thumbnail (it shows the background), the colour space, gain maps, the
maker's notes (which break when they are moved) and the place where the picture was taken.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from PIL import ExifTags, Image, IptcImagePlugin

from alphabeam.transforms.images.exif import parsed
from alphabeam.transforms.images.heif import read_heif
from alphabeam.transforms.images.png import Png, read_png
from alphabeam.transforms.tags import Tags

__all__ = ["tags_of"]

_MOST_XMP = 60_000  # what one segment of a JPEG holds, with room
_MOST_EXIF = 60_000
# What is longer is passed over. A packet that says a picture's whole history has a megabyte or two;
# 4 MiB are gone through in under a second, whatever they hold.
_LONGEST_XMP = 4 << 20
_Base = ExifTags.Base
# The fields of a picture's first directory that say something of the picture, not of the file.
_KEPT = (
    _Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist,
    _Base.Copyright, _Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor,
    _Base.XPKeywords, _Base.XPSubject,
)  # fmt: skip
_MAKER_NOTE, _SRGB = _Base.MakerNote, 1
_DROPPED = frozenset({_MAKER_NOTE, _Base.ColorSpace, _Base.ExifInteroperabilityOffset})

# Properties of XMP that are left out, as attributes and as elements.
_NAMES = (
    rb"(?:tiff:Orientation|exif:GPS\w+|exif:ColorSpace|xmp:Thumbnails|xap:Thumbnails"
    rb"|xmpNote:HasExtendedXMP|photoshop:ICCProfile|hdrgm:\w+|GContainer:Directory"
    rb"|Container:Directory|apdi:\w+|HDRGainMap:\w+)"
)
_ATTRIBUTE = re.compile(rb"\s" + _NAMES + rb"""\s*=\s*(?:"[^"]*"|'[^']*')""")
_TAGS = (re.compile(rb"<(" + _NAMES + rb")(?=[\s/>])"), re.compile(rb"</(" + _NAMES + rb")\s*>"))
# What is kept of a packet that is too large, such as one with a history of megabytes.
_RIGHTS = (
    rb"(?:dc:rights|dc:creator|xmpRights:\w+|photoshop:Credit|Iptc4xmpExt:DigitalSourceType"
    rb"|plus:\w+)"
)
_RIGHTS_ATTRIBUTE = re.compile(rb"\s(" + _RIGHTS + rb"""\s*=\s*(?:"[^"]*"|'[^']*'))""")
_RIGHTS_TAGS = (
    re.compile(rb"<(" + _RIGHTS + rb")(?=[\s/>])"),
    re.compile(rb"</(" + _RIGHTS + rb")\s*>"),
)
_NAMESPACES = {
    b"dc": b"http://purl.org/dc/elements/1.1/",
    b"xmpRights": b"http://ns.adobe.com/xap/1.0/rights/",
    b"photoshop": b"http://ns.adobe.com/photoshop/1.0/",
    b"Iptc4xmpExt": b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    b"plus": b"http://ns.useplus.org/ldf/xmp/1.0/",
}


def tags_of(kind: str, data: bytes) -> Tags:
    """The tags of a file.

    Args:
        kind: One of `alphabeam.transforms.images.kinds.KINDS`.
        data: The file.

    Returns:
        What can be read of them: broken ones are left out.
    """
    try:
        if kind == "png":
            return _of_png(read_png(data))
        if kind == "heif":
            return _of_heif(data)
        if kind == "jpegxl":
            return Tags()
        return _of_pillow(data)
    except MemoryError:
        raise
    except Exception:  # broken files raise nearly anything, and tags are no reason to fail
        return Tags()


def _of_png(png: Png) -> Tags:
    dpi = None
    places = png.other.get(b"pHYs", b"")
    if len(places) == 9 and places[8] == 1:
        dpi = _resolution(int.from_bytes(places[at : at + 4], "big") * 0.0254 for at in (0, 4))
    notice = png.text(b"Copyright")
    exif = parsed(png.exif) if png.exif else Image.Exif()
    return Tags(dpi, _neutral_exif(exif, dpi, notice), _neutral_xmp(png.text(b"XML:com.adobe.xmp")))


def _of_heif(data: bytes) -> Tags:
    info = read_heif(data).info
    block = info.get("exif")
    exif = parsed(block) if block else Image.Exif()
    dpi = _exif_resolution(exif)
    return Tags(dpi, _neutral_exif(exif, dpi), _neutral_xmp(info.get("xmp")))


def _of_pillow(data: bytes) -> Tags:
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        packet: Any = image.info.get("xmp")
        dpi = image.info.get("dpi")
        if image.format == "PSD":
            resources = {number: value for number, _, value in getattr(image, "resources", ())}
            exif = parsed(resources[1058]) if 1058 in resources else exif
            packet = resources.get(1060)
            if len(place := resources.get(1005, b"")) >= 12:
                dpi = [int.from_bytes(place[at : at + 4], "big") / 65536 for at in (0, 8)]
        if image.format == "JPEG" and image.info.get("jfif_unit", 1) == 0:
            dpi = None  # a shape of pixels, and no resolution
        notice = None
        with suppress(Exception):
            found = IptcImagePlugin.getiptcinfo(image) if image.format != "PSD" else None
            notice = (found or {}).get((2, 116))
        place = _resolution(dpi) if dpi else _exif_resolution(exif)
        notice = notice if isinstance(notice, bytes) else None
        return Tags(place, _neutral_exif(exif, place, notice), _neutral_xmp(packet))


def _resolution(values: Iterable[Any]) -> tuple[float, float] | None:
    across, down = (float(value) for value in values)
    return (across, down) if 1 <= across < 100_000 and 1 <= down < 100_000 else None


def _exif_resolution(exif: Image.Exif) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(exif.get(_Base.ResolutionUnit, 2))
    across, down = exif.get(_Base.XResolution), exif.get(_Base.YResolution)
    if unit is None or across is None or down is None:
        return None
    try:
        return _resolution((float(across) * unit, float(down) * unit))
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _neutral_exif(
    exif: Image.Exif, dpi: tuple[float, float] | None, notice: bytes | None = None
) -> bytes | None:
    """The block that goes out; None if it would say nothing.

    Args:
        exif: The source's.
        dpi: The source's resolution.
        notice: A copyright notice from elsewhere in the file, where the block has none.
    """
    kept: dict[int, Any] = {tag: exif[tag] for tag in _KEPT if tag in exif}
    if notice and not kept.get(_Base.Copyright):
        kept[_Base.Copyright] = notice.strip(b"\0 ")
    below: dict[int, Any] = {}
    with suppress(Exception):
        below = {k: v for k, v in exif.get_ifd(ExifTags.IFD.Exif).items() if k not in _DROPPED}
    if not kept and not below:
        return None
    if dpi is not None:
        kept |= dict(zip((_Base.XResolution, _Base.YResolution), dpi, strict=True))
        kept[_Base.ResolutionUnit] = 2
    block = _written(kept, below)
    if block is None or len(block) > _MOST_EXIF:
        rights: dict[int, Any] = {
            tag: kept[tag] for tag in (_Base.Artist, _Base.Copyright) if tag in kept
        }
        block = _written(rights, {}) if rights else None
    return block


def _written(first: dict[int, Any], below: dict[int, Any]) -> bytes | None:
    exif = Image.Exif()
    exif[_Base.Orientation] = 1
    for tag, value in first.items():
        exif[tag] = _as_bytes(value)
    if below:
        exif.get_ifd(ExifTags.IFD.Exif).update({**below, _Base.ColorSpace: _SRGB})
    try:
        return exif.tobytes().removeprefix(b"Exif\0\0")
    except Exception:  # fields of types that are not what they ought to be
        return None


def _as_bytes(value: Any) -> Any:
    """Text as it came: Pillow reads any byte as a letter, and would write ASCII alone."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def _neutral_xmp(packet: Any) -> bytes | None:
    if isinstance(packet, str):
        packet = packet.encode()
    if not isinstance(packet, bytes) or b"<" not in packet:
        return None
    packet = packet.strip(b"\0")
    if len(packet) > _LONGEST_XMP:
        return None
    # A packet is padded, so that it can be edited in place.
    end = packet.rfind(b"<?xpacket end")
    if end > 0 and (before := packet[:end].rstrip()) != packet[:end]:
        packet = before + b"\n" + packet[end:]
    if len(packet) > _MOST_XMP:
        return _rights_alone(packet)
    return _without_elements(_ATTRIBUTE.sub(b"", packet))


def _elements(packet: bytes, tags: tuple[re.Pattern[bytes], ...]) -> Iterator[tuple[int, int]]:
    """Where a packet has elements of some names, each with its closing tag, in their order.

    One pattern for a whole element would search to the packet's end from each tag that is never
    closed: hours, of a few kilobytes that unpack to megabytes. Here each byte is looked at a few
    times, whatever the packet holds.

    Args:
        packet: The packet.
        tags: What finds an opening and a closing tag; their first group is the name.

    Yields:
        Start and end of each; none is inside another.
    """
    opening, closing = tags
    last = {found[1]: found.start() for found in closing.finditer(packet)}
    at, tag_end = 0, 0
    while found := opening.search(packet, at):
        name, at = found[1], found.end()
        if tag_end <= at:
            tag_end = packet.find(b">", at) + 1
            if not tag_end:
                return
        if packet[tag_end - 2] == ord("/"):
            at = tag_end
        elif last.get(name, -1) >= tag_end:
            closed = next(one for one in closing.finditer(packet, tag_end) if one[1] == name)
            at = closed.end()
        else:  # never closed
            continue
        yield found.start(), at


def _without_elements(packet: bytes) -> bytes:
    kept, at = [], 0
    for start, end in _elements(packet, _TAGS):
        kept.append(packet[at:start])
        at = end
    return b"".join([*kept, packet[at:]])


def _rights_alone(packet: bytes) -> bytes | None:
    """A packet with what says whose the picture is, and how it was made."""
    attributes = {found[1] for found in _RIGHTS_ATTRIBUTE.finditer(packet)}
    elements = {packet[start:end] for start, end in _elements(packet, _RIGHTS_TAGS)}
    if not attributes and not elements:
        return None
    spaces = b" ".join(b'xmlns:%s="%s"' % pair for pair in sorted(_NAMESPACES.items()))
    out = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" %s %s>%s</rdf:Description></rdf:RDF></x:xmpmeta>'
    ) % (spaces, b" ".join(sorted(attributes)), b"".join(sorted(elements)))
    return out if len(out) <= _MOST_XMP else None
