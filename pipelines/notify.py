"""Tells a URL that a job has ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import urllib3

__all__ = ["notify"]

_logger = logging.getLogger(__name__)


def notify(url: str, record: Mapping[str, Any], *, seconds: float = 10.0, retries: int = 3) -> bool:
    """Posts what is known of a job's end as JSON.

    A receiver that does not take it changes nothing for the job: it is logged, without the URL,
    which may hold a secret.

    Args:
        url: Where to; nothing is done if it is empty.
        record: ``summary.json``, or of a job without one its ``job``, ``status``, ``reason`` and
            ``output``.
        seconds: The most that one try may take.
        retries: Further tries.

    Returns:
        Whether it was taken.
    """
    if not url:
        return False
    again = urllib3.Retry(
        retries,
        allowed_methods=None,
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=0.5,
    )
    try:
        with urllib3.PoolManager() as client:
            answer = client.request(
                "POST",
                str(url),
                body=json.dumps(record, ensure_ascii=False).encode(),
                headers={"Content-Type": "application/json"},
                timeout=seconds,
                retries=again,
            )
    except Exception as error:
        _logger.warning("the notification could not be sent: %s", type(error).__name__)
        return False
    if answer.status >= 300:
        _logger.warning("the notification was refused with status %d", answer.status)
        return False
    return True
