"""Where a subject goes: the box that comes out is within a pixel of what was asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.geometry import Size, lay_out
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject, box_of
from tests.renditions.subjects import bar, disc, product


def test_fill_is_the_longer_extents_share_of_the_canvas() -> None:
    layout = lay_out(Rendition(name="a", canvas=1000, upscale=8), Size(200, 400), Size(500, 500))
    assert layout.scale == pytest.approx(850 / 400)
    wide = lay_out(Rendition(name="a", canvas="500x1000"), Size(400, 800), Size(900, 900))
    assert wide.scale == pytest.approx(min(425 / 400, 850 / 800, 1))


def test_a_ratio_keeps_the_subjects_own_resolution_within_its_limits() -> None:
    own = lay_out(Rendition(name="a", canvas="1:1", fill=0.8), Size(400, 800), Size(900, 900))
    assert (own.width, own.height, own.scale) == (1000, 1000, 1)
    capped = lay_out(Rendition(name="a", canvas="1:1", max_side=500), Size(400, 800), Size(1, 1))
    assert (capped.width, capped.scale) == (500, pytest.approx(425 / 800))
    small = lay_out(Rendition(name="a", canvas="1:1", min_side=1000), Size(40, 80), Size(1, 1))
    assert (small.width, small.scale) == (1000, 1)
    assert small.wanted == pytest.approx(850 / 80)
    tall = lay_out(Rendition(name="a", canvas="1:2", fill=1.0), Size(300, 300), Size(1, 1))
    assert (tall.width, tall.height) == (300, 600)


def test_fit_is_the_subject_and_its_margins() -> None:
    layout = lay_out(Rendition(name="a", canvas="fit", margin="10 20"), Size(300, 100), Size(1, 1))
    assert (layout.width, layout.height) == (340, 120)
    shares = lay_out(Rendition(name="a", canvas="fit", margin="10%"), Size(800, 400), Size(1, 1))
    assert (shares.width, shares.height) == (1000, 500)
    capped = lay_out(
        Rendition(name="a", canvas="fit", margin=50, max_side=500), Size(800, 400), Size(1, 1)
    )
    assert (capped.width, capped.height) == (500, 300)


def test_margins_leave_room_or_are_refused() -> None:
    with pytest.raises(ValueError, match="margin: '400' leaves no room"):
        lay_out(Rendition(name="a", canvas=800, margin="400"), Size(10, 10), Size(20, 20))


ALIGNED = {
    "center": (0.5, 0.5),
    "top": (0.5, 0),
    "bottom": (0.5, 1),
    "left": (0, 0.5),
    "right": (1, 0.5),
    "top-left": (0, 0),
    "top-right": (1, 0),
    "bottom-left": (0, 1),
    "bottom-right": (1, 1),
}


@pytest.mark.parametrize("align", ALIGNED)
def test_the_subject_is_aligned_in_the_room_between_the_margins(align: str) -> None:
    rendition = Rendition(name="a", canvas="400x300", margin="10 20 30 40", align=align, fill=0.5)
    made = compose(rendition, Subject(bar(300, 100)))
    left, top, right, bottom = made.box
    assert (right - left, bottom - top) == (200, 67)
    across, down = ALIGNED[align]
    assert abs(left - (40 + across * (340 - 200))) <= 1
    assert abs(top - (10 + down * (260 - 67))) <= 1


def test_what_hangs_below_the_baseline_lifts_nothing() -> None:
    """A lace of two pixels' width reaches 30 pixels below a shoe of 200."""
    shoe = bar(200, 100, margin=60)
    laced = shoe.copy()
    laced[160:190, 150:152] = (10, 10, 10, 255)
    rendition = Rendition(name="a", canvas=400, margin="20", fill=0.5, align="baseline")
    plain, hanging = (compose(rendition, Subject(one)).box for one in (shoe, laced))
    assert plain[3] == 380
    assert abs(hanging[1] - plain[1]) <= 1
    assert hanging[3] == 400  # the lace goes into the margin, and is cut at the frame
    bottom = compose(
        Rendition(name="a", canvas=400, margin="20", fill=0.5, align="bottom"), Subject(laced)
    )
    assert bottom.box[3] == 380


