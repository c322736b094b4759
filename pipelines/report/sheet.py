"""Contact sheets: the results of a run on paper, the worst first."""

from __future__ import annotations

import functools
import io
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from alphabeam.pipelines.report.listing import read_listing
from alphabeam.pipelines.report.site import finished_run
from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE
from alphabeam.transforms.thumbnails import (
    Thumbnail,
    decode_shard,
    key_of,
    preview_of,
    read_index,
    thumbnail_of,
)

__all__ = ["Sheets", "write_sheets"]

_PAGE = (1754, 1240)  # A4 across, at 150 pixels an inch
_DPI = 150
_MARGIN, _TOP, _GAP, _CAPTION = 48, 92, 18, 46
_COLUMNS, _ROWS = 4, 4
_LINE_HEIGHT = 20
_INK, _QUIET, _LINE = (28, 28, 27), (92, 92, 89), (205, 205, 203)


@dataclass(frozen=True)
class Sheets:
    """What is put on the sheets.

    Attributes:
        most: Results, the first of the order.
        order: ``worst``, as in the report, or ``line`` for the manifest's order.
        flags: Only results with one of these; with none, all.
        background: Behind the cutouts, red, green and blue.
    """

    most: int = 240
    order: str = "worst"
    flags: tuple[str, ...] = ()
    background: tuple[int, int, int] = (255, 255, 255)


