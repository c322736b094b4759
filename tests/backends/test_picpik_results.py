"""The PICPIK backend without Beam's engine: what its results are, and what it says."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.backends.picpik.session import Session
from alphabeam.transforms.images import fetch
from alphabeam.transforms.picpik.emulator import encode_png
from alphabeam.transforms.rows import PENDING
from tests.backends.conftest import LIMITS, Desk, code_of
from tests.conftest import encoded, product


def mask_of(image: bytes) -> np.ndarray:
    grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.where(grey < 200, 255, 0).astype(np.uint8)


def grey_mask(image: bytes, params: Mapping[str, Any]) -> bytes:
    return encode_png(mask_of(image))


def rgb_mask(image: bytes, params: Mapping[str, Any]) -> bytes:
    return encode_png(np.dstack([mask_of(image)] * 3))


def cutout(image: bytes, params: Mapping[str, Any]) -> bytes:
    rgb = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return encode_png(np.ascontiguousarray(np.dstack([rgb, mask_of(image)])))


@pytest.mark.parametrize("only_mask", [False, True])
@pytest.mark.parametrize("answer", [grey_mask, rgb_mask, cutout])
def test_mask_and_cutout_come_of_whatever_form_the_api_gives(
    desk: Callable[..., Desk], answer: Any, only_mask: bool
) -> None:
    d = desk(answer=answer)
    pixels = product(4)
    picture = d.session()(d.row(seed=4, only_mask=only_mask))
    assert code_of(picture) is None
    inside = pixels.max(axis=2) < 200
    assert np.array_equal(picture.alpha, np.where(inside, 255, 0))
    (task,) = d.emulator.tasks.values()
    assert task.params["OnlyMask"] is only_mask
    if only_mask:
        assert picture.rgba is None
    else:
        assert picture.rgba is not None
        assert np.array_equal(picture.rgba[inside][:, :3], pixels[inside])
        assert not picture.rgba[~inside].any()
    ys, xs = np.nonzero(inside)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert picture.row.subject_box == box
    assert picture.row.coverage == pytest.approx(inside.mean())


def test_a_box_outside_and_a_cut_off_picture_cost_nothing(desk: Callable[..., Desk]) -> None:
    d = desk()
    remove = d.session(max_tasks=1)
    outside = remove(d.row(box=(500, 0, 600, 10)))
    assert (code_of(outside), outside.row.error_stage) == ("box_outside", "remove")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    half = remove(d.row("half", data=encoded(noise, "JPEG")[:3000]))
    assert (code_of(half), half.row.error_stage) == ("truncated_image", "read")
    assert code_of(remove(d.row())) is None  # the budget of one task was not used up
    assert d.emulator.billed == 1


def test_what_was_sent_is_recorded(desk: Callable[..., Desk]) -> None:
    d = desk()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    data = encoded(noise, "JPEG", quality=100, subsampling=0)
    assert len(data) > 150_000
    picture = d.session(max_upload_bytes=150_000)(d.row("big", data=data))
    assert code_of(picture) is None
    (flag,) = picture.row.flags
    assert flag.startswith("sent_jpeg_")


@pytest.mark.slow
def test_long_task_uids_and_20_mb_pictures(desk: Callable[..., Desk]) -> None:
    d = desk(uid_length=64, answer=grey_mask)
    noise = np.random.default_rng(0).integers(0, 255, (2600, 2600, 3), np.uint8)
    data = encoded(noise, "PNG", compress_level=0)
    assert len(data) > 20_000_000
    picture = d.session(max_upload_bytes=30_000_000)(d.row("大图", data=data))
    assert code_of(picture) is None
    assert len(picture.row.task_uid) == 64
    assert next(iter(d.emulator.submissions)) == picture.row.source_sha256


@pytest.mark.slow
def test_requests_keep_the_pace_and_the_waiting_is_counted(desk: Callable[..., Desk]) -> None:
    d = desk()
    backend = d.backend(requests_per_second=10.0)
    remove = backend.open()
    rows = [d.row(f"p{n}", n) for n in range(10)]
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        pictures = list(pool.map(lambda row: remove(fetch(row, LIMITS)), rows))
    seconds = time.monotonic() - began
    assert all(code_of(p) is None for p in pictures)
    submissions = d.emulator.requests["RemoveBackground"]
    questions = sum(d.emulator.requests.values()) - submissions
    assert submissions == 10 and questions >= 1
    # Each kind keeps the pace; questions go ahead of the line, so both may start in one moment.
    assert seconds >= (submissions - 1) / 10
    assert seconds >= (questions - 1) / 10
    assert backend.throttled_seconds > 1.0  # ten threads waited for their turns


@pytest.mark.slow
def test_the_key_is_in_no_exception_entry_or_repr(desk: Callable[..., Desk]) -> None:
    secret = "PRIVATE-4711-do-not-tell"
    d = desk(private_key=secret, faults={"RemoveBackground:wrong_uuid": [1], "task_error": [2]})
    backend = d.backend()
    remove = backend.open()
    pictures = [remove(fetch(d.row(f"p{n}", n), LIMITS)) for n in range(4)]
    told = [str(p.row) for p in pictures]
    assert {p.row.error_code for p in pictures} == {None, "submit_unknown", "task_failed"}
    told += [path.read_text() for path in (d.folder / "out").rglob("*.json")]
    sessions = [o for o in gc.get_objects() if isinstance(o, Session)]
    assert sessions
    told += [repr(vars(o)) + repr(vars(o.client)) for o in sessions]
    assert not any(secret in text for text in told)
    with pytest.raises(ValueError, match="never the key itself") as refused:
        PicpikBackend("out", private_key=secret)
    assert secret not in str(refused.value)


def cut_out_already() -> np.ndarray:
    """A white product on nothing, in front of colours that nobody is to see."""
    rgba = np.full((40, 60, 4), 255, np.uint8)
    rgba[:, :20] = (9, 8, 7, 0)
    rgba[:, 20:24, 3] = 128
    return rgba


def test_a_picture_that_is_a_cutout_already_is_not_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    picture = d.session()(d.row(data=encoded(cut_out_already())))
    row = picture.row
    assert (row.status, row.credits, row.task_uid) == (PENDING, 0, "")
    assert row.flags == ("own_alpha",) and row.subject_box == (20, 0, 60, 40)
    assert picture.alpha is not None and picture.rgba is not None
    assert np.array_equal(picture.alpha, cut_out_already()[..., 3])
    assert not picture.rgba[:, :20].any() and (picture.rgba[:, 20:, :3] == 255).all()
    assert not d.emulator.tasks


def test_a_picture_whose_background_stays_is_not_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    row = d.row(remove_background=False)
    assert not d.backend().would_submit(row)
    picture = d.session()(row)
    assert code_of(picture) is None and picture.alpha is not None and picture.alpha.min() == 255
    found = picture.row
    assert (found.flags, found.confidence, found.credits) == (("whole",), 1.0, 0)
    assert not found.task_uid and not d.emulator.billed


def test_an_own_alpha_that_is_refined_or_ignored_is_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    data = encoded(cut_out_already())
    seen = {}
    for own_alpha in ("refine", "ignore"):
        picture = d.session()(d.row(own_alpha, data=data, own_alpha=own_alpha))
        assert code_of(picture) is None and "own_alpha" not in picture.row.flags
        assert picture.row.credits
        seen[own_alpha] = picture.alpha
    assert not seen["refine"][:, :20].any(), "what was transparent stays so"
    assert seen["ignore"][:, :20].all(), "a dark product is seen where the alpha had hidden it"
    assert len(d.emulator.tasks) == 2


def test_damage_of_the_source_is_flagged_beside_what_was_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    data = encoded(product(), "JPEG")
    assert data.endswith(b"\xff\xd9")
    picture = d.session()(d.row(data=data[:-2]))
    assert code_of(picture) is None
    assert picture.row.flags == ("damaged_source", "sent_jpeg_95") and picture.row.credits
