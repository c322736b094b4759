"""The local matting core: image in, straight-alpha cutout out.

Needs numpy, OpenCV and onnxruntime, and knows nothing of Beam or manifests::

    from alphabeam.transforms.matting import MattingCore
    from alphabeam.transforms.parameters import MattingParameters
    matte = MattingCore("catalogue").remove(image, MattingParameters())

Each step is one module: `coarse` (the network's alpha), `trimap`, `alpha` (trimap to alpha) and
`foreground` (alpha to colours); `core` composes them. Not for video, nor for
semi-transparent subjects such as smoke.
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
