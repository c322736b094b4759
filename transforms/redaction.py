"""URLs as they may be shown: without passwords, signatures and tokens, in one short line."""

from __future__ import annotations

import re

__all__ = ["redact"]

_LONGEST = 300  # characters of one URL in a message; a presigned one may have thousands

# ``user:password@``; over HTTP a user alone may be a token.
_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")
_HTTP_USER = re.compile(r"(https?://)[^/@:\s]+@")
_QUERY = re.compile(r"(https?://[^\s?]*\?)[^\s]*")
# The same parameters where a URL of another kind, or a part of one, has them.
_SIGNATURE = re.compile(
    r"\b(X-Amz-[\w-]+|X-Goog-[\w-]+|AWSAccessKeyId|GoogleAccessId|Key-Pair-Id|Signature|Policy|sig)"
    r"=[^&\s'\"]+",
    re.IGNORECASE,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*://\S+")


def redact(text: str) -> str:
    """A URL, or a line of text with URLs in it, as it may be shown.

    >>> redact("https://me:secret@shop.example/a.jpg?X-Amz-Signature=abc")
    'https://***@shop.example/a.jpg?***'

    No value of an HTTP query is shown, since a presigned URL carries its signature there.
    """
    text = _PASSWORD.sub(r"\1:***@", text)
    text = _HTTP_USER.sub(r"\1***@", text)
    text = re.sub(r"(https?://)[^/@:\s]*:\*\*\*@", r"\1***@", text)
    text = _QUERY.sub(r"\1***", text)
    text = _SIGNATURE.sub(r"\1=***", text)
    text = _URL.sub(lambda found: _shortened(found.group()), text)
    return text if text.isprintable() else repr(text)[1:-1]


def _shortened(url: str) -> str:
    if len(url) <= _LONGEST:
        return url
    return f"{url[: _LONGEST * 2 // 3]}…{url[-_LONGEST // 3 :]}"
