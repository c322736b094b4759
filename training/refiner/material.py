"""What the refiner's scenes are made of."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import overload

import numpy as np

from alphabeam.transforms.matting.network import Network, load_model

from ..bank import load_cutout, load_render
from ..pieces import Cutout, Picture
from ..sources import Sources, read_picture

__all__ = ["Material", "networks"]

_INPUT_SIZES = (160, 192, 224, 288)  # its pixels are then 1.5 to 3 of the scene's, as in a job

_Array = np.ndarray


class _Files(Sequence[_Array]):
    """Pictures that are read when they are asked for."""

    def __init__(self, paths: list[pathlib.Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> _Array: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[_Array]: ...

    def __getitem__(self, index: int | slice) -> _Array | Sequence[_Array]:
        if isinstance(index, slice):
            return _Files(self._paths[index])
        return read_picture(self._paths[index])


@dataclasses.dataclass(frozen=True)
class Material:
    """What scenes are made of; each pool but the cut-outs must hold something.

    Attributes:
        cutouts: Subjects with alpha of their own.
        photos: Product photos, uint8 BGR; only their colours are used.
        scenes: Cluttered photos, uint8 BGR, likewise.
        textures: Surfaces, uint8 BGR, likewise.
        renders: Whole pictures with exact alpha.
        networks: Those that draw trimaps as in a job, each at another size of its input.
    """

    cutouts: Sequence[Cutout]
    photos: Sequence[_Array]
    scenes: Sequence[_Array]
    textures: Sequence[_Array]
    renders: Sequence[Picture] = ()
    networks: Sequence[Network] = ()

    @classmethod
    def load(cls, sources: Sources, renders: Sequence[pathlib.Path] = ()) -> Material:
        """The material of one side of the split, of its sources and its renders."""
        pictures = [load_render(path) for path in renders]
        cutouts = [load_cutout(path) for path in sources.cutouts]
        cutouts += [Cutout.make(p.bgr, p.alpha.astype(np.float32) / 255) for p in pictures]
        return cls(
            [cutout for cutout in cutouts if cutout is not None],
            _Files(sources.photos),
            _Files(sources.scenes),
            _Files(sources.textures),
            pictures,
            networks(),
        )


def networks() -> list[Network]:
    """The embedded model at other sizes of its input."""
    model = load_model("catalogue")
    return [
        Network(model.path, dataclasses.replace(model.preprocessing, input_size=size))
        for size in _INPUT_SIZES
    ]
