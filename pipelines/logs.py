"""What a run says while it goes on: plain lines, or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Literal

from tqdm import tqdm

from alphabeam.transforms.redaction import redact

__all__ = ["LogFormat", "configure"]

LogFormat = Literal["text", "json"]

# Of ours and of everybody else's, by the number of -v.
_LEVELS = (
    (logging.WARNING, logging.CRITICAL),
    (logging.INFO, logging.ERROR),
    (logging.DEBUG, logging.DEBUG),
)


def configure(verbosity: int = 0, format: LogFormat = "text") -> None:
    """Sends the log to stderr, beside the progress bar.

    Args:
        verbosity: 0 shows our warnings, 1 all that an operator may want to know, 2 our debugging
            and Beam's log.
        format: ``text``, or ``json`` for one object a line.
    """
    ours, others = _LEVELS[min(verbosity, len(_LEVELS) - 1)]
    handler = _BesideTheBar()
    handler.setFormatter(_Json() if format == "json" else _Text())
    root = logging.getLogger()
    for one in [*root.handlers]:
        if isinstance(one, _BesideTheBar):
            root.removeHandler(one)
    root.addHandler(handler)
    root.setLevel(others)
    logging.getLogger("alphabeam").setLevel(ours)


class _BesideTheBar(logging.Handler):
    """Writes a line without tearing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


def _shown(text: str) -> str:
    """A message without secrets; a library below us may log a presigned URL, or raise with it."""
    return "\n".join(map(redact, text.split("\n")))


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return _shown(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": _shown(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = _shown(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)
