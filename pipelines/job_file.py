"""Reads a job file: YAML with line numbers, ``--set``, ``${env:NAME}``, errors that help.

Every complaint reads ``file:line:column: field: what is wrong``, and names the key that was
probably meant.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from alphabeam.pipelines.engines import ENGINES
from alphabeam.pipelines.job import (
    CascadeBackend,
    InlineSecretError,
    Job,
    LocalBackend,
    PicpikBackend,
    SettingError,
)
from alphabeam.pipelines.job_yaml import (
    JobFileError,
    Location,
    Positions,
    dotted,
    load_yaml,
    parse_yaml,
    said_of,
)
from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.secret_refs import ReferredText, SecretError, resolve

__all__ = ["JobFileError", "load_job", "parse_job"]

# Sections of several kinds: pydantic puts the kind behind the section's name.
_KINDS: dict[str, dict[str, Any]] = {
    "backend": {"local": LocalBackend, "picpik": PicpikBackend, "cascade": CascadeBackend},
    "engine": dict(ENGINES),
}
_SECRETS = tuple(
    (*place, key)
    for place in (("backend",), ("backend", "picpik"))
    for key in ("public_key", "private_key")
)


def load_job(path: str, settings: Sequence[str] = ()) -> Job:
    """Reads and validates a job file.

    Args:
        path: Path or fsspec URL of the YAML file.
        settings: ``key.path=value`` texts that override it; values are YAML.

    Returns:
        The job, its paths resolved against the file's folder.

    Raises:
        JobFileError: It cannot be read, or something in it is wrong.
    """
    try:
        text = storage.read(path, max_bytes=1_000_000).decode("utf-8")
    except RowError as error:
        raise JobFileError(f"job file: {error.message}") from None
    except UnicodeDecodeError:
        raise JobFileError(f"{storage.redact(path)}: the job file is not UTF-8 text") from None
    return parse_job(text, path, settings)


def parse_job(text: str, name: str = "job.yaml", settings: Sequence[str] = ()) -> Job:
    """Like `load_job`, from the file's text."""
    shown = storage.redact(name)
    positions = Positions(shown)
    values = parse_yaml(text, shown, positions)
    for setting in settings:
        _apply(setting, values, positions)
    complaints: list[str] = []
    texts: dict[Location, str] = {}
    given: dict[Location, str] = {}
    values = _resolve_environment(values, (), positions, complaints, texts, given)
    try:
        job = _validated(values, texts)
    except ValidationError as error:
        complaints += [_complaint(e, positions) for e in error.errors(include_url=False)]
    if complaints:
        raise JobFileError("\n".join(complaints))
    job = _resolve_paths(job, name, positions, given)
    if mistakes := [
        f"{positions.of(location)}: {dotted(location)}: {message}"
        for location, message in job.engine.mistakes(job)
    ]:
        raise JobFileError("\n".join(mistakes))
    return job


def _apply(setting: str, values: dict[str, Any], positions: Positions) -> None:
    key, equals, text = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise JobFileError(f"--set {key}: write key=value, for example --set matting.erode_size=5")
    try:
        value = text if _is_plain_text(path, text) else load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise JobFileError(f"--set {key}: the value is {said_of(error)}") from None
    place = values
    for depth, part in enumerate(path[:-1], 1):
        if isinstance(place.get(part), list) or _is_list(path[:depth]):
            name = ".".join(path[:depth])
            raise JobFileError(
                f"--set {key}: items of a list cannot be set one by one; give all of {name}, as "
                f"--set '{name}=[…]'"
            )
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    place[path[-1]] = value
    positions.set(tuple(path), f"--set {key}")


def _is_list(path: Sequence[str]) -> bool:
    """Whether a setting is a list."""
    return typing.get_origin(_model_at(tuple(path))) is list


def _is_plain_text(path: Sequence[str], text: str) -> bool:
    """Whether a value needs no quotes, since a text is wanted: a pattern such as ``*.jpg``."""
    model: Any = Job
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return model is str and text.strip()[:1] not in ("", '"', "'")


