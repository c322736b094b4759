"""Compositing and bounding boxes against plain definitions of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alphabeam.transforms.pixels import composite_over, halved, shrunk, subject_box, to_8_bit

sides = st.integers(1, 30)
colours = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.slow
@settings(max_examples=60)
@given(rgba=hnp.arrays(np.uint8, st.tuples(sides, sides, st.just(4))), background=colours)
def test_composite_is_the_rounded_mixture(rgba, background):
    alpha = rgba[..., 3:] / 255
    exact = rgba[..., :3] * alpha + np.array(background) * (1 - alpha)
    assert np.array_equal(composite_over(rgba, background), np.rint(exact).astype(np.uint8))


def test_composite_of_several_strips():
    rgba = np.random.default_rng(0).integers(0, 256, (3000, 700, 4), np.uint8)
    whole = composite_over(rgba, (10, 20, 30))
    for row in (0, 1497, 1498, 2996, 2999):
        assert np.array_equal(whole[row], composite_over(rgba[row : row + 1], (10, 20, 30))[0])


@settings(max_examples=60)
@given(alpha=hnp.arrays(np.uint8, st.tuples(sides, sides), elements=st.sampled_from([0, 0, 0, 1])))
def test_subject_box_is_the_tightest(alpha):
    rows, columns = np.nonzero(alpha)
    box = subject_box(alpha)
    if not rows.size:
        assert box is None
    else:
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_16_bits_become_the_nearest_of_8():
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bit(samples), np.rint(samples / 257).astype(np.uint8))
    assert np.array_equal(to_8_bit(samples.astype(np.int32)), to_8_bit(samples))


@settings(max_examples=60)
@given(plane=hnp.arrays(np.uint8, st.tuples(sides, sides)))
def test_half_the_size_is_the_mean_of_four(plane):
    even = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge").astype(int)
    sums = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    assert np.abs(halved(plane) - sums / 4).max() <= 0.5


@pytest.mark.parametrize("shape", [(1000, 800), (1001, 803), (2003, 1601), (419, 4001), (667, 500)])
def test_shrinking_in_steps_moves_nothing(shape):
    rows, columns = (np.linspace(0, 255, side, dtype=np.float32) for side in shape)
    ramps = np.stack([np.broadcast_to(columns, shape), np.broadcast_to(rows[:, None], shape)], 2)
    scale = 416 / max(shape)
    height, width = (round(side * scale) for side in shape)
    once = cv2.resize(ramps, (width, height), interpolation=cv2.INTER_AREA)
    small = shrunk(ramps, width, height)
    assert small.shape == once.shape and small.dtype == np.float32
    moved = np.abs(small - once) / (255 / width, 255 / height)
    assert moved.max() < 0.4 and moved.mean() < 0.03  # pixels of the result
    eight = shrunk(np.rint(ramps).astype(np.uint8), width, height)
    assert eight.dtype == np.uint8 and np.abs(eight - small).max() <= 1.5
