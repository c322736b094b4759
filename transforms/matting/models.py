"""Models by name: the embedded ones, and what is known of the public ones.

Nothing is downloaded here; ``alphabeam.transforms.models`` does that.

URLs, MD5 sums and preprocessing are those that the rembg project publishes with its releases;
licences are those of the models' own repositories. rembg publishes a SHA-256 for the newest file
only. Those of the others are what many projects that fetch the same files independently of each
other have found and pinned. A download must have both: the MD5 ties it to what was published, the
SHA-256 makes sure that nobody forged it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from alphabeam.transforms.matting.preprocessing import Preprocessing

__all__ = [
    "EMBEDDED",
    "REGISTRY",
    "ModelError",
    "RegisteredModel",
    "embedded",
    "file_digest",
]

EMBEDDED = Path(__file__).with_name("models")

_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/"
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_U2NET = Preprocessing(320, 32, "stretch", scale="max", output="minmax", **_IMAGENET)
_ISNET = Preprocessing(
    1024, 32, "stretch", _IMAGENET["mean"], (1.0, 1.0, 1.0), scale="max", output="minmax"
)
_BIREFNET = Preprocessing(1024, 32, "stretch", scale="max", output="logit", **_IMAGENET)
_RMBG = Preprocessing(1024, 32, "stretch", scale="max", output="minmax", **_IMAGENET)


class ModelError(ValueError):
    """A model cannot be loaded or used; the message is one line that says how to fix it."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model that is known by name.

    Attributes:
        name: What a job file calls it.
        url: Where it is downloaded from; empty for the embedded one.
        sha256: Of the file, in hex; empty for the embedded one, whose JSON file says it.
        md5: Likewise, as it was published; empty where the SHA-256 was.
        megabytes: Size of the file, rounded.
        licence: The weights' licence, as their authors state it.
        commercial: Whether that licence allows commercial use.
        preprocessing: None for the embedded model, whose JSON file says it.
        about: One line on what it is good for.
    """

    name: str
    url: str
    sha256: str
    md5: str
    megabytes: int
    licence: str
    commercial: bool
    preprocessing: Preprocessing | None
    about: str


def _public(
    name: str,
    file: str,
    sha256: str,
    md5: str,
    megabytes: int,
    licence: str,
    preprocessing: Preprocessing,
    about: str,
    commercial: bool = True,
) -> RegisteredModel:
    return RegisteredModel(
        name, _RELEASE + file, sha256, md5, megabytes, licence, commercial, preprocessing, about
    )


REGISTRY: dict[str, RegisteredModel] = {
    model.name: model
    for model in (
        RegisteredModel(
            "catalogue",
            "",
            "",
            "",
            11,
            "Apache-2.0",
            True,
            None,
            "our own, embedded; catalogue photos",
        ),
        _public(
            "u2net",
            "u2net.onnx",
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            "60024c5c889badc19c04ad937298a77b",
            176,
            "Apache-2.0",
            _U2NET,
            "general salient objects",
        ),
        _public(
            "u2netp",
            "u2netp.onnx",
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            "8e83ca70e441ab06c318d82300c84806",
            5,
            "Apache-2.0",
            _U2NET,
            "the small U2-Net",
        ),
        _public(
            "u2net_human_seg",
            "u2net_human_seg.onnx",
            "01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c",
            "c09ddc2e0104f800e3e1bb4652583d1f",
            176,
            "Apache-2.0",
            _U2NET,
            "people",
        ),
        _public(
            "silueta",
            "silueta.onnx",
            "75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb",
            "55e59e0d8062d2f5d013f4725ee84782",
            44,
            "Apache-2.0",
            _U2NET,
            "U2-Net, cut down to a quarter",
        ),
        _public(
            "isnet-general-use",
            "isnet-general-use.onnx",
            "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
            "fc16ebd8b0c10d971d3513d564d01e29",
            179,
            "Apache-2.0",
            _ISNET,
            "fine structures, 1024 px",
        ),
        _public(
            "birefnet-general",
            "BiRefNet-general-epoch_244.onnx",
            "58f621f00f5d756097615970a88a791584600dcf7c45b18a0a6267535a1ebd3c",
            "7a35a0141cbbc80de11d9c9a28f52697",
            973,
            "MIT",
            _BIREFNET,
            "the most accurate here, and the slowest",
        ),
        _public(
            "birefnet-general-lite",
            "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
            "5600024376f572a557870a5eb0afb1e5961636bef4e1e22132025467d0f03333",
            "4fab47adc4ff364be1713e97b7e66334",
            224,
            "MIT",
            _BIREFNET,
            "BiRefNet with a small backbone",
        ),
        _public(
            "birefnet-portrait",
            "BiRefNet-portrait-epoch_150.onnx",
            "1ba1c8ff5a7bbfadc8d8d13fb11d7be793f91f23d9d466549e37a854f6668f99",
            "c3a64a6abf20250d090cd055f12a3b67",
            973,
            "MIT",
            _BIREFNET,
            "people and hair",
        ),
        _public(
            "bria-rmbg",
            "bria-rmbg-2.0.onnx",
            "5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
            "",
            1024,
            "CC-BY-NC-4.0",
            _RMBG,
            "RMBG 2.0 of BRIA AI; non-commercial use only",
            commercial=False,
        ),
    )
}


def embedded(name: str) -> Path:
    """The file of an embedded model, whole as it was made.

    Args:
        name: ``catalogue``, the segmentation network, or ``refiner``.

    Raises:
        ModelError: The file is missing, or is another one than its JSON file says.
    """
    path = EMBEDDED / f"{name}.onnx"
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found = file_digest(path)
    except (OSError, ValueError):
        raise ModelError(
            f"model {name}: {path} or its JSON file is missing; install alphabeam again"
        ) from None
    if found != f"sha256:{about.get('sha256')}":
        raise ModelError(f"model {name}: {path} is damaged; install alphabeam again")
    return path


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file, as ``algorithm:hex``.

    Raises:
        ModelError: The algorithm is neither md5 nor sha256.
    """
    if algorithm not in ("md5", "sha256"):
        raise ModelError(f"digest {algorithm!r}: only md5 and sha256 are known")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"
