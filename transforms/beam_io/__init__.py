"""Beam's own IO (``ReadFromText``, ``WriteToParquet`` …) on every fsspec store.

>>> from alphabeam.transforms.beam_io import beam_path, register
>>> register("s3", options={"s3": {"endpoint_url": "https://minio.example"}})
>>> str(beam_path("fsspec+s3://bucket/in/*.parquet"))
'fsspec+s3://bucket/in/*.parquet'

Not for images: shards are no way to write ten million named objects. Use
``alphabeam.transforms.storage``.
"""

from __future__ import annotations

from alphabeam.transforms.beam_io.filesystem import FsspecOptions, FsspecPath, beam_path, register

__all__ = ["FsspecOptions", "FsspecPath", "beam_path", "register"]