def _resolve_environment(
    value: Any,
    location: Location,
    positions: Positions,
    complaints: list[str],
    texts: dict[Location, str],
    given: dict[Location, str],
) -> Any:
    if location[:1] == ("storage",) or location in _SECRETS:
        return value  # secrets stay references until a worker needs them
    if isinstance(value, dict):
        return {
            k: _resolve_environment(v, (*location, k), positions, complaints, texts, given)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [
            _resolve_environment(v, (*location, i), positions, complaints, texts, given)
            for i, v in enumerate(value)
        ]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        resolved = resolve(value)
    except SecretError as error:
        complaints.append(f"{positions.of(location)}: {dotted(location)}: {error}")
        return value
    given[location] = value
    if not (value.startswith("${") and value.endswith("}")):
        return resolved
    texts[location] = resolved
    return _number_or_truth(resolved)


def _number_or_truth(text: str) -> Any:
    """What a value that is one reference stands for; what is no number is text."""
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, ValueError):
        return text
    return value if isinstance(value, (bool, int, float)) else text


def _validated(values: dict[str, Any], texts: dict[Location, str]) -> Job:
    """The job; what the environment gave is a text again where a setting wants one."""
    try:
        return Job.model_validate(values)
    except ValidationError as error:
        wrong = [_location(e["loc"]) for e in error.errors() if e["type"] == "string_type"]
        if texts.keys().isdisjoint(wrong):
            raise
        for location in texts.keys() & set(wrong):
            owner: Any = values
            for part in location[:-1]:
                owner = owner[part]
            owner[location[-1]] = texts[location]
        return Job.model_validate(values)


def _location(full: Location) -> Location:
    """Where the file has it: behind a section of several kinds stands the one of the file."""
    return full[:1] + full[2:] if full and full[0] in _KINDS else full


def _complaint(error: Any, positions: Positions) -> str:
    full: Location = error["loc"]
    location = _location(full)
    message: str = error["msg"]
    if error["type"] == "extra_forbidden":
        message = "extra inputs are not permitted"
        known = _keys(full[:-1])
        message += _did_you_mean(location[-1], known) or f" (known here: {', '.join(known)})"
    elif error["type"] == "union_tag_invalid":
        location = (*location, "kind")
        message = _choice(error["ctx"]["tag"], [*_KINDS[str(full[-1])]])
    elif error["type"] == "missing":
        message = "is missing; it has no default"
    else:
        message = message[:1].lower() + message[1:]
        if error["type"] == "value_error":
            cause = error["ctx"]["error"]
            message = str(cause)
            if isinstance(cause, (InlineSecretError, SettingError)):
                location = (*location, *cause.path)
        elif location[:1] == ("storage",):
            pass  # nothing of the text is quoted
        elif location in _SECRETS:
            message = "give a reference such as ${env:PICPIK_PRIVATE_KEY}, never the key itself"
        elif _is_no_such_text(error) and (meaning := _meaning(full)):
            message = f"{error['input']!r} does not fit: {meaning}"
        elif not isinstance(error["input"], (dict, list)):
            message += f", got {error['input']!r}"
            if error["type"] == "literal_error":
                message += _did_you_mean(
                    error["input"], re.findall("'(.*?)'", error["ctx"]["expected"])
                )
    return f"{positions.of(location)}: {dotted(location)}: {message}"


def _choice(given: str, known: Sequence[str]) -> str:
    """What is wrong with a word that is none of those known; as pydantic says it of a choice."""
    *others, last = (repr(word) for word in known)
    said = f"input should be {', '.join(others)} or {last}, got {given!r}"
    return said + _did_you_mean(given, known)


