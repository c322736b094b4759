"""Thumbnails of sources and cutouts, for the report.

They are made in the step that writes the cutout, where the pixels are in memory: to decode ten
thousand outputs again would take minutes. They never cross a shuffle. Each process collects them
and puts them to the output in shards, as scripts, which is what a page that is opened from a disk
can load. `Thumbnails` is the way in; `read_index`, `gather` and `tidy` are for the report.
"""

from alphabeam.transforms.thumbnails.index import Index, gather, read_index, tidy
from alphabeam.transforms.thumbnails.pictures import SIDE, Thumbnail, preview_of, thumbnail_of
from alphabeam.transforms.thumbnails.shards import (
    OpenThumbnails,
    Thumbnails,
    decode_shard,
    encode_shard,
    key_of,
)

__all__ = [
    "SIDE",
    "Index",
    "OpenThumbnails",
    "Thumbnail",
    "Thumbnails",
    "decode_shard",
    "encode_shard",
    "gather",
    "key_of",
    "preview_of",
    "read_index",
    "thumbnail_of",
    "tidy",
]
