"""alphabeam: background removal for whole product catalogues, on Apache Beam.

    import apache_beam as beam
    from alphabeam import ReadImages, ReadManifest, RemoveBackground, WriteCutouts, WriteMetadata

    with beam.Pipeline() as p:
        (p | ReadManifest("s3://shop/manifest.csv") | ReadImages() | RemoveBackground()
           | WriteCutouts("s3://shop/out") | WriteMetadata("s3://shop/out", run_id="monday"))

These are the public names. `alphabeam.transforms` holds the plugin and `alphabeam.pipelines` the
job on top of it. `alphabeam.transforms.matting` and `alphabeam.transforms.picpik` import no Beam
and work alone, so each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphabeam.transforms.backends.cascade import CascadeBackend
    from alphabeam.transforms.backends.local import LocalBackend
    from alphabeam.transforms.backends.picpik import PicpikBackend
    from alphabeam.transforms.crashes import Marks
    from alphabeam.transforms.cutouts import WriteCutouts
    from alphabeam.transforms.errors import ErrorCode, RowError
    from alphabeam.transforms.images import ReadImages
    from alphabeam.transforms.ledger import Finished, Journal, SkipFinished, SkipSameContent
    from alphabeam.transforms.limits import Limits
    from alphabeam.transforms.manifest import Manifest, ManifestError, ReadManifest
    from alphabeam.transforms.matting import MattingCore
    from alphabeam.transforms.metadata import Committed, WriteMetadata
    from alphabeam.transforms.output import Output
    from alphabeam.transforms.parameters import MattingParameters
    from alphabeam.transforms.remove_background import RemoveBackground
    from alphabeam.transforms.rows import Picture, Row

__all__ = [
    "CascadeBackend",
    "Committed",
    "ErrorCode",
    "Finished",
    "Journal",
    "Limits",
    "LocalBackend",
    "Manifest",
    "ManifestError",
    "Marks",
    "MattingCore",
    "MattingParameters",
    "Output",
    "PicpikBackend",
    "Picture",
    "ReadImages",
    "ReadManifest",
    "RemoveBackground",
    "Row",
    "RowError",
    "SkipFinished",
    "SkipSameContent",
    "WriteCutouts",
    "WriteMetadata",
    "__version__",
]

_MODULES = {
    "cutouts": ("WriteCutouts",),
    "crashes": ("Marks",),
    "errors": ("ErrorCode", "RowError"),
    "images": ("ReadImages",),
    "ledger": ("Finished", "Journal", "SkipFinished", "SkipSameContent"),
    "limits": ("Limits",),
    "backends.cascade": ("CascadeBackend",),
    "backends.local": ("LocalBackend",),
    "manifest": ("Manifest", "ManifestError", "ReadManifest"),
    "matting": ("MattingCore",),
    "metadata": ("Committed", "WriteMetadata"),
    "output": ("Output",),
    "parameters": ("MattingParameters",),
    "backends.picpik": ("PicpikBackend",),
    "rows": ("Picture", "Row"),
    "remove_background": ("RemoveBackground",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("alphabeam")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'alphabeam' has no attribute {name!r}")
    return getattr(importlib.import_module(f"alphabeam.transforms.{_MODULE_OF[name]}"), name)
