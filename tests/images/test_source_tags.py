"""Which of a source's tags its cutout bears, from every format that has some."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from alphabeam.transforms.images.kinds import kind_of
from alphabeam.transforms.images.source_tags import tags_of
from alphabeam.transforms.tags import Tags
from tests.conftest import Shop, encoded, product
from tests.linear import grows_evenly

BASE = ExifTags.Base
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 tiff:Orientation="6" exif:GPSLatitude="48,8N" hdrgm:Version="1.0"
 Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE}">
<tiff:Orientation>6</tiff:Orientation>
<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Müller</rdf:li></rdf:Alt></dc:rights>
</rdf:Description></rdf:RDF></x:xmpmeta>{" " * 2000}
<?xpacket end="w"?>""".encode()


def exif() -> Image.Exif:
    block = Image.Exif()
    block[BASE.Orientation] = 6
    block[BASE.Make] = "Canon"
    block[BASE.Copyright] = "© Müller".encode()
    below = block.get_ifd(ExifTags.IFD.Exif)
    below[BASE.DateTimeOriginal] = "2020:01:01 00:00:00"
    below[BASE.ColorSpace] = 65535
    below[BASE.MakerNote] = b"secret"
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return block


def tags(format: str, **options: Any) -> Tags:
    data = encoded(product(), format, **options)
    return tags_of(kind_of(data), data)


def exif_of(found: Tags) -> Image.Exif:
    block = Image.Exif()
    assert found.exif is not None
    block.load(b"Exif\0\0" + found.exif)
    return block


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_goes_out_neutral(format: str) -> None:
    block = exif_of(tags(format, exif=exif()))
    assert block[BASE.Orientation] == 1
    assert block[BASE.Make] == "Canon"
    if format != "AVIF":  # where Pillow writes ASCII alone
        assert block[BASE.Copyright].encode("latin-1") == "© Müller".encode()
    assert not block.get_ifd(ExifTags.IFD.GPSInfo)
    if format != "TIFF":  # Pillow writes no fields below the first ones there
        below = block.get_ifd(ExifTags.IFD.Exif)
        assert below[BASE.DateTimeOriginal] == "2020:01:01 00:00:00"
        assert below[BASE.ColorSpace] == 1 and BASE.MakerNote not in below


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_xmp_goes_out_neutral(format: str) -> None:
    packet = tags(format, xmp=XMP).xmp
    assert packet is not None
    assert DIGITAL_SOURCE.encode() in packet and "© Müller".encode() in packet
    for left_out in (b"Orientation", b"GPS", b"Thumbnails", b"hdrgm:Version", b" " * 100):
        assert left_out not in packet
    assert packet.startswith(b"<?xpacket begin") and packet.endswith(b'<?xpacket end="w"?>')


def test_of_a_packet_of_megabytes_the_rights_are_kept() -> None:
    history = b"<xmp:History>" + b"<rdf:li>saved</rdf:li>" * 100_000 + b"</xmp:History>"
    packet = tags(
        "WEBP", xmp=XMP.replace(b"</rdf:Description>", history + b"</rdf:Description>")
    ).xmp
    assert packet is not None and len(packet) < 2000
    assert DIGITAL_SOURCE.encode() in packet and "© Müller".encode() in packet


def png_with(packet: bytes) -> bytes:
    """A picture whose packet is packed, so that megabytes of it are a few kilobytes."""
    text = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = encoded(product(), "PNG")
    return data[:33] + chunk + data[33:]


HOSTILE = [
    (b"<x>", b" ", b""),
    (b"<x>", b"<dc:rights>", b""),
    (b"<x>", b"<dc:rights ", b""),
    (b"<x>", b"<dc:rights ", b">"),
    (b"<x>", b"<dc:rights>", b"</dc:creator>"),
    (b"<x>", b"</dc:rights", b""),
    (b"<x>", b"<plus:a></plus:a>", b""),
    (b"<x> dc:rights", b" ", b""),
    (b"<x>", b" dc:rights='", b'"'),
    (b"<x> plus:", b"a", b""),
    (b"<plus:", b"a", b""),
    (b"<x>", b"<", b""),
]


