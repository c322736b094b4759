"""``ReadManifest``: rows from a CSV, TSV, JSONL, Parquet, list or glob, on any fsspec store.

A manifest is read twice, both times as a stream. The first pass, `survey`, counts the rows, marks
where shards begin, and finds ids that occur more than once; it keeps 24 bytes a row, on disk where
there are many. On other machines each file is surveyed by itself (`spread`). The second pass,
`read_shard`, makes the rows, on as many workers as there are shards. So a manifest of ten million
rows is never held in memory whole, and an id that collides is known before anything is written.

When not to use it: rows that another pipeline already has need no manifest; make `Row` values
with `row_from_record` and go on from there.
"""

from __future__ import annotations

from alphabeam.transforms.manifest.names import file_name
from alphabeam.transforms.manifest.parts import parts_of
from alphabeam.transforms.manifest.rows import row_from_record
from alphabeam.transforms.manifest.shards import Survey, read_shard, survey
from alphabeam.transforms.manifest.source import Manifest, ManifestError, ManifestFormat, Shard
from alphabeam.transforms.manifest.transform import ReadManifest

__all__ = [
    "Manifest",
    "ManifestError",
    "ManifestFormat",
    "ReadManifest",
    "Shard",
    "Survey",
    "file_name",
    "parts_of",
    "read_shard",
    "row_from_record",
    "survey",
]
