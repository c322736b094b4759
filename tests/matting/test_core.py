"""MattingCore: what it promises for any image and any parameters."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabeam.transforms.matting import FLAGS, BoxOutsideError, MattingCore
from alphabeam.transforms.parameters import MattingParameters
from tests.matting.scenes import ByColour, Constant, disc, over

CORE = MattingCore(ByColour())
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 10000), (10000, 1), (3, 5), (17, 16), (64, 1000), (33, 31)]


def check(matte, image, params):
    height, width = image.shape[:2]
    assert matte.alpha.shape == (height, width) and matte.alpha.dtype == np.uint8
    assert 0 <= matte.coverage <= 1 and 0 <= matte.confidence <= 1
    assert matte.coverage == pytest.approx(matte.alpha.mean() / 255, abs=1e-6)
    assert set(matte.flags) <= set(FLAGS)
    assert ("empty" in matte.flags) == (not matte.alpha.any()) or params.keep_shadow
    if matte.subject_box is None:
        assert not matte.alpha.any()
    else:
        left, top, right, bottom = matte.subject_box
        outside = matte.alpha.copy()
        outside[top:bottom, left:right] = 0
        assert not outside.any() and right <= width and bottom <= height
        assert matte.alpha[top].any() and matte.alpha[:, right - 1].any()
    if params.only_mask:
        assert matte.rgba is None
    else:
        assert matte.rgba.shape == (height, width, 4) and matte.rgba.dtype == np.uint8
        assert np.array_equal(matte.rgba[..., 3], matte.alpha)
        assert not matte.rgba[matte.alpha == 0].any(), "colours under alpha 0 are zero"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("hair", ["auto", "on", "off"])
def test_any_shape(shape, channels, hair):
    rng = np.random.default_rng(sum(shape))
    image = rng.integers(0, 256, (*shape, channels), np.uint8)
    params = MattingParameters(hair_optimization=hair)
    check(CORE.remove(image, params), image, params)


@pytest.mark.parametrize("shape", [(13, 17), (7, 3), (100, 1)])
def test_all_product_is_a_coverage_of_one_and_not_just_over_it(shape):
    image = np.zeros((*shape, 3), np.uint8)
    assert CORE.remove(image, MattingParameters(remove_background=False)).coverage == 1


parameters = st.builds(
    lambda thresholds, **rest: MattingParameters(
        background_threshold=min(thresholds), foreground_threshold=max(thresholds), **rest
    ),
    thresholds=st.lists(st.integers(0, 255), min_size=2, max_size=2, unique=True),
    erode_size=st.integers(0, 40),
    hair_optimization=st.sampled_from(["auto", "on", "off"]),
    only_mask=st.booleans(),
    keep_shadow=st.booleans(),
)


@settings(max_examples=25)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    seed=st.integers(0, 99),
    blocks=st.integers(1, 16),
    params=parameters,
)
def test_any_image_and_parameters(height, width, seed, blocks, params):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // blocks), -(-width // blocks), 3), np.uint8)
    image = coarse.repeat(blocks, 0).repeat(blocks, 1)[:height, :width]
    check(CORE.remove(image, params), image, params)


def test_subject_is_found_and_its_edge_is_close():
    image, alpha = disc()
    matte = CORE.remove(image)
    assert np.abs(matte.alpha.astype(int) - alpha).mean() < 1.5
    assert matte.flags == ()
    assert matte.confidence > 0.8


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (255, 0, 255)])
@pytest.mark.parametrize("back", [(245, 245, 245), (20, 60, 20)])
def test_no_fringe_on_any_background(background, back):
    fore = (200, 40, 30)
    image, alpha = disc(fore=fore, back=back, softness=2.0)
    laid = over(CORE.remove(image).rgba, background)
    weight = alpha[..., None] / 255
    wanted = weight * np.array(fore) + (1 - weight) * np.array(background)
    assert np.abs(laid - wanted).mean() < 2.5
    edge = (alpha > 0) & (alpha < 255)
    assert np.abs(laid - wanted)[edge].mean() < 20


def test_plain_image_gives_an_empty_mask():
    image = np.full((90, 120, 3), 200, np.uint8)
    matte = CORE.remove(image)
    assert not matte.alpha.any() and not matte.rgba.any()
    assert matte.flags == ("empty",) and matte.subject_box is None
    assert matte.confidence > 0.9


def test_faint_answer_is_empty_and_unsure():
    image, _ = disc(80)
    matte = MattingCore(Constant(np.full((20, 20), 0.45, np.float32))).remove(image)
    assert matte.flags == ("empty", "low_confidence")
    assert matte.confidence == pytest.approx(0.1, abs=1e-3)


def test_only_mask_gives_the_same_alpha():
    image, _ = disc()
    full = CORE.remove(image, MattingParameters())
    mask = CORE.remove(image, MattingParameters(only_mask=True))
    assert mask.rgba is None
    assert np.array_equal(mask.alpha, full.alpha)
    assert replace(mask, alpha=None) == replace(full, alpha=None, rgba=None)


@settings(max_examples=15)
@given(
    left=st.integers(0, 100), top=st.integers(0, 100), w=st.integers(1, 300), h=st.integers(1, 300)
)
def test_outside_the_box_all_is_clear(left, top, w, h):
    image, _ = disc(120)
    matte = CORE.remove(image, MattingParameters(box=(left, top, left + w, top + h)))
    outside = matte.alpha.copy()
    outside[top : top + h, left : left + w] = 0
    assert not outside.any()


def test_box_picks_one_of_two():
    one, _ = disc(120, centre=(0.3, 0.5), radius=0.15)
    two, _ = disc(120, centre=(0.75, 0.5), radius=0.15)
    image = np.minimum(one, two)
    both = CORE.remove(image)
    assert "several_subjects" in both.flags
    picked = CORE.remove(image, MattingParameters(box=(10, 30, 60, 90)))
    assert "several_subjects" not in picked.flags
    assert picked.subject_box[2] <= 60
    assert picked.coverage == pytest.approx(both.coverage / 2, rel=0.1)


def test_a_neighbour_that_reaches_into_the_box_goes_and_a_second_part_stays():
    seen = np.zeros((100, 100), np.float32)
    seen[30:70, 30:50] = seen[30:70, 56:66] = 1  # two parts of the subject
    seen[20:80, 72:99] = 1  # a neighbour, a sliver of which is in the box

    class Fixed:
        def predict(self, rgb):
            height, width = rgb.shape[:2]
            return seen[:height, 22 : 22 + width] if width < 100 else seen

    image = np.where(seen[..., None] > 0, 40, 220).astype(np.uint8).repeat(3, axis=2)
    box = (27, 10, 77, 90)
    matte = MattingCore(Fixed()).remove(image, MattingParameters(box=box, erode_size=2))
    assert matte.alpha[50, 40] == matte.alpha[50, 60] == 255
    assert not matte.alpha[:, 70:].any()


def test_a_box_beyond_the_image_is_refused_or_clipped():
    image, _ = disc(80)
    with pytest.raises(BoxOutsideError, match="box 80,0,90,10 lies outside the 80 x 80"):
        CORE.remove(image, MattingParameters(box=(80, 0, 90, 10)))
    clipped = CORE.remove(image, MattingParameters(box=(0, 0, 999, 999)))
    whole = CORE.remove(image, MattingParameters(box=(0, 0, 80, 80)))
    assert np.array_equal(clipped.alpha, whole.alpha)


def test_transparent_input_stays_transparent():
    image, alpha = disc()
    own = alpha.copy()
    own[:, :80] = 0
    own[:, 80:90] = 100
    matte = CORE.remove(np.dstack([image, own]), MattingParameters(own_alpha="refine"))
    assert (matte.alpha <= own).all()
    assert matte.alpha[80, 85] == 100 and matte.alpha[80, 110] == 255
    assert np.array_equal(matte.rgba[80, 85, :3], image[80, 85]), "the input's own colour"


def test_a_picture_with_its_own_alpha_is_the_result():
    image, alpha = disc()
    rgba = np.dstack([np.full_like(image, 255), alpha])  # white on nothing: no network sees it
    rgba[:20] = (7, 8, 9, 0)
    matte = CORE.remove(rgba)
    assert np.array_equal(matte.alpha, rgba[..., 3])
    assert np.array_equal(matte.rgba[matte.alpha > 0], rgba[matte.alpha > 0])
    assert not matte.rgba[matte.alpha == 0].any()
    assert (matte.confidence, matte.flags) == (1.0, ("own_alpha",))
    part = CORE.remove(rgba, MattingParameters(box=(0, 0, 80, 160), only_mask=True))
    assert part.rgba is None and not part.alpha[:, 80:].any()
    assert np.array_equal(part.alpha[:, :80], rgba[:, :80, 3])
    with pytest.raises(BoxOutsideError):
        CORE.remove(rgba, MattingParameters(box=(160, 0, 170, 9)))


def test_an_own_alpha_of_nothing_is_empty_and_not_sure():
    matte = CORE.remove(np.zeros((9, 9, 4), np.uint8))
    assert not matte.alpha.any() and matte.confidence == 0
    assert matte.flags == ("empty", "low_confidence", "own_alpha")


@pytest.mark.parametrize("own_alpha", ["keep", "refine", "ignore"])
def test_the_network_decides_where_all_is_opaque(own_alpha):
    image, _ = disc(90)
    for least in (255, 250):
        opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        opaque[0, 0, 3] = least
        matte = CORE.remove(opaque, MattingParameters(own_alpha=own_alpha))
        assert np.array_equal(matte.rgba, CORE.remove(image).rgba)
        assert "own_alpha" not in matte.flags


def test_a_picture_whose_background_stays_is_whole():
    image = np.full((40, 60, 4), 200, np.uint8)
    image[:, :, 3] = 7
    matte = CORE.remove(image, MattingParameters(remove_background=False))
    assert (matte.alpha == 255).all() and (matte.rgba[..., :3] == 200).all()
    assert (matte.confidence, matte.flags) == (1.0, ("whole",))
    boxed = CORE.remove(image, MattingParameters(remove_background=False, box=(10, 5, 30, 25)))
    assert boxed.subject_box == (10, 5, 30, 25)


def test_an_own_alpha_that_is_ignored_leaves_the_stored_colours():
    image, _ = disc()
    hidden = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    matte = CORE.remove(hidden, MattingParameters(own_alpha="ignore"))
    assert np.array_equal(matte.rgba, CORE.remove(image).rgba)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError),
        (np.zeros((4, 4, 3), np.uint16), TypeError),
        (np.zeros((4, 4, 3), np.int8), TypeError),
        (np.zeros((4, 4, 3), bool), TypeError),
        ("picture.jpg", TypeError),
        (None, TypeError),
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 2), np.uint8), ValueError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError),
    ],
)
def test_anything_else_is_refused_in_one_line(image, error):
    with pytest.raises(error, match=r"^image: ") as caught:
        CORE.remove(image)
    assert "\n" not in str(caught.value)


def test_views_and_strides_change_nothing():
    image, _ = disc(100)
    backwards = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    assert np.array_equal(CORE.remove(backwards).alpha, CORE.remove(image).alpha)
    image.setflags(write=False)
    CORE.remove(image)


@pytest.mark.slow
def test_same_bits_again_and_from_many_threads():
    scenes = [disc(120 + 8 * i, softness=1 + i)[0] for i in range(4)]
    alone = [CORE.remove(image).rgba for image in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: CORE.remove(image).rgba, scenes * 3))
    for i, rgba in enumerate(together):
        assert np.array_equal(rgba, alone[i % 4])


def test_pickle_carries_no_session():
    image, _ = disc(80)
    data = pickle.dumps(CORE)
    assert len(data) < 10_000
    assert np.array_equal(pickle.loads(data).remove(image).rgba, CORE.remove(image).rgba)


def test_import_needs_neither_beam_nor_fsspec():
    code = (
        "import sys; import alphabeam.transforms.matting, alphabeam.transforms.encoding; "
        "print([m for m in ('apache_beam', 'fsspec', 'pyarrow', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def flags_of(**kwargs):
    return CORE.remove(disc(**kwargs)[0]).flags


def test_flags():
    assert flags_of() == ()
    assert "touches_border" in flags_of(centre=(0.95, 0.5))
    assert "tiny_subject" in flags_of(size=640, radius=0.03)
    assert "nearly_empty" in flags_of(size=640, radius=0.03)
    image, alpha = disc(softness=40.0)
    seen = Constant(cv2.resize(alpha, (40, 40), interpolation=cv2.INTER_AREA))
    assert "very_soft" in MattingCore(seen).remove(image).flags
    grey = np.full((24, 24), 0.55, np.float32)
    assert "low_confidence" in MattingCore(Constant(grey)).remove(disc(60)[0]).flags


def test_shadow_is_left_out_unless_asked_for():
    image, alpha = disc(200, centre=(0.45, 0.45), radius=0.2)
    y, x = np.mgrid[:200, :200]
    shade = 0.35 * np.exp(-(((x - 115) / 30) ** 2 + ((y - 120) / 22) ** 2))
    shaded = image * (1 - shade * (1 - alpha / 255))[..., None]
    shaded = np.rint(shaded).astype(np.uint8)
    core = MattingCore(Constant(cv2.resize(alpha, (50, 50), interpolation=cv2.INTER_AREA)))
    without = core.remove(shaded)
    kept = core.remove(shaded, MattingParameters(keep_shadow=True))
    beside = (alpha == 0) & (shade > 0.2)
    assert without.alpha[beside].mean() < 25
    assert kept.alpha[beside].mean() == pytest.approx(255 * shade[beside].mean(), rel=0.35)
    assert not kept.rgba[beside][kept.alpha[beside] > 40, :3].max() > 60, "shadows are black"
    assert (kept.alpha >= without.alpha).all()
    plain = core.remove(image, MattingParameters(keep_shadow=True))
    assert plain.alpha[alpha == 0].mean() < 1, "no shadow where there is none"
