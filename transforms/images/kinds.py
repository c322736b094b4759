"""What a file is, by its first bytes: never by its name, and never by showing its contents."""

from __future__ import annotations

import re

from alphabeam.transforms.errors import ErrorCode, RowError

__all__ = ["KINDS", "kind_of"]

KINDS = (
    *("jpeg", "png", "webp", "tiff", "bmp", "gif", "avif"),
    *("heif", "jpeg2000", "psd", "jpegxl"),
)
"""The formats that are decoded, by the names that the metadata gives them."""

_EXPORT = "export it as TIFF or JPEG"
_SAVE = "save it as PNG or JPEG"
_NO_PICTURE = "check what the URI serves"

# What is decoded. TIFF comes after the raw photos, many of which begin like one.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"8BPS\0\x01", "psd"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jpegxl"),
    (b"\xff\x0a", "jpegxl"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)

# Pictures that are not decoded: the first bytes, the name, and what to do.
_UNSUPPORTED: tuple[tuple[bytes, str, str], ...] = (
    (b"IIRO", "Olympus ORF raw photo", _EXPORT),
    (b"IIRS", "Olympus ORF raw photo", _EXPORT),
    (b"MMOR", "Olympus ORF raw photo", _EXPORT),
    (b"IIU\0", "Panasonic RW2 raw photo", _EXPORT),
    (b"FUJIFILMCCD-RAW", "Fujifilm RAF raw photo", _EXPORT),
    (b"FOVb", "Sigma X3F raw photo", _EXPORT),
    (b"\0MRM", "Minolta MRW raw photo", _EXPORT),
    (b"II\x1a\0\0\0HEAPCCDR", "Canon CRW raw photo", _EXPORT),
    (b"8BPS\0\x02", "Photoshop large document (PSB)", "save it as PSD, PNG or JPEG"),
    (b"gimp xcf ", "GIMP picture (XCF)", "export it as PNG or JPEG"),
    (b"II\xbc", "JPEG XR picture", _SAVE),
    (b"BPG\xfb", "BPG picture", _SAVE),
    (b"\x76\x2f\x31\x01", "OpenEXR picture", _SAVE),
    (b"#?RADIANCE", "Radiance HDR picture", _SAVE),
    (b"#?RGBE", "Radiance HDR picture", _SAVE),
    (b"DDS ", "DirectDraw texture (DDS)", _SAVE),
    (b"qoif", "QOI picture", _SAVE),
    (b"FLIF", "FLIF picture", _SAVE),
    (b"\0\0\x01\0", "Windows icon (ICO)", _SAVE),
    (b"\0\0\x02\0", "Windows cursor (CUR)", _SAVE),
    (b"icns", "macOS icon (ICNS)", _SAVE),
    (b"SIMPLE  =", "FITS picture", _SAVE),
    (b"AT&TFORM", "DjVu document", _SAVE),
    (b"%!PS", "PostScript or EPS file", _SAVE),
    (b"\xc5\xd0\xd3\xc6", "EPS file", _SAVE),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile (WMF)", _SAVE),
    (b"\x59\xa6\x6a\x95", "Sun raster picture", _SAVE),
)

# What is no picture.
_OTHER: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF", "export its page as PNG or JPEG"),
    (b"\x1f\x8b", "a gzip-compressed file", "decompress it, or check how the server compresses"),
    (b"BZh", "a bzip2-compressed file", "decompress it"),
    (b"\xfd7zXZ\0", "an xz-compressed file", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard-compressed file", "decompress it"),
    (b"PK\x03\x04", "a ZIP archive or an office document", "give the URI of a picture"),
    (b"PK\x05\x06", "an empty ZIP archive", "give the URI of a picture"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "give the URI of a picture"),
    (b"Rar!\x1a\x07", "a RAR archive", "give the URI of a picture"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "give the URI of a picture"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", "give the URI of a picture"),
    (b"\0\0\x01\xba", "an MPEG video", "give the URI of a picture"),
    (b"\0\0\x01\xb3", "an MPEG video", "give the URI of a picture"),
    (b"FLV\x01", "a Flash video", "give the URI of a picture"),
    (b"OggS", "an Ogg file", "give the URI of a picture"),
    (b"ID3", "an MP3 file", "give the URI of a picture"),
    (b"fLaC", "a FLAC file", "give the URI of a picture"),
    (b"PAR1", "a Parquet file", "name it as the manifest, not as an image"),
    (b"SQLite format 3\0", "a SQLite database", "give the URI of a picture"),
    (b"\x7fELF", "a program", _NO_PICTURE),
    (b"MZ", "a Windows program", _NO_PICTURE),
    (b"glTF", "a glTF model", "give the URI of a picture"),
    (b"wOFF", "a web font", "give the URI of a picture"),
    (b"wOF2", "a web font", "give the URI of a picture"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (b"data:image/", "a data URI in a text file", "write its decoded bytes to a file"),
)

_AVIF = frozenset({b"avif", b"avis"})
_HEIF = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2",
     b"msf1", b"heif"}
)  # fmt: skip


