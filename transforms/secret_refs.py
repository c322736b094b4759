"""References to secrets: what stands in the graph instead of a key, resolved on the worker.

``${env:NAME}`` reads an environment variable, ``${env:NAME:-default}`` one with a default,
``${file:/path}`` a file without its last line break, and
``${gcp-secret:projects/PROJECT/secrets/NAME/versions/VERSION}`` a secret of Google Cloud's Secret
Manager. A reference may be part of a longer text.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "ReferredText",
    "SecretError",
    "inline_secrets",
    "is_secret_name",
    "references",
    "resolve",
]

_MOST_BYTES = 1 << 20  # of a file; the largest secrets are certificates and their chains

_SECRET_NAME = r"projects/[^/}]+/secrets/[^/}]+/versions/[^/}]+"
_REFERENCE = re.compile(
    rf"\$\{{(env|file|gcp-secret(?=:{_SECRET_NAME}\}})):([^}}:]+?)(?::-([^}}]*))?\}}"
)
# What was surely meant for a reference, such as ${NAME}: it must not be used as the secret itself.
_MISTAKE = re.compile(
    rf"\$\{{(?!(?:env|file):[^}}:]+?(?::-[^}}]*)?\}})(?!gcp-secret:{_SECRET_NAME}\}})"
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# A name that has one of these, its words run together, is a secret's ...
_SECRET_PARTS = (
    "secret", "passw", "passphrase", "token", "credential", "cookie", "signature", "authoriz",
    "authentic", "accesskey", "apikey", "privatekey", "accountkey", "connectionstring", "bearer",
)  # fmt: skip
# ... or one that ends in one of these words;
_SECRET_WORDS = frozenset(
    {"key", "auth", "sas", "sig", "pass", "pwd", "pat", "pin", "jwt", "hmac", "pkey", "dsn"}
)
# unless it ends in one of these: ``key_filename``, ``host_key_policy``, ``auth_timeout``.
_NO_SECRET_WORDS = frozenset(
    {"file", "filename", "path", "policy", "timeout", "ttl", "url", "uri", "endpoint", "type",
     "algorithm", "method", "mode", "provider", "user", "username"}
)  # fmt: skip
# What a value shows by itself, whatever the setting's name.
_SECRET_VALUE = re.compile(
    r"-----BEGIN|://[^/\s:@]*:[^/\s@]+@|AccountKey=|SharedAccessSignature=|\b(AKIA|ASIA)[0-9A-Z]{16}"
    r"|^(Bearer|Basic)\s+\S|^eyJ[\w-]+\.|[?&;](sig|X-(Amz|Goog)-\w+|token|Signature)=[^&\s]",
    re.IGNORECASE,
)
# What fsspec's libraries take in place of a token: a method's name, a key file's path.
_METHOD = re.compile(
    r"anon|anonymous|google_default|cloud|browser|cache|default|none|[^\n{]*\.json", re.IGNORECASE
)


class SecretError(ValueError):
    """A reference that cannot be resolved; the message names it, never its value."""


def references(value: Any) -> list[str]:
    """All references in a value: a text, or a mapping or list with texts in it."""
    if isinstance(value, str):
        return [match.group(0) for match in _REFERENCE.finditer(value)]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in references(item)]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in references(item)]
    return []


def resolve(value: Any, name: str = "") -> Any:
    """The value with every reference in it replaced by what it refers to.

    Args:
        value: A text, or a mapping or list with texts in it; anything else is returned as it is.
        name: The setting's, such as ``storage.s3``: errors begin with it and what leads below it.

    Returns:
        A new value of the same form.

    Raises:
        SecretError: A variable is not set and has no default, a file cannot be read, is no file or
            over 1 MiB, or a ``${`` begins no reference.
    """
    if isinstance(value, str):
        try:
            return _resolved(value)
        except SecretError as error:
            raise (SecretError(f"{name}: {error}") if name else error) from None
    below = f"{name}." if name else ""
    if isinstance(value, Mapping):
        return {key: resolve(item, below and f"{below}{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, below and f"{below}{n}") for n, item in enumerate(value)]
    return value


def _resolved(text: str) -> str:
    if _MISTAKE.search(text):  # which may be the secret itself, and so is not quoted
        raise SecretError(
            "a '${' begins no reference; write ${env:NAME}, ${env:NAME:-default}, "
            "${file:/path} or ${gcp-secret:projects/…/secrets/…/versions/…}"
        )
    return _REFERENCE.sub(_replacement, text)


class ReferredText(str):
    """A text that holds a secret and was given by reference, such as a presigned URL.

    Pickled, it is the reference, which is resolved again where it is unpickled.

    Args:
        reference: A text with references in it.

    Raises:
        SecretError: As for :func:`resolve`.
    """

    reference: str

    def __new__(cls, reference: str) -> ReferredText:
        """Resolves the reference."""
        self = super().__new__(cls, resolve(reference))
        self.reference = reference
        return self

    def __reduce__(self) -> tuple[type[ReferredText], tuple[str]]:
        return ReferredText, (self.reference,)

    def __repr__(self) -> str:
        return repr(self.reference)


def is_secret_name(name: str, *, certain: bool = False) -> bool:
    """Whether a setting, a header or a parameter of that name holds a secret.

    Args:
        name: In any spelling.
        certain: Leave out names such as ``key``, which may mean something else.

    >>> [name for name in ("X-Api-Key", "key_filename", "aws_secret_access_key") if
    ...  is_secret_name(name)]
    ['X-Api-Key', 'aws_secret_access_key']
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _NO_SECRET_WORDS:
        return False
    joined = "".join(words)
    if any(part in joined for part in _SECRET_PARTS):
        return True
    return not certain and words[-1] in _SECRET_WORDS


def inline_secrets(options: Any) -> list[tuple[str, ...]]:
    """Where a store's options hold a secret itself and not a reference to it.

    Args:
        options: A mapping of settings, nested as deep as they come.

    Returns:
        The names that lead to each; never the value. A reference with a default
        (``${env:NAME:-value}``) holds the secret too.
    """
    return list(_inline(options, (), False))


def _inline(value: Any, path: tuple[str, ...], secret: bool) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key)
            # a token may be a whole service account, which has settings of its own
            within = secret and not (path and path[-1].lower() == "token")
            yield from _inline(item, (*path, name), within or is_secret_name(name))
    elif isinstance(value, (list, tuple)):
        user = bool(path) and path[-1].lower() == "auth" and len(value) > 1  # and its password
        for number, item in enumerate(value):
            yield from _inline(item, (*path, str(number)), secret and not (user and number == 0))
    elif isinstance(value, str):
        if _holds_secret(value, secret, path[-1] if path else ""):
            yield path
    elif secret and value is not None and not isinstance(value, bool):
        yield path  # YAML reads a password of digits as a number


