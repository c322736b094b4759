"""A closer look: when it is taken, where it lies, and when it counts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.closer import closer_region, merge_looks
from alphabeam.transforms.matting.coarse import coarse_alpha
from tests.matting.scenes import ByColour, disc

Image = NDArray[np.uint8]
Alpha = NDArray[np.float32]
SHAPE = (600, 800)


def answer(left: float, top: float, right: float, bottom: float) -> Alpha:
    """A network's answer, 75 x 100, for a box given in pixels of a picture of 600 x 800."""
    full = np.zeros(SHAPE, np.float32)
    full[int(top) : int(bottom), int(left) : int(right)] = 1
    return cv2.resize(full, (100, 75), interpolation=cv2.INTER_AREA)


class Counting(ByColour):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Image] = []

    def predict(self, rgb: Image) -> Alpha:
        self.seen.append(rgb)
        return super().predict(rgb)


def test_the_part_is_the_subject_and_a_margin() -> None:
    region = closer_region(answer(200, 200, 400, 320), SHAPE)
    assert region == pytest.approx((170, 170, 430, 350), abs=8)
    # At the border of the picture the margin ends.
    corner = closer_region(answer(0, 0, 240, 160), SHAPE)
    assert corner is not None and corner[:2] == (0, 0)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((60, 60, 760, 560), SHAPE),  # it fills the picture
        ((100, 200, 620, 300), SHAPE),  # hardly anything is won
        ((200, 200, 260, 260), (75, 100)),  # no more is to be seen in so small a picture
    ],
)
def test_a_look_that_does_not_pay_is_not_taken(
    box: tuple[int, int, int, int], shape: tuple[int, int]
) -> None:
    assert closer_region(answer(*box), shape) is None


def test_nothing_and_noise_are_not_looked_at() -> None:
    assert closer_region(np.zeros((75, 100), np.float32), SHAPE) is None
    faint = 0.4 * answer(200, 200, 400, 320)
    assert closer_region(faint, SHAPE) is None


def test_what_is_faint_or_apart_stays_in_the_part() -> None:
    alpha = answer(200, 200, 400, 320)
    alpha[37:39, 50:62] = 0.25  # a cable: to the picture's column 496
    region = closer_region(alpha, SHAPE)
    assert region is not None and region[2] > 496
    alpha[70, 95] = 0.9  # a speck is no part of it
    assert closer_region(alpha, SHAPE) == region


def test_both_looks_lie_upon_each_other() -> None:
    first = answer(200, 200, 400, 320)
    region = (170, 170, 430, 350)
    full = np.zeros(SHAPE, np.float32)
    full[200:320, 200:400] = 1
    closer = cv2.resize(full[170:350, 170:430], (130, 90), interpolation=cv2.INTER_AREA)
    # Moved by a pixel of the first look, the two are not alike any more.
    assert merge_looks(first, region, SHAPE, closer) is closer
    moved = np.roll(closer, 8, axis=1)
    mean = merge_looks(first, region, SHAPE, moved)
    assert mean is not None and mean is not moved
    assert mean[45, 17] == pytest.approx(0.5) and mean[45, 65] == pytest.approx(1)
    assert merge_looks(first, region, SHAPE, np.roll(closer, 40, axis=1)) is None
    # Where neither sees a subject, the whole picture's answer stays.
    assert merge_looks(0.4 * first, region, SHAPE, 0.4 * closer) is None


def test_the_core_looks_closer_at_a_small_subject_only() -> None:
    picture, truth = disc(640, radius=0.12, centre=(0.3, 0.6))
    network = Counting()
    coarse = coarse_alpha(network, picture)
    assert len(network.seen) == 2
    left, top, right, bottom = coarse.region
    assert np.array_equal(network.seen[1], picture[top:bottom, left:right])
    assert right - left < 250 and coarse.pixel < 0.5 * 640 / 64
    difference = np.abs(coarse.full().astype(int) - truth)
    whole = cv2.resize(ByColour().predict(picture), (640, 640)) * 255
    assert difference.mean() < 0.6 * np.abs(whole - truth).mean()

    network = Counting()
    coarse_alpha(network, disc(640, radius=0.42)[0])
    coarse_alpha(network, picture, (100, 200, 300, 500))  # a box is a closer look
    assert len(network.seen) == 2


def test_the_result_is_that_of_the_whole_picture() -> None:
    picture, truth = disc(640, radius=0.12, centre=(0.3, 0.6))
    matte = MattingCore(ByColour()).remove(picture)
    assert matte.alpha.shape == truth.shape
    assert np.abs(matte.alpha.astype(int) - truth).mean() < 0.2
    assert matte.flags == ()
