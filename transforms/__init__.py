"""alphabeam's Beam transforms: everything that another pipeline may import.

    import apache_beam as beam
    from transforms import ReadImages, ReadManifest, RemoveBackground, WriteCutouts, WriteMetadata

    with beam.Pipeline() as p:
        (p | ReadManifest("s3://shop/manifest.csv") | ReadImages() | RemoveBackground()
           | WriteCutouts("s3://shop/out") | WriteMetadata("s3://shop/out", run_id="monday"))

`transforms.matting` and `transforms.picpik` stand on their own and import no Beam, so the names
below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.cutouts import WriteCutouts
    from transforms.errors import ErrorCode, RowError
    from transforms.images import Limits, ReadImages
    from transforms.ledger import SkipFinished
    from transforms.local_backend import LocalBackend
    from transforms.manifest import Manifest, ManifestError, ReadManifest
    from transforms.metadata import Committed, WriteMetadata
    from transforms.parameters import MattingParameters
    from transforms.picpik_backend import PicpikBackend
    from transforms.records import Picture, Row
    from transforms.remove_background import RemoveBackground

__all__ = [
    "Committed",
    "ErrorCode",
    "Limits",
    "LocalBackend",
    "Manifest",
    "ManifestError",
    "MattingParameters",
    "PicpikBackend",
    "Picture",
    "ReadImages",
    "ReadManifest",
    "RemoveBackground",
    "Row",
    "RowError",
    "SkipFinished",
    "WriteCutouts",
    "WriteMetadata",
]

_MODULES = {
    "cutouts": ("WriteCutouts",),
    "errors": ("ErrorCode", "RowError"),
    "images": ("Limits", "ReadImages"),
    "ledger": ("SkipFinished",),
    "local_backend": ("LocalBackend",),
    "manifest": ("Manifest", "ManifestError", "ReadManifest"),
    "metadata": ("Committed", "WriteMetadata"),
    "parameters": ("MattingParameters",),
    "picpik_backend": ("PicpikBackend",),
    "records": ("Picture", "Row"),
    "remove_background": ("RemoveBackground",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'transforms' has no attribute {name!r}")
    return getattr(importlib.import_module(f"transforms.{_MODULE_OF[name]}"), name)