def write_sheets(output: Output, place: str = "", wanted: Sheets | None = None) -> list[str]:
    """Writes contact sheets of an output's last run.

    Args:
        output: The output.
        place: A folder for ``sheet-001.png`` and so on, or the name of one PDF, in any store; by
            default ``report/sheets/`` in the output.
        wanted: What is put on them.

    Returns:
        What was written.

    Raises:
        ReportError: No run is whole there.
        RowError: The store refuses something.
    """
    wanted = wanted or Sheets()
    summary = finished_run(output)
    records = _records(output, summary["run_id"], wanted)
    thumbnail = _thumbnails(output, records)
    size = _COLUMNS * _ROWS
    count = max(1, -(-len(records) // size))
    pages = (
        _page(records[n * size : (n + 1) * size], thumbnail, summary, wanted, n + 1, count)
        for n in range(count)
    )
    if place.lower().endswith(".pdf"):
        storage.put(place, _pdf(pages), options=output.storage)
        return [place]
    folder = place or output.report("sheets")
    written = []
    for number, page in enumerate(pages, 1):
        data = io.BytesIO()
        page.save(data, "PNG", dpi=(_DPI, _DPI))
        written.append(storage.join(folder, f"sheet-{number:03d}.png"))
        storage.put(written[-1], data.getvalue(), options=output.storage)
    return written


def _records(output: Output, run_id: str, wanted: Sheets) -> list[dict[str, Any]]:
    names = ["id", "line", "status", "confidence", "flags", "fingerprint", "cutout"]
    names += ["error_code", "error_message"]
    rows = read_listing(output, run_id).rows.select(names)
    records: list[dict[str, Any]] = rows.to_pylist()
    if wanted.flags:
        there = {flag for one in records for flag in one["flags"] or ()}
        if not there & {*wanted.flags}:
            flags = ", ".join(sorted(there)) or "none"
            raise ValueError(
                f"no result has the flag {' or '.join(wanted.flags)}; the flags that occur: {flags}"
            )
        records = [one for one in records if {*wanted.flags} & {*(one["flags"] or ())}]
    if wanted.order == "line":
        records.sort(key=lambda one: one["line"])
    return records[: wanted.most]


def _thumbnails(
    output: Output, records: list[dict[str, Any]]
) -> Callable[[dict[str, Any]], Thumbnail | None]:
    """What gives the thumbnail of a record: from its shard, or made of its cutout."""
    index = read_index(output)
    prints = [one["fingerprint"] for one in records]
    found = index.find(np.array([key_of(text) if text else 0 for text in prints], np.uint64))
    places = dict(zip(prints, found.tolist(), strict=True))

    @functools.lru_cache(maxsize=64)  # 30 MB; the doubtful ones are together
    def shard(name: str) -> list[Thumbnail]:
        return decode_shard(output.read(output.thumbnails(name)))

    def thumbnail(record: dict[str, Any]) -> Thumbnail | None:
        at = places[record["fingerprint"]]
        try:
            if at >= 0 and record["status"] == DONE:
                return shard(index.names[index.shards[at]])[index.places[at]]
            return _of_cutout(output, record["cutout"])
        except (RowError, ValueError, IndexError, OSError):
            return None

    return thumbnail


def _of_cutout(output: Output, name: str | None) -> Thumbnail | None:
    if name is None:
        return None
    image = Image.open(io.BytesIO(output.read(output.uri(name)))).convert("RGBA")
    rgba = np.asarray(image, np.uint8)
    return thumbnail_of(preview_of(rgba), rgba[..., 3], rgba)


def _page(
    records: list[dict[str, Any]],
    thumbnail: Callable[[dict[str, Any]], Thumbnail | None],
    summary: dict[str, Any],
    wanted: Sheets,
    number: int,
    count: int,
) -> Image.Image:
    page = Image.new("RGB", _PAGE, "white")
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(26), ImageFont.load_default(15)
    draw.text((_MARGIN, 30), _cut(str(summary.get("job") or "alphabeam"), large, 900), _INK, large)
    order = "worst first" if wanted.order == "worst" else "in the manifest's order"
    told = f"run {summary['run_id']}   {order}   page {number} of {count}"
    draw.text((_PAGE[0] - _MARGIN, 38), told, _QUIET, small, anchor="ra")
    width = (_PAGE[0] - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) // _COLUMNS
    height = (_PAGE[1] - _TOP - _MARGIN // 2) // _ROWS
    for at, record in enumerate(records):
        left = _MARGIN + (at % _COLUMNS) * (width + _GAP)
        top = _TOP + (at // _COLUMNS) * height
        box = (left, top, width, height - _CAPTION - _GAP)
        if record["error_message"]:
            _told(draw, box, record["error_message"], small)
        else:
            _cell(page, draw, box, thumbnail(record), wanted)
        _caption(draw, (left, top + height - _CAPTION - _GAP + 4), width, record, small)
    return page


def _cell(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    thumbnail: Thumbnail | None,
    wanted: Sheets,
) -> None:
    left, top, width, height = box
    half = width // 2
    draw.rectangle((left + half, top, left + width - 1, top + height - 1), wanted.background)
    if thumbnail is not None:
        both = Image.open(io.BytesIO(thumbnail.colours)).convert("RGB")
        alpha = Image.open(io.BytesIO(thumbnail.alpha)).convert("RGBA").getchannel("A")
        scale = min((half - 2) / alpha.width, (height - 2) / alpha.height, 1.25)
        size = (max(1, int(alpha.width * scale)), max(1, int(alpha.height * scale)))
        x, y = (half - size[0]) // 2, (height - size[1]) // 2
        source = both.crop((0, 0, alpha.width, alpha.height)).resize(size)
        result = both.crop((alpha.width, 0, 2 * alpha.width, alpha.height)).resize(size)
        page.paste(source, (left + x, top + y))
        page.paste(result, (left + half + x, top + y), alpha.resize(size))
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=_LINE)
    draw.line((left + half, top, left + half, top + height - 1), _LINE)


def _told(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], message: str, font: Any
) -> None:
    """Why a row failed, in place of its picture."""
    left, top, width, height = box
    draw.rectangle((left, top, left + width - 1, top + height - 1), outline=_LINE)
    most = (height - 16) // _LINE_HEIGHT
    # A name without spaces is broken where the line ends.
    letters = max(int((width - 16) / font.getlength("n")), 8)
    lines = textwrap.wrap(message, letters, max_lines=most, placeholder="...")
    for number, line in enumerate(lines):
        draw.text((left + 8, top + 8 + number * _LINE_HEIGHT), line, _INK, font)


def _caption(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    record: dict[str, Any],
    font: Any,
) -> None:
    x, y = place
    confidence = record["confidence"]
    said = "" if confidence is None else f"{confidence:.3f}".removeprefix("0")
    draw.text((x + width, y), said, _QUIET, font, anchor="ra")
    draw.text((x, y), _cut(record["id"], font, width - 60), _INK, font)
    words = [record["error_code"]] if record["error_code"] else record["flags"] or []
    told = ", ".join(words).replace("_", " ")
    draw.text((x, y + 20), _cut(told, font, width), _QUIET, font)


def _cut(text: str, font: Any, width: int) -> str:
    """A text of one line that is no wider than so many pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _pdf(pages: Iterator[Image.Image]) -> bytes:
    """The pages as one PDF; one of them is in memory at a time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheets.pdf"
        for page in pages:
            page.save(path, "PDF", resolution=_DPI, quality=88, append=path.exists())
        return path.read_bytes()
