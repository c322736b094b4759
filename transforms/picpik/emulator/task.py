"""A queued task of the emulated API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Task"]


@dataclass
class Task:
    """One queued task; times are seconds of the emulator's clock.

    Attributes:
        uid: Its TaskUID.
        sha256: Of the uploaded image's bytes, in hex.
        request_uuid: As sent with it.
        params: The matting parameters that were sent.
        image: The uploaded bytes, until its result is made.
        starts: When it leaves the queue.
        ends: When it ends.
        fate: ``task_stuck``, ``task_error``, or empty.
        cost: Credits.
        token: The part of its result's URL that cannot be guessed.
        expired: Its result is gone.
        result: The result's bytes, once made.
        lock: Held while its result is made.
    """

    uid: str
    sha256: str
    request_uuid: str
    params: dict[str, Any]
    image: bytes | None = field(repr=False)
    starts: float
    ends: float
    fate: str
    cost: int
    token: str
    expired: bool = False
    result: bytes | None = field(default=None, repr=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def status(self, now: float) -> str:
        """The vendor's word for its state."""
        if now < self.starts:
            return "Queuing"
        if now < self.ends or self.fate == "task_stuck":
            return "Running"
        return "Error" if self.fate == "task_error" else "Finished"