@pytest.mark.slow
@given(
    seed=st.integers(0, 400),
    canvas=st.sampled_from([120, 333, "200x300", "640x201", 900]),
    fill=st.floats(0.3, 1.0),
    align=st.sampled_from(["center", "bottom", "top-left"]),
    background=st.sampled_from(["white", "transparent"]),
)
@example(59, 333, 0.9443506916372844, "center", "white")  # its edges fell under 2 %
@settings(max_examples=60)
def test_the_box_is_within_a_pixel_of_what_was_asked(
    seed: int, canvas: int | str, fill: float, align: str, background: str
) -> None:
    subject = Subject(product(seed, (420, 360)))
    asked = {"canvas": canvas, "fill": fill, "align": align, "upscale": 8}
    made = compose(Rendition(name="a", background=background, format="png", **asked), subject)
    height, width = made.pixels.shape[:2]
    assert subject.box is not None
    left, top, right, bottom = subject.box
    # The product's colours are dark: over white, its alpha of 2 % shows within a pixel of its box.
    white = background == "white"
    box = box_of(255 - made.pixels.min(axis=2) if white else made.pixels[..., 3])
    assert box is not None
    assert max(abs(a - b) for a, b in zip(box, made.box, strict=True)) <= white
    # A pixel at each side.
    fills = fill * width / (right - left), fill * height / (bottom - top)
    scale = min(*fills, 8)
    asked_extents = (scale * (right - left), scale * (bottom - top))
    axis = fills.index(min(fills))
    left, top, right, bottom = made.box
    assert abs((right - left, bottom - top)[axis] - asked_extents[axis]) <= 2
    # Where it is aligned, only rounding to whole pixels is left.
    if align == "top-left":
        assert abs(left - width * (1 - fill) / 2) <= 0.5
        assert abs(top - height * (1 - fill) / 2) <= 0.5
    else:
        assert abs((left + right) / 2 - width / 2) <= 0.5
        down = ((top + bottom) / 2, height / 2)
        if align == "bottom":
            down = (bottom, height * (1 + fill) / 2)
        assert abs(down[0] - down[1]) <= 0.5


def test_a_veil_moves_nothing() -> None:
    """Alpha of 2 % all over, and one dense disc: the disc alone is placed."""
    rgba = disc(400, 50)
    veiled = rgba.copy()
    veiled[..., 3] = np.maximum(veiled[..., 3], 5)
    rendition = Rendition(name="a", canvas=300)
    plain, other = (compose(rendition, Subject(one)) for one in (rgba, veiled))
    assert plain.box == other.box
    assert (other.pixels[0] == 255).all() and (other.pixels[:, 0] == 255).all()


def test_a_trace_of_a_shadow_moves_nothing() -> None:
    """Alpha of 4 %, some pixels below the subject, where nothing else is."""
    rgba = bar(200, 200)
    traced = rgba.copy()
    traced[250:279, 60:120] = (0, 0, 0, 10)
    plain, other = (
        compose(Rendition(name="a", canvas=300), Subject(one)) for one in (rgba, traced)
    )
    assert plain.box == other.box
    assert (plain.pixels == other.pixels).all()


def test_what_is_faint_all_over_is_the_subject_nevertheless() -> None:
    rgba = bar(200, 100)
    rgba[..., 3] = np.where(rgba[..., 3] > 0, 10, 0)
    assert Subject(rgba).box == (40, 40, 240, 140)


def test_fine_tips_that_vanish_do_not_leave_the_rest_small() -> None:
    """A pixel-wide antenna of 4 % alpha is under 2 % once it is made smaller."""
    rgba = bar(400, 400, margin=600)
    rgba[100:600, 800] = (20, 20, 20, 10)
    subject = Subject(rgba)
    made = compose(Rendition(name="a", canvas=100), subject)
    box = box_of(255 - made.pixels.min(axis=2))
    assert box is not None
    assert math.isclose(max(box[2] - box[0], box[3] - box[1]), 85, abs_tol=2)


def test_fine_tips_that_come_back_with_the_scale_do_not_push_the_rest_out() -> None:
    rgba = bar(400, 400, margin=600)
    rgba[100:600, 800] = (20, 20, 20, 50)
    made = compose(Rendition(name="a", canvas=100), Subject(rgba))
    assert made.box[1] >= 7 and made.box[3] <= 93


def test_upscaling_stops_at_its_limit_and_is_told() -> None:
    subject = Subject(bar(100, 100))
    never = compose(Rendition(name="a", canvas=1000), subject)
    assert (never.box, never.filled) == ((450, 450, 550, 550), False)
    twice = compose(Rendition(name="a", canvas=1000, upscale=2), subject)
    assert (twice.scale, twice.filled) == (2, False)
    all_of_it = compose(Rendition(name="a", canvas=500, upscale=8), subject)
    assert (all_of_it.scale, all_of_it.filled) == (4.25, True)


def test_source_keeps_the_frame() -> None:
    rgba = disc(200, 60)
    made = compose(Rendition(name="a", canvas="source", format="png"), Subject(rgba))
    assert made.pixels.shape == (200, 200, 3)
    assert made.box == Subject(rgba).box
    half = compose(Rendition(name="a", canvas="source", max_side=100), Subject(rgba))
    assert half.pixels.shape == (100, 100, 3)
    assert half.box == pytest.approx((20, 20, 80, 80), abs=1)


def test_a_canvas_that_the_subject_makes_is_bounded() -> None:
    """Without a bound, a fill or a margin of the user's makes a canvas of gigapixels."""
    layout = lay_out(Rendition(canvas="1:1", fill=0.01), Size(4000, 3000), Size(5000, 4000))
    assert (layout.width, layout.height) == (10_000, 10_000)
    with pytest.raises(ValueError, match="margin: '48%' makes 65525 x 49150 pixels"):
        lay_out(Rendition(canvas="fit", margin="48%"), Size(4000, 3000), Size(5000, 4000))
