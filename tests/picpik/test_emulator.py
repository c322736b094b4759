"""The emulator checks what the real API would, counts rightly, and can be started by hand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from alphabeam.transforms.matting.box import clip_box
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import collect, matte_from_result, prepare_upload, sign
from alphabeam.transforms.picpik.emulator import (
    Emulator,
    Faults,
    core_answer,
    cut_by_colour,
    encode_png,
    running_emulator,
)
from tests.picpik.conftest import client_of, submit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


def call(emulator: Emulator, signature: str | None = None, **fields: Any) -> dict[str, Any]:
    """One call without the client."""
    fields = {"PublicKey": emulator.public_key, **fields}
    fields["Signature"] = signature or sign(fields, emulator.private_key)
    return requests.post(emulator.endpoint, json=fields, timeout=10).json()


def uri(image: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def test_envelopes_are_as_documented(emulator: Emulator, png: bytes) -> None:
    answer = call(emulator, Action="RemoveBackground", RawImage=uri(png), request_uuid="u-1")
    uid = answer.pop("TaskUID")
    assert len(uid) == 20 and uid.isalnum() and uid.islower()
    assert answer == {
        "RetCode": 0,
        "Action": "RemoveBackgroundResponse",
        "Message": "",
        "request_uuid": "u-1",
    }
    (detail,) = call(emulator, Action="ListTasksDetails", TaskUIDList=[uid])["TaskDetailList"]
    assert set(detail) == {
        "TaskUID", "Action", "Status", "ImgList", "Seed", "TxtList", "ConsumeApiPoint",
        "ErrorCode", "ErrorMassage",
    }  # fmt: skip


@pytest.mark.parametrize("signature", ["0" * 40, "x"])
def test_a_wrong_signature_is_refused(emulator: Emulator, signature: str) -> None:
    assert call(emulator, signature, Action="ListRunningTasks")["RetCode"] == 171


def test_the_signature_covers_the_image(emulator: Emulator, png: bytes) -> None:
    fields = {"Action": "RemoveBackground", "PublicKey": emulator.public_key, "RawImage": uri(png)}
    signature = sign(fields, emulator.private_key)
    other = uri(encode_png(np.zeros((4, 4, 3), np.uint8)))
    answer = call(emulator, signature, Action="RemoveBackground", RawImage=other)
    assert answer["RetCode"] == 171 and emulator.billed == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"RawImage": None},
        {"RawImage": "abc"},
        {"RawImage": "data:image/png;base64,####"},
        {"RawImage": uri(b"no image")},
        {"RawImage": uri(encode_png(np.zeros((4, 4), np.uint8)), "jpeg")},
        {"RawImage": uri(encode_png(np.zeros((4, 4), np.uint8)), "tiff")},
        {"ErodeSize": 41},
        {"ErodeSize": -1},
        {"ErodeSize": "15"},
        {"ErodeSize": True},
        {"ForegroundThreshold": 256},
        {"BackgroundThreshold": 1.5},
        {"HairOptimization": "yes"},
        {"OnlyMask": "true"},
        {"Box": [0, 0, 61, 40]},
        {"Box": [5, 0, 5, 40]},
        {"Box": [0, 0, 10]},
        {"Box": "0,0,1,1"},
        {"Typo": 1},
    ],
)
def test_wrong_parameters_are_refused_and_cost_nothing(
    emulator: Emulator, png: bytes, wrong: dict[str, object]
) -> None:
    answer = call(emulator, **{"Action": "RemoveBackground", "RawImage": uri(png), **wrong})
    assert answer["RetCode"] == 230 and answer["Message"]
    assert emulator.billed == 0 and not emulator.tasks


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"{}"])
def test_what_is_no_request_is_refused(emulator: Emulator, body: bytes) -> None:
    answer = requests.post(emulator.endpoint, data=body, timeout=10).json()
    assert answer["RetCode"] == 160


def test_slots_and_task_seconds_make_a_queue(png: bytes) -> None:
    now = 0.0
    with running_emulator(slots=2, task_seconds=10.0, clock=lambda: now) as emulator:
        client = client_of(emulator)
        uids = [submit(client, png) for _ in range(4)]

        def statuses() -> list[str]:
            return [detail.status for detail in client.tasks(uids)]

        assert statuses() == ["Running", "Running", "Queuing", "Queuing"]
        assert client.running_tasks() == uids
        now = 9.9
        assert statuses() == ["Running", "Running", "Queuing", "Queuing"]
        now = 10.0
        assert statuses() == ["Finished", "Finished", "Running", "Running"]
        assert client.running_tasks() == uids[2:]
        now = 20.0
        assert statuses() == ["Finished"] * 4
        assert client.running_tasks() == []


def test_the_state_can_be_read_by_another_process(emulator: Emulator, png: bytes) -> None:
    client = client_of(emulator)
    client.submit(png, "image/png", MattingParameters(), "the-uuid")
    state = requests.get(f"{emulator.endpoint}/_emulator/state", timeout=10).json()
    assert state["submissions"] == {hashlib.sha256(png).hexdigest(): 1}
    assert state["tasks_by_request"] == {"the-uuid": 1}
    assert state["billed"] == 1 and state["requests"] == {"RemoveBackground": 1}
    assert [t["status"] for t in state["tasks"].values()] == ["Finished"]


def test_the_same_uuid_twice_is_billed_twice(emulator: Emulator, png: bytes) -> None:
    client = client_of(emulator)
    first, second = (client.submit(png, "image/png", MattingParameters(), "u") for _ in range(2))
    assert first != second
    assert emulator.tasks_by_request == {"u": 2} and emulator.billed == 2


@pytest.mark.parametrize(
    "url", ["/results/nobody/0.png", "/results/{uid}/0.png", "/results/{uid}/{token}x.png"]
)
def test_results_have_unguessable_urls(emulator: Emulator, png: bytes, url: str) -> None:
    uid = submit(client_of(emulator), png)
    path = url.format(uid=uid, token=emulator.tasks[uid].token)
    assert requests.get(emulator.endpoint + path, timeout=10).status_code == 404


@dataclass
class Halving:
    """A core that gives half alpha everywhere in the box."""

    def remove(self, pixels: np.ndarray, params: MattingParameters) -> Any:
        alpha = np.zeros(pixels.shape[:2], np.uint8)
        left, top, right, bottom = params.box or (0, 0, alpha.shape[1], alpha.shape[0])
        alpha[top:bottom, left:right] = 128 + params.erode_size
        rgba = None if params.only_mask else np.dstack([pixels[:, :, ::-1], alpha])
        return type("Matte", (), {"alpha": alpha, "rgba": rgba})


def test_a_core_answers_pixel_for_pixel(rgb: np.ndarray, png: bytes) -> None:
    with running_emulator(answer=core_answer(Halving().remove)) as emulator:
        client = client_of(emulator)
        for only_mask in (False, True):
            params = {"box": (3, 4, 30, 30), "erode_size": 5, "only_mask": only_mask}
            (task,) = client.tasks([submit(client, png, **params)])
            alpha, cutout = matte_from_result(rgb, client.download(task.result_url()), only_mask)
            assert alpha[10, 10] == 133 and alpha[0, 0] == 0
            assert (cutout is None) is only_mask
            if cutout is not None:
                assert np.array_equal(cutout[4:30, 3:30, :3], rgb[4:30, 3:30, ::-1])


@pytest.mark.parametrize("kind", ["JPEG", "turned PNG", "transparent PNG"])
@pytest.mark.parametrize(
    "params",
    [
        MattingParameters(),
        MattingParameters(box=(8, 4, 500, 50), hair_optimization="on", erode_size=4),
        MattingParameters(only_mask=True),
    ],
)
def test_our_own_core_behind_the_api_gives_what_it_gives_here(
    tiny_model: str, kind: str, params: MattingParameters
) -> None:
    pytest.importorskip(
        "apache_beam"
    )  # alphabeam.transforms.images decodes, and is a Beam transform too
    from alphabeam.transforms.images import decode
    from alphabeam.transforms.matting import MattingCore

    pixels = np.full((60, 80, 3), 250, np.uint8)
    pixels[15:45, 20:60] = np.random.default_rng(0).integers(10, 110, (30, 40, 3))
    image, exif = Image.fromarray(pixels), Image.Exif()
    if kind == "turned PNG":
        exif[0x0112] = 6
    if kind == "transparent PNG":
        image.putalpha(Image.fromarray(np.tile(np.arange(80, dtype=np.uint8) * 3, (60, 1))))
    out = io.BytesIO()
    image.save(out, kind.split()[-1], exif=exif)
    pixels = decode(out.getvalue())
    core = MattingCore(tiny_model)
    with running_emulator(answer=core_answer(core.remove, decode)) as emulator:
        client = client_of(emulator)
        upload = prepare_upload(out.getvalue(), pixels, max_upload_bytes=1 << 20)
        wanted = replace(params, box=clip_box(params.box, pixels.shape[:2]))
        uid = client.submit(upload.data, upload.media_type, wanted, "u")
        (task,) = client.tasks([uid])
        result = client.download(task.result_url())
        alpha, cutout = matte_from_result(pixels, result, params.only_mask)
    here = core.remove(pixels, replace(params, own_alpha="refine"))
    assert alpha.max() > 200 or kind == "transparent PNG"
    assert np.array_equal(alpha, here.alpha)
    if params.only_mask:
        assert cutout is None
    elif kind != "transparent PNG":  # there only the mask is the same: colours are guessed anew
        assert cutout is not None and np.array_equal(cutout, here.rgba)


def test_the_default_answer_heeds_box_and_only_mask(png: bytes) -> None:
    whole = cut_by_colour(png, {})
    part = cut_by_colour(png, {"Box": [0, 0, 30, 40], "OnlyMask": True})
    assert whole != part and whole.startswith(b"\x89PNG")


def test_probabilities_do_not_depend_on_the_order_of_requests() -> None:
    keys = [f"image-{n}" for n in range(400)]
    one, two = Faults({"http_500": 0.2}, seed=5), Faults({"http_500": 0.2}, seed=5)
    there = {key: one.strikes("http_500", key) for key in keys}
    back = {key: two.strikes("http_500", key) for key in reversed(keys)}
    assert there == back and 40 < sum(there.values()) < 120
    other = Faults({"http_500": 0.2}, seed=6)
    assert {key: other.strikes("http_500", key) for key in keys} != there


def test_schedules_and_actions() -> None:
    faults = Faults({"RemoveBackground:reset": (1, 3)})
    struck = [faults.strikes("reset", "k", "RemoveBackground") for _ in range(5)]
    assert struck == [False, True, False, True, False]
    assert not faults.strikes("reset", "k", "ListRunningTasks")
    with pytest.raises(ValueError, match="'resett' is not one of"):
        Faults({"resett": 0.5})


@pytest.mark.slow
def test_many_clients_at_once_keep_the_ideal_rate(png: bytes) -> None:
    """32 tasks at once of 0.25 s: 128 in four waves, were the emulator itself free."""
    with running_emulator(
        slots=32, task_seconds=0.25, answer=lambda image, params: png
    ) as emulator:
        client = client_of(emulator, max_concurrency=16)
        uids: list[str] = []

        def work() -> None:
            for _ in range(8):
                uids.append(submit(client, png))

        began = time.monotonic()
        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended = list(collect(client, uids, timeout=20, first_pause=0.05, max_pause=0.1))
        assert len(ended) == 128
        assert time.monotonic() - began < 30  # ideal: 1; this machine is shared


@pytest.mark.slow
def test_it_starts_by_hand(png: bytes) -> None:
    command = [
        sys.executable,
        "-m",
        "alphabeam.transforms.picpik.emulator",
        "--port",
        "0",
        "--private-key",
        "k",
    ]
    command += [
        "--public-key",
        "p",
        "--task-seconds",
        "0",
        "--fault",
        "RemoveBackground:http_429=0",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        endpoint = lines[0].split()[1]
        from alphabeam.transforms.picpik import PicpikClient

        client = PicpikClient(endpoint, "p", "k")
        uid = submit(client, png)
        assert client.tasks([uid])[0].state == "finished"
        assert "PICPIK_PUBLIC_KEY=p PICPIK_PRIVATE_KEY=k" in lines[1]
        state = requests.get(lines[2].split()[-1], timeout=10)
        assert json.loads(state.text)["billed"] == 1
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.stdout.close()


@pytest.mark.slow
def test_a_mistake_on_its_command_line_is_named() -> None:
    for arguments, text in (
        (["--fault", "nonsense=1"], "'nonsense' is not one of"),
        (["--fault", "reset=often"], "not a probability"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "alphabeam.transforms.picpik.emulator", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2 and text in done.stderr
