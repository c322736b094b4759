"""The local matting core: image in, straight-alpha cutout out.

Needs numpy, OpenCV and onnxruntime, and knows nothing of Beam or manifests::

    from transforms.matting import MattingCore
    from transforms.parameters import MattingParameters
    matte = MattingCore("catalogue").remove(image, MattingParameters())

The steps stand in one module each: :mod:`~transforms.matting.coarse` (the network's alpha),
:mod:`~transforms.matting.trimap`, :mod:`~transforms.matting.alpha` (trimap to alpha),
:mod:`~transforms.matting.foreground` (alpha to colours); :mod:`~transforms.matting.core`
composes them. Not for video, and not for semi-transparent subjects such as smoke.
"""

from __future__ import annotations

from transforms.matting.core import FLAGS, BoxOutsideError, Matte, MattingCore
from transforms.matting.models import REGISTRY, ModelError, RegisteredModel
from transforms.matting.network import Network, load_model
from transforms.matting.preprocessing import Preprocessing

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