def _holds_secret(text: str, secret: bool, name: str) -> bool:
    if _SECRET_VALUE.search(_REFERENCE.sub("", text)):
        return True
    if not secret or not text:
        return False
    found = list(_REFERENCE.finditer(text))
    values = [match.group(3) for match in found if match.group(3)] if found else [text]
    method = name.lower() in ("token", "credential", "credentials")
    return any(not (method and _METHOD.fullmatch(value)) for value in values)


def _replacement(match: re.Match[str]) -> str:
    kind, name, default = match.groups()
    if kind == "env":
        found = os.environ.get(name, default)
        if found is None:
            raise SecretError(
                f"{match.group(0)}: the environment variable {name} is not set; "
                f"export it, or write ${{env:{name}:-default}}"
            )
        return found
    if kind == "gcp-secret":
        from alphabeam.transforms.gcp_secrets import GcpSecretError, read_secret

        try:
            return read_secret(name)
        except GcpSecretError as error:
            raise SecretError(f"{match.group(0)}: {error}") from None
    try:
        return _text_of(os.path.expanduser(name))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, UnicodeDecodeError):  # which quotes what is in the file
            reason = "it is not UTF-8 text"
        raise SecretError(f"{match.group(0)}: the file cannot be read: {reason}") from None


def _text_of(path: str) -> str:
    """What is in a file of a secret; a device or a pipe might never end, or never begin."""
    waitless = getattr(os, "O_NONBLOCK", 0)  # or opening a pipe would wait for its writer
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waitless)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has over {_MOST_BYTES} bytes, and no secret has")
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return text.rstrip("\n")