def kind_of(data: bytes) -> str:
    """Which of `KINDS` a file is.

    Raises:
        RowError: ``empty_file``; ``unsupported_image`` or ``not_an_image``, with the name of what
            the file is; ``truncated_image`` where too little of it is left to tell.
    """
    if not data:
        raise RowError(ErrorCode.EMPTY_FILE, "the file is empty (0 bytes); upload it again")
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if data.startswith(b"RIFF"):
        return _of_riff(data)
    if data.startswith((b"II*\0", b"MM\0*")) and data[8:10] == b"CR":
        raise _unsupported("Canon CR2 raw photo", _EXPORT)
    for start, name, remedy in _UNSUPPORTED:
        if data.startswith(start):
            raise _unsupported(name, remedy)
    for start, kind in _MAGIC:
        if data.startswith(start):
            return kind
    if data.startswith(b"\x89PNG") and len(data) > 8:
        raise RowError(
            ErrorCode.TRUNCATED_IMAGE,
            "the PNG's first bytes are damaged, as by a transfer as text; upload it again",
        )
    if len(data) < 12 and any(start.startswith(data) for start, _ in _MAGIC):
        raise RowError(
            ErrorCode.TRUNCATED_IMAGE,
            f"only {len(data)} bytes of the file are left; upload it again",
        )
    for start, name, remedy in _OTHER:
        if data.startswith(start):
            raise _no_image(name, remedy)
    raise _of_text(data)


def _unsupported(name: str, remedy: str) -> RowError:
    return RowError(ErrorCode.UNSUPPORTED_IMAGE, f"{name}; {remedy}")


def _no_image(name: str, remedy: str) -> RowError:
    return RowError(ErrorCode.NOT_AN_IMAGE, f"the file is {name}, not an image; {remedy}")


def _of_brands(data: bytes) -> str:
    """A file of ISO boxes (HEIF, AVIF, CR3, MP4 …), by the brands that it says it follows."""
    size = min(int.from_bytes(data[:4], "big"), 4096)
    major = data[8:12]
    brands = {major, *(data[at : at + 4] for at in range(16, min(size, len(data)), 4))}
    if major == b"crx ":
        raise _unsupported("Canon CR3 raw photo", _EXPORT)
    if brands & _AVIF:
        return "avif"
    if brands & _HEIF:
        return "heif"
    if major == b"qt  ":
        raise _no_image("a QuickTime video", "give the URI of a picture")
    if major in (b"M4A ", b"M4B "):
        raise _no_image("MPEG-4 audio", "give the URI of a picture")
    raise _no_image("an MP4 video", "give the URI of a picture")


def _of_riff(data: bytes) -> str:
    form = data[8:12]
    if form == b"WEBP":
        return "webp"
    if len(form) < 4:
        raise RowError(
            ErrorCode.TRUNCATED_IMAGE,
            f"only {len(data)} bytes of the file are left; upload it again",
        )
    name = {b"AVI ": "an AVI video", b"WAVE": "WAV audio"}.get(form, "a RIFF file")
    raise _no_image(name, "give the URI of a picture")


def _of_text(data: bytes) -> RowError:
    """The error for what has no known first bytes: text of some kind, or unknown."""
    start = data[:1024]
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if start.startswith(mark):
            # Half a character at the end is no reason to doubt.
            start = start.decode(encoding, "ignore").encode("ascii", "replace").lstrip(b"?")
            break
    text = start.lstrip().lower()
    said = _behind_comments(re.sub(rb"\A<\?xml[^>]*>", b"", text))
    if re.match(rb"(<!doctype svg[^>]*>\s*)?<svg[\s>]", said):
        return _unsupported("SVG drawing", _SAVE)
    if re.match(rb"<(!doctype html|html|head|body|p|div|h1)[\s>]", _behind_comments(text)):
        return _no_image("an HTML page", _NO_PICTURE)
    if text.startswith(b"<?xml") or re.match(rb"<[a-z][\w:.-]*[\s>/]", text):
        return _no_image("XML text", _NO_PICTURE)
    if not _is_text(start[:256]):
        formats = ", ".join(kind.upper() for kind in KINDS)
        return RowError(
            ErrorCode.NOT_AN_IMAGE,
            f"the file is of no known image format; save it as one of {formats}",
        )
    if text.startswith((b"{", b"[")):
        return _no_image("JSON text", _NO_PICTURE)
    return _no_image("text", _NO_PICTURE)


def _behind_comments(text: bytes) -> bytes:
    """What stands behind the comments that a page begins with.

    A pattern for all of them would take ages: a comment may hold others' beginnings and ends.
    """
    text = text.lstrip()
    while text.startswith(b"<!--") and b"-->" in text[4:]:
        text = text[4:].partition(b"-->")[2].lstrip()
    return text


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")  # half a character at the end is no reason to doubt
    lost = len(start) - len(text.encode())
    return lost < 4 and all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)