def _did_you_mean(given: object, known: Sequence[str]) -> str:
    """The known word that is nearest to the given one, as a question; empty if none is near."""
    close = difflib.get_close_matches(str(given).lower(), known, 1, 0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _is_no_such_text(error: Any) -> bool:
    """Whether a text does not match its pattern, or a number stands where a text belongs."""
    number = error["type"] == "string_type" and isinstance(error["input"], (int, float))
    return number or error["type"] == "string_pattern_mismatch"


def _meaning(location: Location) -> str:
    """What a setting means, which says it better than its regular expression; or nothing."""
    field = getattr(_model_at(location[:-1]), "model_fields", {}).get(str(location[-1]))
    said = " ".join((field.description or "").split()) if field else ""
    return said[:1].lower() + said[1:].rstrip(".")


def _keys(location: Location) -> list[str]:
    """The settings that a section has."""
    return list(getattr(_model_at(location), "model_fields", ()))


def _model_at(location: Location) -> Any:
    """The type of what stands at a place of the job file; None where nothing is known of it."""
    model: Any = Job
    for part in location:
        if isinstance(model, dict):
            model = model.get(str(part))
        elif model is Job and part in _KINDS:
            model = _KINDS[str(part)]
        elif isinstance(part, int):  # an item of a list
            model = next(iter(typing.get_args(model)), None)
        else:
            field = getattr(model, "model_fields", {}).get(str(part))
            model = field.annotation if field else None
        if model is None or model in (str, int):
            return None
    return model


def _resolve_paths(job: Job, name: str, positions: Positions, given: dict[Location, str]) -> Job:
    folder = storage.parent(name)

    def resolved(uri: str) -> str:
        # Absolute, because fingerprints hold URIs and must not depend on the working directory.
        slash = "/" if uri.endswith("/") else ""  # means a folder
        uri = storage.resolve(folder, uri).rstrip("/")
        if storage.is_local(uri) and "://" not in uri:
            uri = os.path.abspath(os.path.expanduser(uri))
        return uri + slash

    def secretly(location: Location, uri: str) -> str:
        """The URI; of one with a secret in it, the graph holds the reference."""
        if not storage.has_secret(uri):
            return uri
        if location not in given:
            raise JobFileError(
                f"{positions.of(location)}: {dotted(location)}: a URL with a password, a "
                "signature or a token is given by reference, ${env:NAME} or ${file:/path}"
            )
        return ReferredText(given[location])

    manifest = secretly(("input", "manifest"), resolved(job.input.manifest))
    directory = resolved(job.output.directory)
    if storage.has_secret(directory):
        where = positions.of(("output", "directory"))
        raise JobFileError(
            f"{where}: output.directory: give it without a password; that belongs under storage, "
            "as ${env:NAME} or ${file:/path}"
        )
    # a folder; whatever has no slash is a protocol's name, or wrong
    allow = [
        resolved(entry) if "://" not in entry and ("/" in entry or entry in (".", "..")) else entry
        for entry in job.input.allow
    ]
    try:
        storage.AllowList.of(manifest, allow)
    except RowError as error:
        where = positions.of(("input", "allow"))
        raise JobFileError(f"{where}: input.allow: {error.message}") from None
    renditions = []
    for number, one in enumerate(job.output.renditions):
        background = one.rendition().parsed_background
        if background.kind == "image" and "background" in one.model_fields_set:
            uri = resolved(background.uri)
            if storage.has_secret(uri):
                where = positions.of(("output", "renditions", number, "background"))
                raise JobFileError(
                    f"{where}: output.renditions.{number}.background: give it without a password "
                    "or a signature; these belong under storage"
                )
            one = one.model_copy(update={"background": uri})
        renditions.append(one)
    local = job.local_backend
    if local is not None and ("/" in local.model or ".onnx" in local.model):
        model = secretly((*job.place_of("local"), "model"), resolved(local.model))
        job = job.with_local_backend(local.model_copy(update={"model": model}))
    notify = job.notify
    if ("notify",) in given:  # all of it may be a secret without looking like one
        notify = ReferredText(given["notify",])
    elif notify:
        notify = secretly(("notify",), notify)
    return job.model_copy(
        update={
            "notify": notify,
            "name": job.name or os.path.splitext(os.path.basename(storage.public(name)))[0],
            "input": job.input.model_copy(update={"manifest": manifest, "allow": allow}),
            "output": job.output.model_copy(
                update={"directory": directory, "renditions": renditions}
            ),
        }
    )
