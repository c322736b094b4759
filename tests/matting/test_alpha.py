"""Trimap to alpha, and the parts that it is made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alphabeam.transforms.matting.alpha import Bands, refine_alpha
from alphabeam.transforms.matting.coarse import CoarseAlpha, coarse_alpha
from alphabeam.transforms.matting.components import (
    components_of,
    drop_stray_components,
    max_pool,
)
from alphabeam.transforms.matting.foreground import straight_alpha
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, make_trimap
from tests.matting.scenes import ByColour, Constant, disc

REFINER = Refiner()
planes = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@settings(max_examples=60)
@given(coarse=planes, erode=st.integers(0, 40), more=st.integers(0, 20), low=st.integers(0, 120))
def test_a_larger_erode_size_never_narrows_the_band(coarse, erode, more, low):
    narrow = make_trimap(coarse, 240, low, erode)
    wide = make_trimap(coarse, 240, low, erode + more)
    assert set(np.unique(narrow)) <= {BACKGROUND, UNKNOWN, FOREGROUND}
    assert ((narrow != UNKNOWN) | (wide == UNKNOWN)).all()
    known = wide != UNKNOWN
    assert np.array_equal(wide[known], narrow[known])


@settings(max_examples=40)
@given(coarse=planes, low=st.integers(0, 100), high=st.integers(150, 255), step=st.integers(0, 40))
def test_stricter_thresholds_never_narrow_the_band(coarse, low, high, step):
    strict = make_trimap(coarse, high, max(low - step, 0), 3)
    loose = make_trimap(coarse, high - step, low, 3)
    assert ((loose != UNKNOWN) | (strict == UNKNOWN)).all()


@settings(max_examples=30)
@given(trimap=planes, seed=st.integers(0, 9), refine=st.booleans())
def test_any_trimap_gives_alpha(trimap, seed, refine):
    trimap = np.array([BACKGROUND, UNKNOWN, FOREGROUND], np.uint8)[trimap % 3]
    image = np.random.default_rng(seed).integers(0, 256, (*trimap.shape, 3), np.uint8)
    alpha = refine_alpha(image, trimap, refiner=REFINER if refine else None)
    known = trimap != UNKNOWN
    assert alpha.dtype == np.uint8 and np.array_equal(alpha[known], trimap[known])


@pytest.mark.parametrize("label", [BACKGROUND, UNKNOWN, FOREGROUND])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10000), (10000, 1), (40, 50)])
def test_one_label_everywhere(label, shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    alpha = refine_alpha(image, np.full(shape, label, np.uint8), refiner=REFINER)
    assert alpha.shape == shape
    if label != UNKNOWN:
        assert (alpha == label).all()


@pytest.mark.parametrize("constant", [0, 128, 255])
def test_plain_images_make_no_nan(constant):
    trimap = np.full((60, 60), UNKNOWN, np.uint8)
    trimap[:10], trimap[-10:] = BACKGROUND, FOREGROUND
    image = np.full((60, 60, 3), constant, np.uint8)
    with np.errstate(all="raise", under="ignore"):
        alpha = refine_alpha(image, trimap, refiner=REFINER)
    assert alpha[:10].max() == 0 and alpha[-10:].min() == 255


@pytest.mark.slow
@pytest.mark.parametrize("refiner", [None, REFINER])
def test_the_result_does_not_show_the_tiles(refiner):
    image, alpha = disc(700, softness=6.0, noise=6.0)
    trimap = make_trimap(alpha, 240, 15, 61)
    whole = refine_alpha(image, trimap, refiner=refiner, tile=4096)
    for tile in (32, 77, 256):
        assert np.array_equal(refine_alpha(image, trimap, refiner=refiner, tile=tile), whole)


class RecordingRefiner(Refiner):
    """Changes nothing and records the heights of the levels that it is called on."""

    def refine(self, image, trimap, alpha, fore, back):
        self.sizes = [*getattr(self, "sizes", []), trimap.shape[0]]
        return alpha


def test_an_enlarged_image_is_refined_where_it_is_sharp():
    trimap = make_trimap(disc(700)[1], 240, 15, 31)

    def sizes(side: int, limits: Bands) -> list[int]:
        image, _ = disc(side, softness=0.5, noise=1.0)
        image = cv2.resize(image, (700, 700), interpolation=cv2.INTER_CUBIC)
        recording = RecordingRefiner()
        refine_alpha(image, trimap, refiner=recording, limits=limits)
        return recording.sizes

    (full,) = sizes(700, Bands())
    assert sizes(350, Bands()) == [(full + 1) // 2]
    assert sizes(350, Bands(sharp=0)) == [full]
    assert sizes(700, Bands(wide=10_000)) == [(full + 1) // 2, full]
    assert sizes(700, Bands(refined=30_000)) == [(full + 1) // 2]


def test_a_band_along_the_border_alone_is_refined_too():
    trimap = np.zeros((20, 40_000), np.uint8)
    trimap[-1], trimap[0, :9] = UNKNOWN, FOREGROUND
    image = np.full((*trimap.shape, 3), 200, np.uint8)
    assert refine_alpha(image, trimap, refiner=REFINER).shape == trimap.shape


def test_threads_of_opencv_change_no_bit():
    image, alpha = disc(500, softness=4.0, noise=8.0)
    trimap = make_trimap(alpha, 240, 15, 41)
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            fine = refine_alpha(image, trimap, refiner=REFINER)
            results.append(straight_alpha(image, fine))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_alpha_is_near_the_truth():
    image, alpha = disc(400, softness=5.0, noise=4.0)
    trimap = make_trimap(alpha, 240, 15, 31)
    band = trimap == UNKNOWN
    fine = refine_alpha(image, trimap, refiner=REFINER)
    assert np.abs(fine[band].astype(int) - alpha[band]).mean() < 8


@pytest.mark.parametrize(
    ("image", "trimap"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int32)),
    ],
)
def test_misfits_are_refused(image, trimap):
    with pytest.raises(ValueError, match="is needed"):
        refine_alpha(image, trimap)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (0, 200, 0)])
def test_the_foregrounds_own_colour_is_estimated(colour):
    fore = (180, 60, 40)
    image, alpha = disc(240, fore=fore, back=colour, softness=8.0, noise=0)
    rgba = straight_alpha(image, alpha)
    assert np.array_equal(rgba[..., 3], alpha)
    assert not rgba[alpha == 0].any()
    assert np.array_equal(rgba[alpha == 255][:, :3], image[alpha == 255])
    soft = (alpha > 40) & (alpha < 215)
    assert np.abs(rgba[soft][:, :3].astype(int) - fore).mean() < 6


@pytest.mark.parametrize("shape", [(20, 65_535), (70_000, 3)])
def test_colours_of_a_picture_of_any_length(shape):
    rgba = straight_alpha(np.full((*shape, 3), 90, np.uint8), np.full(shape, 128, np.uint8))
    assert (rgba == (90, 90, 90, 128)).all()


@settings(max_examples=25)
@given(alpha=planes, seed=st.integers(0, 9))
def test_colours_of_any_alpha(alpha, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*alpha.shape, 3), np.uint8)
    rgba = straight_alpha(image, alpha)
    assert np.array_equal(rgba[..., 3], alpha)
    assert not rgba[alpha == 0].any()
    assert np.array_equal(rgba[alpha == 255][:, :3], image[alpha == 255])


def test_colours_do_not_depend_on_how_many_are_worked_on_at_once():
    image, alpha = disc(601, softness=10.0)
    whole = straight_alpha(image, alpha)
    assert np.array_equal(straight_alpha(image, alpha, at_once=777), whole)


@pytest.mark.parametrize("connectivity", [4, 8])
@given(
    mask=hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.sampled_from([0, 0, 0, 1]),
    )
)
def test_components_are_those_of_opencv(mask, connectivity):
    count, labels, stats = components_of(mask, connectivity)
    expected = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    assert count == expected[0] == len(stats)
    assert labels.dtype == stats.dtype == np.int32
    theirs = [tuple(expected[2][expected[1][labels == label][0]]) for label in range(1, count)]
    assert [tuple(row) for row in stats[1:]] == theirs  # whatever order they are in
    assert stats[0, cv2.CC_STAT_AREA] == np.count_nonzero(mask == 0)


def test_stray_components_go_and_subjects_stay():
    alpha = np.zeros((200, 200), np.uint8)
    coarse = np.zeros_like(alpha)
    cv2.circle(alpha, (60, 60), 40, 255, -1)
    cv2.circle(coarse, (60, 60), 40, 255, -1)
    cv2.circle(alpha, (150, 150), 12, 255, -1)  # a second subject: the network sees it
    cv2.circle(coarse, (150, 150), 12, 230, -1)
    cv2.circle(alpha, (30, 170), 6, 200, -1)  # a speck that it does not see
    coarse[160:180, 20:40] = 60
    cv2.circle(alpha, (160, 50), 14, 180, -1)  # another object: the network is undecided
    cv2.circle(coarse, (160, 50), 14, 160, -1)
    cv2.circle(alpha, (90, 150), 12, 30, -1)  # a faint area
    cv2.circle(coarse, (90, 150), 12, 230, -1)
    busy = np.random.default_rng(0).integers(0, 255, (*alpha.shape, 3), np.uint8)
    out, dropped = drop_stray_components(alpha, coarse, busy)
    expected = alpha.copy()
    expected[160:180, 20:40] = expected[30:70, 140:180] = expected[135:165, 75:105] = 0
    assert np.array_equal(out, expected)
    assert alpha[170, 30] == 200, "the input is left alone"
    assert dropped == pytest.approx((14 / 40) ** 2, rel=0.15), "the speck and the veil do not count"


@pytest.mark.parametrize("colour", [(30, 70, 160), (250, 228, 222)], ids=["blue", "pale pink"])
@pytest.mark.parametrize("seen", ["undecided", "hollow"])
def test_products_on_an_even_background_stay_though_the_network_is_undecided(seen, colour):
    """Six equal products: the network is sure of one, and sees through the middle of others."""
    rgb = np.full((240, 360, 3), (244, 246, 245), np.uint8)
    alpha, coarse = np.zeros((2, 240, 360), np.uint8)
    for row in (60, 180):
        for column in (60, 180, 300):
            cv2.circle(rgb, (column, row), 40, colour, -1)
            cv2.circle(alpha, (column, row), 40, 255, -1)
            cv2.circle(coarse, (column, row), 40, 255 if column == 60 else 150, -1)
            if seen == "hollow" and column == 300:
                cv2.circle(alpha, (column, row), 25, 0, -1)
    cv2.ellipse(rgb, (180, 118), (50, 9), 0, 0, 360, (150, 152, 151), -1)  # a shadow: no colour
    cv2.ellipse(alpha, (180, 118), (50, 9), 0, 0, 360, 120, -1)
    cv2.ellipse(coarse, (180, 118), (50, 9), 0, 0, 360, 120, -1)
    out, dropped = drop_stray_components(alpha, coarse, rgb)
    products = (rgb == colour).all(2)
    assert (out[products] == 255).all()
    assert not out[~products].any(), "the shadow goes"
    assert 0 < dropped < 0.1


def test_what_is_dropped_is_flagged():
    from alphabeam.transforms.matting.quality import Findings, flags

    alpha = np.zeros((100, 100), np.uint8)
    alpha[20:80, 20:80] = 255
    assert "component_dropped" not in flags(alpha, 1.0, Findings(0.001))
    assert "component_dropped" in flags(alpha, 1.0, Findings(0.02))


@given(plane=planes)
@settings(max_examples=30)
def test_pooling_takes_the_largest(plane):
    padded = np.pad(plane, ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)))
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    assert np.array_equal(max_pool(plane), blocks.max((1, 3)))


def test_coarse_alpha_lands_where_it_belongs():
    image, alpha = disc(300, centre=(0.35, 0.6), radius=0.2)
    coarse = coarse_alpha(ByColour(), image)
    assert np.abs(coarse.full().astype(int) - alpha).mean() < 6
    sampled = coarse.sample(coarse.alpha, 40, 100, 2, (90, 70))
    there = cv2.resize(alpha[100:280, 40:180], (70, 90), interpolation=cv2.INTER_AREA) / 255
    assert np.abs(sampled - there).mean() < 0.06


def test_coarse_alpha_of_a_box_covers_its_neighbourhood():
    image, _ = disc(200)
    coarse = coarse_alpha(ByColour(), image, (50, 60, 150, 140))
    assert coarse.region == (40, 52, 160, 148) and coarse.shape == (200, 200)
    full = coarse.full()
    outside = full.copy()
    outside[52:148, 40:160] = 0
    assert not outside.any()


def test_nothing_is_trusted_at_the_outline():
    plane = np.zeros((40, 40), np.float32)
    plane[10:30, 10:30] = 1
    trust = CoarseAlpha(plane, (0, 0, 400, 400), (400, 400)).trust
    assert trust[10, 20] == 0 and trust[9, 20] == 0
    assert trust[20, 20] == 1 and trust[0, 0] == 1


@pytest.mark.parametrize("answer", [np.zeros((0, 0)), np.zeros((3, 3, 1)), np.zeros(5)])
def test_an_answer_that_is_no_alpha_is_refused(answer):
    class Broken:
        def predict(self, rgb):
            return answer

    with pytest.raises(ValueError, match="HxW is needed"):
        coarse_alpha(Broken(), np.zeros((8, 8, 3), np.uint8))


def test_nan_from_a_network_is_background():
    class Broken:
        def predict(self, rgb):
            return np.full((4, 4), np.nan, np.float32)

    assert not coarse_alpha(Broken(), np.zeros((8, 8, 3), np.uint8)).full().any()


@pytest.mark.parametrize("main_is_cut", [False, True])
def test_a_small_component_cut_by_the_frame_is_dropped_beside_a_whole_one(main_is_cut):
    alpha = np.zeros((120, 160), np.uint8)
    alpha[0 if main_is_cut else 20 : 100, 50:110] = 255
    alpha[60:80, 0:8] = 255  # cut off by the frame
    alpha[60:80, 130:138] = 255  # as small, but whole
    out, _ = drop_stray_components(alpha, alpha, np.full((*alpha.shape, 3), 200, np.uint8))
    assert (out[60:80, 0:8] == (255 if main_is_cut else 0)).all()
    out[60:80, 0:8] = alpha[60:80, 0:8]
    assert np.array_equal(out, alpha)


GREY = (190, 190, 195)


@pytest.mark.parametrize(
    ("inside", "radius", "network", "closed"),
    [
        ((240, 200, 160), 30, 0.3, True),  # a pale patch of the subject's own
        ((120, 120, 123), 30, 0.3, False),  # the background, in shadow
        ((240, 200, 160), 30, 0.01, False),  # something else, but the network is sure
        ((225, 225, 230), 30, 0.3, False),  # large and brighter: a lit background
        ((225, 225, 230), 3, 0.3, True),  # small and brighter: a highlight
        ((225, 225, 230), 3, 0.1, False),  # the same, and the network is rather sure
        ((185, 185, 190), 3, 0.3, False),  # a small hole with the background in it
    ],
)
def test_an_opening_without_background_in_it_is_closed(inside, radius, network, closed):
    image = np.full((200, 200, 3), GREY, np.uint8)
    cv2.circle(image, (100, 100), 70, (120, 60, 20), -1)
    cv2.circle(image, (100, 100), radius, inside, -1)
    alpha = np.zeros((200, 200), np.float32)
    cv2.circle(alpha, (100, 100), 70, 1, -1)
    cv2.circle(alpha, (100, 100), radius, network, -1)

    found = coarse_alpha(Constant(alpha.copy()), image).alpha
    assert (found[100, 100] == 1) == closed
    outside = np.hypot(*(np.indices((200, 200)) - 100)) > 32
    assert np.array_equal(found[outside], alpha[outside])
