"""Mixes two exported files of one lineage: the mean of their weights (WiSE-FT).

    python -m training.mix OLD.onnx NEW.onnx --share 0.6 --out MIXED.onnx

A network that was trained on from another has learnt something and forgotten something; between
the two there are often weights that do both (Wortsman et al., Robust fine-tuning of zero-shot
models, CVPR 2022). This does not hold for two runs that began from different dice.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
import onnx
from onnx import numpy_helper

from .export import save

__all__ = ["main", "mix"]


def mix(old: onnx.ModelProto, new: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """The model whose weights lie between those of `old` (share 0) and `new` (share 1).

    Raises:
        ValueError: The two are not of one network.
    """
    mixed = onnx.ModelProto()
    mixed.CopyFrom(new)
    ours, theirs = mixed.graph.initializer, old.graph.initializer
    if [tuple(one.dims) for one in ours] != [tuple(one.dims) for one in theirs]:
        raise ValueError("the files hold different networks: mix files that `training` exported")
    for one, other in zip(ours, theirs, strict=True):
        a, b = (numpy_helper.to_array(tensor) for tensor in (other, one))
        if not np.issubdtype(b.dtype, np.floating):
            continue
        value = a.astype(np.float32) * (1 - share) + b.astype(np.float32) * share
        one.CopyFrom(numpy_helper.from_array(value.astype(b.dtype), one.name))
    return mixed


def main() -> None:
    """Writes the mixed file and the JSON beside it."""
    parser = argparse.ArgumentParser(prog="python -m training.mix", description=__doc__)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--share", type=float, required=True, help="of the new file, 0 to 1")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    old, new = (onnx.load(str(path)) for path in (options.old, options.new))
    print(save(mix(old, new, options.share), options.out))


if __name__ == "__main__":
    main()
