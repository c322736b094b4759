"""The local matting core: image in, straight-alpha cutout out.

Needs numpy, OpenCV and onnxruntime, and knows nothing of Beam or manifests::

    from alphabeam.transforms.matting import MattingCore
    from alphabeam.transforms.parameters import MattingParameters
    matte = MattingCore("catalogue").remove(image, MattingParameters())

Each stage is a module, and `core` runs them in this order: `network` and `coarse` (the segmentation
network's alpha), `trimap`, `alpha` (the unknown band's alpha), `components` (removes stray ones),
`foreground` (its colours), `quality` (confidence and flags), `shadow`. See docs/matting.md. Not for
video, nor for semi-transparent subjects such as smoke.
"""

from __future__ import annotations

from alphabeam.transforms.matting.core import FLAGS, BoxOutsideError, Matte, MattingCore
from alphabeam.transforms.matting.models import REGISTRY, ModelError, RegisteredModel
from alphabeam.transforms.matting.network import Network, load_model
from alphabeam.transforms.matting.preprocessing import Preprocessing

__all__ = [
    "FLAGS",
    "BoxOutsideError",
    "MattingCore",
    "Matte",
    "ModelError",
    "Network",
    "Preprocessing",
    "REGISTRY",
    "RegisteredModel",
    "load_model",
]
