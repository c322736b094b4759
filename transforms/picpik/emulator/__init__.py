"""An emulator of the PICPIK API, for tests and for users without keys.

    with running_emulator(faults={"http_500": 0.2}, task_seconds=0.1) as emulator:
        client = PicpikClient(emulator.endpoint, emulator.public_key, emulator.private_key)
        ...
        assert emulator.submissions[sha256_of_the_image] == 1

It checks signatures and parameters, queues tasks, answers them, bills them, and injects the faults
that it is given. What the vendor documents is emulated to the letter; what the vendor leaves open
(every non-zero RetCode, the limits, whether an unknown parameter is refused) is invented here.
"""

from __future__ import annotations

try:
    import aiohttp  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError("the emulator needs aiohttp: pip install 'alphabeam[http]'") from None

from alphabeam.transforms.picpik.emulator.answers import (
    Answerer,
    core_answer,
    cut_by_colour,
    encode_png,
)
from alphabeam.transforms.picpik.emulator.emulator import Emulator
from alphabeam.transforms.picpik.emulator.faults import FAULTS, Faults
from alphabeam.transforms.picpik.emulator.server import running_emulator

__all__ = [
    "FAULTS",
    "Answerer",
    "Emulator",
    "Faults",
    "core_answer",
    "cut_by_colour",
    "encode_png",
    "running_emulator",
]