@pytest.mark.parametrize(("before", "unit", "behind"), HOSTILE)
def test_no_packet_takes_longer_than_its_length(before: bytes, unit: bytes, behind: bytes) -> None:
    def picture(size: int) -> bytes:
        return png_with(before + unit * (size // len(unit)) + behind)

    assert grows_evenly(lambda data: tags_of("png", data), picture, 70_000)


def test_a_packet_that_no_program_writes_is_passed_over() -> None:
    assert tags_of("png", png_with(XMP)).xmp is not None
    assert tags_of("png", png_with(XMP.replace(b"<rdf:li", b" " * (5 << 20) + b"<rdf:li"))) == Tags(
        tags_of("png", png_with(XMP)).dpi
    )


def test_elements_are_left_out_with_what_is_in_them() -> None:
    packet = (
        b"<x><xmp:Thumbnails a='1'><apdi:One>1</apdi:One></xmp:Thumbnails ><exif:GPSAltitude/>"
        b"<exif:GPSAreaInformation x='2' /><b>kept</b><apdi:Two>open<hdrgm:A>2</hdrgm:A></x>"
    )
    found = tags_of("png", png_with(packet)).xmp
    assert found == b"<x><b>kept</b><apdi:Two>open</x>"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_is_as_it_came(format: str) -> None:
    found = tags(format, dpi=(300, 300)).dpi
    assert found is not None and [round(value, 1) for value in found] == [300, 300]


def test_a_shape_of_pixels_is_no_resolution() -> None:
    data = bytearray(encoded(product(), "JPEG", dpi=(2, 1)))
    assert data[6:10] == b"JFIF"
    data[13] = 0  # the unit: none
    assert tags_of("jpeg", bytes(data)).dpi is None


def test_a_copyright_notice_from_elsewhere() -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Copyright", "Ann")
    assert exif_of(tags("PNG", pnginfo=text))[BASE.Copyright] == "Ann"


@pytest.mark.parametrize("junk", [b"", b"Exif\0\0", b"II*\0" + b"\xff" * 90, b"MM\0*" + bytes(90)])
def test_broken_tags_are_left_out(junk: bytes) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        found = tags(format, exif=b"Exif\0\0" + junk)
        assert found.exif is None or exif_of(found)[BASE.Orientation] == 1
    assert tags("WEBP", xmp=junk).xmp is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_jobs_cutouts_bear_the_tags_or_not(shop: Shop, kept: bool) -> None:
    stored = np.rot90(product(0), 1)
    data = encoded(stored, "JPEG", quality=95, exif=exif(), xmp=XMP, dpi=(240, 240))
    (shop.folder / "p.jpg").write_bytes(data)
    shop.manifest("image\np.jpg\n")
    shop.write_job(output={} if kept else {"metadata": "drop"})
    assert shop.run() == 0
    image = Image.open(io.BytesIO((shop.out / "cutouts/p.png").read_bytes()))
    image.load()
    assert image.size == (stored.shape[0], stored.shape[1]), "upright"
    assert round(image.info["dpi"][0]) == 240 and image.info["srgb"] == 0
    assert (BASE.Copyright in image.getexif()) is kept
    assert image.getexif().get(BASE.Orientation, 1) == 1
    assert (DIGITAL_SOURCE.encode() in image.info.get("xmp", b"")) is kept
    mask = Image.open(shop.out / "masks/p.png")
    assert round(mask.info["dpi"][0]) == 240


@pytest.mark.parametrize(
    ("names", "expected"),
    [("keep", "cutouts/鞋 Größe 42.png"), ("safe", "cutouts/Gr-e-42-")],
)
def test_a_jobs_files_are_named_after_ids(shop: Shop, names: str, expected: str) -> None:
    shop.picture("p.png")
    shop.manifest("image,id\np.png,鞋 Größe 42\n")
    shop.write_job(output={"names": names})
    assert shop.run() == 0
    (cutout,) = shop.files("cutouts")
    assert cutout.startswith(expected)
    assert Path(shop.out, cutout).read_bytes().startswith(b"\x89PNG")
