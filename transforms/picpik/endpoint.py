"""The API's endpoints, and what may stand for one."""

from __future__ import annotations

from urllib.parse import urlsplit

from alphabeam.transforms.picpik.download import is_loopback

__all__ = ["CHINA", "INTERNATIONAL", "split_endpoint"]

INTERNATIONAL = "https://api.picpik.ai"
CHINA = "https://api.picpikai.com"


def split_endpoint(endpoint: str) -> tuple[str, str, int | None, str]:
    """An endpoint's scheme, host, port and path.

    Raises:
        ValueError: It is no plain https URL; plain http is taken for loopback only.
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise ValueError(f"endpoint: {endpoint!r} is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("endpoint: it must hold no user name or password")
    if not parts.hostname or parts.query or parts.fragment or parts.scheme not in ("http", "https"):
        raise ValueError(f"endpoint: {endpoint!r} is not a plain URL like {INTERNATIONAL}")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"endpoint: {endpoint!r} must be https; http is for loopback only")
    return parts.scheme, parts.hostname, port, parts.path or "/"
