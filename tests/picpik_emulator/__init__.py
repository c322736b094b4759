"""An emulator of the PICPIK API, for tests and for users without keys.

    with running_emulator(faults={"http_500": 0.2}, task_seconds=0.1) as emulator:
        client = PicpikClient(emulator.endpoint, emulator.public_key, emulator.private_key)
        ...
        assert emulator.submissions[sha256_of_the_image] == 1

It checks signatures and parameters, queues tasks, answers them, bills them, and misbehaves as it
is told. What the vendor documents is emulated to the letter; what the vendor leaves open (every
non-zero RetCode, the limits, whether an unknown parameter is refused) is invented here.
"""

from __future__ import annotations

from tests.picpik_emulator.answers import core_answer, cut_by_colour, encode_png
from tests.picpik_emulator.emulator import Emulator, running_emulator
from tests.picpik_emulator.faults import FAULTS, Faults

__all__ = [
    "FAULTS",
    "Emulator",
    "Faults",
    "core_answer",
    "cut_by_colour",
    "encode_png",
    "running_emulator",
]
