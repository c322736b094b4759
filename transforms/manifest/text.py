"""The lines of a text manifest: compression, encoding and line ends as exporters leave them.

Offsets count bytes of the text as it is read. Where these are the bytes of the file, a shard may
begin at any line. A text that is compressed, or UTF-16, is read from its beginning, as one shard.
"""

from __future__ import annotations

import codecs
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from alphabeam.transforms import storage
from alphabeam.transforms.manifest.columns import is_image_name
from alphabeam.transforms.manifest.source import Manifest, ManifestError

__all__ = ["MAX_LINE_BYTES", "Line", "Text", "lines_of", "open_text"]

MAX_LINE_BYTES = 1 << 20
_BLOCK = 1 << 17
_SAMPLE = 1 << 18  # what the encoding is found by; the same for every shard
_HEAD = 1 << 13
_BOM = b"\xef\xbb\xbf"
_BINARY = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)])  # no text has them


class Line(NamedTuple):
    """One line without its end, or what is wrong with it.

    Attributes:
        number: From 1.
        end: Offset of the first byte after the line.
        text: Empty if there is an error.
        error: What is wrong; None if nothing is.
        ended: Whether there is an end; a file that was cut off has none.
    """

    number: int
    end: int
    text: str
    error: str | None = None
    ended: bool = True


class Text(NamedTuple):
    """A text manifest, open at its beginning.

    Attributes:
        stream: Its bytes, in an encoding that has ASCII's bytes for ASCII's characters.
        seekable: Whether a shard may begin in the middle.
        compressed: Whether the file is.
        encodings: What a line may be written in, likeliest first.
        head: Its first bytes.
    """

    stream: BinaryIO
    seekable: bool
    compressed: bool
    encodings: tuple[str, ...]
    head: bytes


class _Blocks(io.RawIOBase):
    """A stream made of blocks of bytes; closes the one behind it."""

    def __init__(self, blocks: Iterator[bytes], behind: BinaryIO) -> None:
        super().__init__()
        self._blocks, self._behind, self._left = blocks, behind, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = block
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._behind.close()
        super().close()


class _CarriageReturns(io.RawIOBase):
    """A text whose lines end in CR, as one whose lines end in LF; of the same length."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def open_text(manifest: Manifest) -> Text:
    """Opens a manifest's text.

    Raises:
        ManifestError: It is no text.
        RowError: The store refuses it.
    """
    stream = storage.open_input(manifest.uri, options=manifest.storage_options)
    try:
        return _opened(stream, manifest.encoding)
    except ManifestError as error:
        stream.close()
        raise ManifestError(f"{manifest.shown}: {error}") from None


def _opened(stream: BinaryIO, encoding: str) -> Text:
    plain, compressed = _decompressed(stream)
    try:
        sample = _read(plain, _SAMPLE)
    except OSError as error:
        if compressed:
            raise ManifestError(f"the compressed data is broken or cut off: {error}") from None
        raise
    if sample.startswith(b"PK\x03\x04"):
        raise ManifestError("an Excel workbook or ZIP file; export it as CSV UTF-8")
    seekable = not compressed
    if seekable:
        try:
            plain.seek(0)
        except (OSError, ValueError):  # an HTTP server that sends no ranges
            seekable = False
    if not seekable:
        plain = _of_blocks(itertools.chain([sample], _blocks(plain)), plain)
    found = _encodings(sample)
    if encoding != "auto":
        found = (codecs.lookup(encoding).name.replace("utf-8-sig", "utf-8"),)
    if _is_transcoded(found[0]):
        wide = codecs.lookup(found[0]).name
        sample = sample.decode(wide, "ignore").encode()
        # a cut sample says nothing of the end: each line is looked at when it is read
        plain = _of_blocks(_transcoded(_blocks(plain), wide), plain)
        seekable, found = False, ("utf-8",)
    if b"\r" in sample and b"\n" not in sample:
        plain = cast(BinaryIO, io.BufferedReader(_CarriageReturns(plain), _BLOCK))
        sample = sample.replace(b"\r", b"\n")
    return Text(plain, seekable, compressed, found, sample[:_HEAD])


def _decompressed(stream: BinaryIO) -> tuple[BinaryIO, bool]:
    """The stream as plain bytes, and whether it was compressed; goes by the content."""
    head = stream.read(4)
    stream.seek(0)
    codec = "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else ""
    if not codec:
        return stream, False
    plain = pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec)
    return cast(BinaryIO, io.BufferedReader(plain, _BLOCK)), True


def _read(stream: BinaryIO, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        block = stream.read(size - len(found))
        if not block:
            break
        found += block
    return bytes(found)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(_BLOCK), b"")


def _of_blocks(blocks: Iterator[bytes], behind: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Blocks(blocks, behind), _BLOCK))


def _is_transcoded(encoding: str) -> bool:
    """Whether an encoding has other bytes than ASCII's for line ends, quotes and delimiters."""
    text = 'a"\r\n,;\t|'
    name = codecs.lookup(encoding).name
    stateful = name.startswith(("iso2022", "hz", "utf-7"))
    return stateful or text.encode(name) != text.encode("ascii")


