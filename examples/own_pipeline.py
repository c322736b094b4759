"""A pipeline of one's own: alphabeam's steps with two others between and behind them.

    python examples/own_pipeline.py samples/manifest.csv out/own

Beside cutouts, masks and metadata it writes a small JPEG on white for the web shop, and a list of
the photos that somebody should check.
"""

from __future__ import annotations

import argparse
import io

import apache_beam as beam
import numpy as np
from PIL import Image

from alphabeam import (
    LocalBackend,
    Picture,
    ReadImages,
    ReadManifest,
    RemoveBackground,
    Row,
    WriteCutouts,
    WriteMetadata,
)
from alphabeam.transforms import storage


def write_preview(picture: Picture, directory: str, size: int) -> Picture:
    """Writes the cutout on white, at most ``size`` pixels wide and high; hands the picture on."""
    if picture.rgba is not None:  # None where the row has failed, or wants only its mask
        alpha = picture.rgba[..., 3:] / 255.0
        on_white = picture.rgba[..., :3] * alpha + 255.0 * (1 - alpha)
        preview = Image.fromarray(on_white.round().astype(np.uint8))
        preview.thumbnail((size, size))
        encoded = io.BytesIO()
        preview.save(encoded, "JPEG", quality=90)
        storage.put(storage.join(directory, f"previews/{picture.row.id}.jpg"), encoded.getvalue())
    return picture


def needs_a_look(row: Row) -> bool:
    """Whether a row has failed, or its result is in doubt."""
    return row.status == "failed" or (row.confidence or 0) < 0.8


def review_line(row: Row) -> str:
    """One line of the list for the reviewer."""
    return f"{row.id}\t{row.error_message or f'confidence {row.confidence:.2f}'}"


def build(root: beam.Pipeline, manifest: str, directory: str, backend: LocalBackend) -> None:
    """Builds the graph."""
    rows = (
        root
        | ReadManifest(manifest, redistribute=False)
        | ReadImages()
        | RemoveBackground(backend)
        | "WritePreviews" >> beam.Map(write_preview, directory, 600).with_output_types(Picture)
        | WriteCutouts(directory)
    )
    rows | WriteMetadata(directory, run_id="own")
    (
        rows
        | "NeedsALook" >> beam.Filter(needs_a_look)
        | "ReviewLine" >> beam.Map(review_line)
        | "WriteReview"
        >> beam.io.WriteToText(storage.join(directory, "review"), file_name_suffix=".tsv")
    )


def main() -> None:
    """Reads the command line and runs the pipeline on this machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", help="a path or any fsspec URL")
    parser.add_argument("directory", help="where to write")
    parser.add_argument("--model", default="catalogue", help="a model's name, path or URL")
    options = parser.parse_args()
    with beam.Pipeline(runner="FnApiRunner") as root:
        build(root, options.manifest, options.directory, LocalBackend(options.model))


if __name__ == "__main__":
    main()
