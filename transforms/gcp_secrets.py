"""Secrets of Google Cloud's Secret Manager, read by the service account that a worker runs as."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import os
from typing import Any

import urllib3

__all__ = ["GcpSecretError", "read_secret"]

_SERVICE = "https://secretmanager.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_S = 30.0


class GcpSecretError(Exception):
    """A secret cannot be read; the message says why, and nothing of it."""


@functools.lru_cache(maxsize=64)
def read_secret(name: str) -> str:
    """Reads a secret, once a process.

    Args:
        name: ``projects/PROJECT/secrets/NAME/versions/VERSION``.

    Returns:
        Its text, without a last line break.

    Raises:
        GcpSecretError: There are no credentials, the service refuses, or it is no text.
    """
    # The service's own emulators are named so; no credentials go there.
    emulator = os.environ.get("SECRET_MANAGER_EMULATOR_HOST")
    base = f"http://{emulator}" if emulator else _SERVICE
    url = f"{base}/v1/{name}:access"
    http = urllib3.PoolManager() if emulator else _authorized()
    try:
        answer = http.request("GET", url, timeout=_TIMEOUT_S, retries=urllib3.Retry(3))
    except Exception as error:
        raise GcpSecretError(f"Secret Manager does not answer: {type(error).__name__}") from None
    if answer.status != 200:
        hint = {
            403: "the service account needs the role Secret Manager Secret Accessor",
            404: "there is no such secret, or no such version",
        }.get(answer.status, "try again")
        raise GcpSecretError(f"Secret Manager answers {answer.status}; {hint}")
    try:
        data = json.loads(answer.data)["payload"]["data"]
        return base64.b64decode(data, validate=True).decode("utf-8").rstrip("\r\n")
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise GcpSecretError("the secret is not UTF-8 text") from None


def _authorized() -> Any:
    """A client that bears the credentials of this machine."""
    try:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError
        from google.auth.transport.urllib3 import AuthorizedHttp
    except ImportError:
        raise GcpSecretError("google-auth is not installed; pip install 'alphabeam[gcs]'") from None
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError:
        raise GcpSecretError(
            "there are no credentials of Google Cloud here; run gcloud auth "
            "application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    return AuthorizedHttp(credentials)  # type: ignore[no-untyped-call]
