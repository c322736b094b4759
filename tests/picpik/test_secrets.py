"""The keys stand nowhere: not in reprs, logs at DEBUG, errors or tracebacks."""

from __future__ import annotations

import io
import json
import logging
import traceback
from typing import Any

import pytest

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.picpik.emulator import running_emulator
from tests.picpik.conftest import PRIVATE, PUBLIC, answering, client_of, http, ok, server, submit


def scan(*texts: object) -> None:
    for text in texts:
        assert PRIVATE not in str(text)
        assert PUBLIC not in str(text)


def test_the_client_shows_no_key() -> None:
    client = client_of("https://api.picpik.ai")
    scan(repr(client), str(client), vars(client), f"{client!a}")
    scan(*(repr(value) for value in vars(client).values()))
    scan(*(repr(getattr(client, name)) for name in dir(client) if name != "__globals__"))


@pytest.mark.parametrize("kind", ["message", "details", "html"])
def test_a_vendor_that_quotes_the_keys_is_cleaned(kind: str) -> None:
    text = f"the key {PRIVATE} of {PUBLIC}\nis bad\x1b[31m\u2028!"

    def make(request: dict[str, Any], number: int) -> bytes:
        if kind == "message":
            return ok(request, RetCode=171, Message=text)
        if kind == "html":
            return http(text.encode(), "403 Forbidden")
        detail = {"TaskUID": "t", "Status": "Error", "ErrorCode": 1, "ErrorMassage": text}
        return ok(request, TaskDetailList=[detail])

    with server(answering(make)) as (endpoint, _):
        client = client_of(endpoint)
        with pytest.raises(RowError) as caught:
            client.tasks(["t"])[0].result_url()
        scan(caught.value, caught.value.message, repr(caught.value))
        assert all(c.isprintable() for c in caught.value.message)
        if kind != "html":
            assert "the key *** of *** is bad" in caught.value.message


@pytest.mark.slow
def test_logs_at_debug_and_tracebacks_hold_no_key(png: bytes) -> None:
    """Every logger at DEBUG, urllib3's too, over successes and each kind of failure."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    try:
        for faults in (
            {},
            {"http_500": 1.0},
            {"reset": 1.0},
            {"truncated_json": 1.0},
            {"answer_late": 1.0},
            {"wrong_uuid": 1.0},
        ):
            with running_emulator(
                public_key=PUBLIC, private_key=PRIVATE, faults=faults, late_seconds=0.3
            ) as emulator:
                for endpoint in (emulator.endpoint, "http://127.0.0.1:9"):
                    client = client_of(endpoint, read_timeout=0.1, sleep=lambda seconds: None)
                    for call in (
                        client.check_keys,
                        lambda client=client: submit(client, png),
                        lambda client=client: client.tasks(["nobody"]),
                        lambda client=client: client.download(f"{client.endpoint}/x"),
                    ):
                        try:
                            call()
                        except RowError as error:
                            logging.exception("failed: %r", error)
                            scan(*traceback.format_exception(error))
    finally:
        logging.getLogger("urllib3").setLevel(logging.NOTSET)
        root.removeHandler(handler)
        root.setLevel(level)
    logged = stream.getvalue()
    assert "urllib3" in logged or "POST" in logged  # it did listen
    assert len(logged) > 2000
    scan(logged)


def test_the_private_key_never_travels(png: bytes) -> None:
    seen: list[dict[str, Any]] = []

    def make(request: dict[str, Any], number: int) -> bytes:
        seen.append(request)
        return ok(request, TaskUID="t")

    with server(answering(make)) as (endpoint, _):
        submit(client_of(endpoint), png)
    assert PRIVATE not in json.dumps(seen)
    assert seen[0]["PublicKey"] == PUBLIC and len(seen[0]["Signature"]) == 40
