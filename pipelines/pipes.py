"""A reader that leaves early, as in ``run.py job.yaml | head``, is no reason for a job to end."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO, cast

__all__ = ["outlive_readers"]


class _Patient:
    """A text stream that drops what nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self) -> None:
        """Lets the rest, what is buffered and what libraries write too, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        with contextlib.suppress(OSError):
            self._stream.flush()


def outlive_readers() -> None:
    """Makes this process's stdout and stderr such streams."""
    sys.stdout = cast(TextIO, _Patient(sys.stdout))
    sys.stderr = cast(TextIO, _Patient(sys.stderr))
