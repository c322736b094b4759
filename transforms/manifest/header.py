"""What a manifest's columns are taken for, as its first file has them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.manifest.columns import Columns, columns_of
from alphabeam.transforms.manifest.parts import parts_of
from alphabeam.transforms.manifest.records import header_in
from alphabeam.transforms.manifest.source import Manifest, ManifestError
from alphabeam.transforms.manifest.text import open_text

__all__ = ["columns_in"]


def columns_in(manifest: Manifest) -> Columns | None:
    """Our names of a manifest's columns, by their own names in its first file.

    Args:
        manifest: The manifest.

    Returns:
        None where there are no columns: of a list, a folder or a pattern of images.

    Raises:
        ManifestError: No column holds the images, or several may.
        RowError: The store refuses the file.
    """
    if manifest.kind == "glob":
        return None
    part = parts_of(manifest)[0]
    if manifest.kind == "parquet":
        with storage.open_input(part.uri, options=part.storage_options) as stream:
            try:
                names = pq.ParquetFile(stream).schema_arrow.names
            except pa.ArrowException as error:
                reason = str(error).splitlines()[0]
                raise ManifestError(f"{part.shown}: not a Parquet file: {reason}") from None
        return columns_of(names, part.shown, part.columns)
    text = open_text(part)
    try:
        header, lines = header_in(part, text, 1)
        if header is not None:
            return header.columns
        if manifest.kind == "jsonl":
            first = next((line.text for line in lines if line.text.strip()), "{}")
            return columns_of(json.loads(first), part.shown, part.columns)
    except (ManifestError, ValueError, RecursionError):
        if manifest.kind != "jsonl":  # of which each line has its own
            raise
    finally:
        text.stream.close()
    return None