def _transcoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8; what is no text becomes what is no UTF-8, so that its line is refused."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if wide else "replace")
    for block in itertools.chain(blocks, [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError:
            decoder.reset()
            yield b"\xff"
            continue
        yield text.encode("utf-8", "surrogatepass")


def _encodings(sample: bytes) -> tuple[str, ...]:
    """What a text is written in, by its first 256 KiB; see docs/manifest.md."""
    if sample.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return ("utf-32",)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    wide = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
    pairs = {(sample[i] == 0, sample[i + 1] == 0) for i in (0, 2) if len(sample) > 3}
    if len(pairs) == 1 and (found := wide.get(pairs.pop())):
        return (found,)
    if sample.startswith(_BOM) or len(sample.translate(None, _BINARY)) < len(sample):
        return ("utf-8",)
    if sample.isascii():  # a later line may still be either
        return ("utf-8", "cp1252")
    lines = [line for line in re.split(rb"[\r\n]+", sample) if not line.isascii()]
    if len(sample) == _SAMPLE and len(lines) > 1:
        lines.pop()  # cut off
    good = sum(_decodes(line, "utf-8") for line in lines)
    if good * 2 >= len(lines):
        return ("utf-8",)
    return ("cp932",) if _is_japanese(sample, lines) else ("cp1252",)


def _is_japanese(sample: bytes, lines: list[bytes]) -> bool:
    """Whether a text is in Windows' Japanese code page, by its kana or by its header."""
    if not all(_decodes(line, "cp932") for line in lines):
        return False
    high = [byte for line in lines for byte in line if byte > 0x7F]
    if sum(0x81 <= byte <= 0x83 for byte in high) * 10 >= len(high):
        return True
    header = re.split(rb"[\r\n]", sample, maxsplit=1)[0].decode("cp932", "replace")
    return any(not name.isascii() and is_image_name(name) for name in re.split(r'[,;\t|"]', header))


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def lines_of(
    text: Text, offset: int = 0, number: int = 1, end: int | None = None
) -> Iterator[Line]:
    """The lines from the stream's position on.

    Args:
        text: Its stream is at ``offset``.
        offset: Of the first line.
        number: Of the first line.
        end: Offset behind the last line; None for the text's end.
    """
    stream, encodings = text.stream, text.encodings
    while end is None or offset < end:
        raw = stream.readline(MAX_LINE_BYTES)
        if not raw:
            return
        begin, error = offset, None
        if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
            error = f"the line is longer than {MAX_LINE_BYTES} bytes"
            while raw and not raw.endswith(b"\n"):
                offset += len(raw)
                raw = stream.readline(MAX_LINE_BYTES)
        offset += len(raw)
        if begin == 0 and raw.startswith(_BOM):
            raw = raw[3:]
        line = ""
        for encoding in encodings:
            try:
                line = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                pass
        else:
            shown = "UTF-8" if encodings[0] == "utf-8" else f"text in {encodings[0]}"
            error = error or f"the line is not {shown}; save the manifest as UTF-8"
        if error is None and "\0" in line:
            error = "the line holds a NUL byte"
        ended = raw.endswith(b"\n")
        yield Line(number, offset, "" if error else line.rstrip("\r\n"), error, ended)
        number += 1
