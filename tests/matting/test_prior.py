"""The colour prior, and comparisons with the background's colour."""

from __future__ import annotations

import numpy as np
import pytest

from alphabeam.transforms.matting.alpha import refine_alpha
from alphabeam.transforms.matting.background_colour import (
    foreign_to_background,
    matches_background,
)
from alphabeam.transforms.matting.coarse import CoarseAlpha
from alphabeam.transforms.matting.prior import colour_prior
from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

BACKGROUND_COLOUR = np.array([200, 210, 220])
RED, GREEN = (200, 30, 30), (30, 160, 60)


def scene(roughness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A red object on an even background, both known, and an unknown strip of background."""
    rng = np.random.default_rng(0)
    background = BACKGROUND_COLOUR + rng.normal(0, roughness, (96, 120, 1))
    image = np.clip(background, 0, 255).repeat(1, 2).astype(np.uint8)
    image[20:70, 10:40] = RED
    trimap = np.full(image.shape[:2], BACKGROUND, np.uint8)
    trimap[18:72, 8:80] = UNKNOWN
    trimap[24:66, 14:36] = FOREGROUND
    return image, trimap


def foreign(image: np.ndarray, trimap: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    unknown = trimap == UNKNOWN
    colours = (image / 255).astype(np.float32)
    prior = colour_prior(colours, trimap, unknown)
    found = np.zeros(trimap.shape, np.float32)
    found[unknown] = foreign_to_background(colours, trimap, unknown, prior)
    return found[rows, columns]


def test_a_colour_that_neither_side_has_is_foreign_to_an_even_background():
    image, trimap = scene()
    image[30:60, 50:70] = GREEN
    assert foreign(image, trimap, np.s_[30:60], np.s_[50:70]).mean() > 0.9
    assert foreign(image, trimap, np.s_[20:70], np.s_[71:80]).max() < 0.01


@pytest.mark.parametrize("shade", [0.6, 0.8, 1.1])
def test_a_shadow_or_a_reflection_is_background(shade):
    image, trimap = scene()
    image[30:60, 50:70] = np.minimum(image[30:60, 50:70] * shade, 255)
    assert foreign(image, trimap, np.s_[30:60], np.s_[50:70]).max() < 0.05


def test_a_mixture_of_both_sides_is_not_foreign():
    image, trimap = scene()
    image[30:60, 50:70] = (BACKGROUND_COLOUR + np.array(RED)) // 2
    assert foreign(image, trimap, np.s_[30:60], np.s_[50:70]).max() < 0.05


def test_nothing_is_foreign_to_a_textured_background():
    image, trimap = scene(roughness=60)
    image[30:60, 50:70] = GREEN
    assert foreign(image, trimap, np.s_[30:60], np.s_[50:70]).max() < 0.05


@pytest.mark.parametrize(("suspicion", "wanted"), [(0.45, 255), (0.05, 0)])
def test_what_is_foreign_is_subject_where_the_network_suspects_it(suspicion, wanted):
    image, trimap = scene()
    image[30:60, 50:70] = GREEN
    network = np.zeros(trimap.shape, np.float32)
    network[20:70, 10:40] = 1
    network[28:62, 48:72] = suspicion
    coarse = CoarseAlpha(network, (0, 0, 120, 96), (96, 120))
    alpha = refine_alpha(image, trimap, coarse)
    assert np.abs(alpha[34:56, 54:66].astype(int) - wanted).max() < 60


@pytest.mark.parametrize(
    ("colour", "like"), [(BACKGROUND_COLOUR, 1), (BACKGROUND_COLOUR * 0.8, 0), (RED, 0)]
)
def test_only_the_backgrounds_own_colour_matches_it(colour, like):
    image, trimap = scene()
    image[30:60, 50:70] = colour
    unknown = trimap == UNKNOWN
    colours = (image / 255).astype(np.float32)
    found = np.zeros(trimap.shape, np.float32)
    found[unknown] = matches_background(colours, unknown, colour_prior(colours, trimap, unknown))
    assert np.abs(found[30:60, 50:70] - like).max() < 0.05


def test_nothing_matches_if_the_subject_has_the_backgrounds_colour():
    image, trimap = scene()
    image[20:70, 10:40] = BACKGROUND_COLOUR + 4
    unknown = trimap == UNKNOWN
    colours = (image / 255).astype(np.float32)
    assert not matches_background(colours, unknown, colour_prior(colours, trimap, unknown)).any()


@pytest.mark.parametrize(("network", "opened"), [(0.9, True), (1.0, False)])
def test_a_gap_is_opened_unless_the_network_is_almost_certain(network, opened):
    image, trimap = scene(roughness=0)
    image[20:70, 40:44] = image[20:70, 52:56] = RED  # two stems with background between
    alpha = np.zeros(trimap.shape, np.float32)
    alpha[20:70, 10:56] = 1
    alpha[20:70, 44:52] = network
    coarse = CoarseAlpha(alpha, (0, 0, 120, 96), (96, 120))
    between = refine_alpha(image, trimap, coarse)[30:60, 46:50]
    assert (between.max() < 60) if opened else (between.min() > 128)


@pytest.mark.parametrize(("network", "kept"), [(0.9, True), (0.55, False)])
def test_a_wide_area_of_the_backgrounds_colour_may_be_glass(network, kept):
    image, trimap = scene(roughness=0)
    image[20:70, 40:44] = image[20:70, 66:70] = RED  # two walls with background between
    alpha = np.zeros(trimap.shape, np.float32)
    alpha[20:70, 10:70] = 1
    alpha[20:70, 44:66] = network
    coarse = CoarseAlpha(alpha, (0, 0, 120, 96), (96, 120))
    between = refine_alpha(image, trimap, coarse)[40:50, 50:60]
    assert (between.min() > 100) if kept else (between.max() < 30)


def test_push_pull_fills_the_image_from_one_corner():
    weight = np.zeros((96, 120), np.float32)
    weight[:5, :5] = 1
    colours = np.full((96, 120, 3), 0.6, np.float32)
    assert np.allclose(push_pull(colours * weight[..., None], weight), 0.6, atol=1e-4)
