"""The pixels of renditions: light, fringes, backgrounds, shadows, sharpening."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from alphabeam.transforms.renditions.compose import EmptySubjectError, _whiten_outside, compose
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject, without_veil
from tests.renditions.subjects import bar, disc, product


def test_fine_detail_is_averaged_in_linear_light() -> None:
    """Black and white lines, one pixel each: half the light is 188, not 128."""
    rgba = bar(200, 200, margin=0)
    rgba[:, ::2, :3], rgba[:, 1::2, :3] = 0, 255
    small, _, _ = Subject(rgba).resampled(0.5)
    assert np.abs(small[50, 50, :3].astype(int) - 188).max() <= 1


@pytest.mark.parametrize("scale", [0.17, 0.5, 1.0, 2.3])
def test_no_colour_of_what_is_transparent_gets_into_an_edge(scale: float) -> None:
    """The colours at alpha 0 are bright green, and none of them may show."""
    rgba = disc(300, 90, (200, 30, 30))
    rgba[rgba[..., 3] == 0, :3] = (0, 255, 0)
    large, _, _ = Subject(rgba).resampled(scale)
    seen = large[large[..., 3] > 0]
    assert (seen[:, 1] <= 32).all() and (seen[:, 0] >= 196).all()


def test_on_black_and_on_white_an_edge_is_a_mixture_of_the_two() -> None:
    subject = Subject(disc(300, 90, (200, 30, 30)))
    on = {
        name: compose(Rendition(name="a", canvas=150, background=name), subject).pixels
        for name in ("white", "black")
    }
    alpha = 1 - (on["white"].astype(float) - on["black"]).mean(2) / 255
    red = on["black"][..., 0] / np.maximum(alpha, 0.2)
    assert np.abs(red[alpha > 0.2] - 200).max() < 16


@pytest.mark.parametrize("background", ["white", "#f4f4f4", "black", "tomato"])
def test_a_colour_is_exactly_that_wherever_there_is_no_subject(background: str) -> None:
    rgba = product(4)
    made = compose(Rendition(name="a", canvas=400, background=background), Subject(rgba))
    colour = made.pixels[0, 0]
    inside = np.zeros(made.pixels.shape[:2], bool)
    left, top, right, bottom = made.box
    inside[top:bottom, left:right] = True
    assert (made.pixels[~inside] == colour).all()
    # And no pixel anywhere is nearly that colour because of a trace of the subject.
    near = (np.abs(made.pixels.astype(int) - colour) <= 5).all(2)
    exact = (made.pixels == colour).all(2)
    assert (near == exact).mean() > 0.999


def test_gradients_and_images_lie_behind() -> None:
    subject = Subject(disc(100, 20))
    linear = compose(
        Rendition(name="a", canvas=200, background="linear-gradient(white, black)"), subject
    ).pixels
    assert linear[0, 0, 0] >= 253 and linear[-1, 0, 0] <= 2
    assert (np.diff(linear[:, :8].mean((1, 2))) <= 0.6).all()
    radial = compose(
        Rendition(name="a", canvas=200, background="radial-gradient(white, black)"), subject
    ).pixels
    assert radial[0, 0, 0] < 5 and radial[100, 10, 0] > radial[5, 5, 0]
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, 50:] = 255
    behind = compose(
        Rendition(name="a", canvas=200, background="marble.png"), subject, image
    ).pixels
    assert behind[0, 10, 0] == 0 and behind[0, 190, 0] == 255


def test_a_drop_shadow_is_the_shape_displaced() -> None:
    rendition = Rendition(
        name="a", canvas=400, fill=0.5, shadow="drop", shadow_opacity=0.5,
        shadow_offset="40 60", shadow_blur=0,
    )  # fmt: skip
    made = compose(rendition, Subject(bar(200, 200)))
    assert made.box == (100, 100, 300, 300)
    assert abs(int(made.pixels[330, 200, 0]) - 128) <= 1  # below the subject
    assert abs(int(made.pixels[200, 330, 0]) - 128) <= 1  # at its right
    assert (made.pixels[90, :, 0] == 255).all()


def test_a_contact_shadow_lies_where_the_subject_stands() -> None:
    rendition = Rendition(name="a", canvas=400, fill=0.5, shadow="contact")
    made = compose(rendition, Subject(bar(200, 200)))
    below = made.pixels[303, 120:280, 0]
    assert below.max() < 250
    assert (made.pixels[:295, :98] == 255).all()
    assert (made.pixels[-1] == 255).all() and (made.pixels[0] == 255).all()


def test_a_shadow_on_transparent_ground_is_black_with_alpha() -> None:
    rendition = Rendition(
        name="a", canvas=400, fill=0.5, format="png", background="transparent", shadow="drop",
        shadow_offset="0 60", shadow_blur=0, shadow_opacity=0.4,
    )  # fmt: skip
    made = compose(rendition, Subject(bar(200, 200))).pixels
    assert tuple(made[340, 200]) == (0, 0, 0, 102)
    assert tuple(made[200, 200]) == (60, 90, 120, 255)


def test_a_kept_shadow_shows_and_moves_nothing() -> None:
    """Black with alpha beside the subject, as the matting core leaves it."""
    rgba = bar(200, 200, margin=100)
    rgba[300:340, 100:300] = (0, 0, 0, 90)
    made = compose(
        Rendition(name="a", canvas=400, fill=0.5, shadow="keep"), Subject(rgba, shadow=True)
    )
    assert made.box == (100, 100, 300, 300)
    assert abs(int(made.pixels[320, 200, 0]) - 165) <= 1


def test_sharpening_raises_detail_and_leaves_outline_and_background() -> None:
    rgba = product(7)
    plain, sharp = (
        compose(Rendition(name="a", canvas=300, sharpen=amount), Subject(rgba)).pixels
        for amount in (0.0, 1.0)
    )
    subject = (plain < 255).any(2).astype(np.uint8)
    background = cv2.dilate(subject, np.ones((5, 5), np.uint8)) == 0
    assert (sharp[background] == 255).all()
    detail = [cv2.Laplacian(one, cv2.CV_32F)[140:160, 140:160].std() for one in (plain, sharp)]
    assert detail[1] > 1.3 * detail[0]


def test_a_mask_is_the_alpha() -> None:
    rgba = disc(200, 60)
    made = compose(
        Rendition(name="a", content="mask", canvas="source", format="png"), Subject(rgba)
    )
    assert (made.pixels == rgba[..., 3]).all()


def test_an_empty_cutout_is_refused_by_name() -> None:
    with pytest.raises(EmptySubjectError):
        compose(Rendition(name="a", canvas=100), Subject(np.zeros((50, 50, 4), np.uint8)))


def test_the_veils_ramp_is_monotonic_and_changes_nothing_above_it() -> None:
    values = np.arange(256, dtype=np.uint8)[None]
    thin = without_veil(values)[0].astype(int)
    assert (np.diff(thin) >= 0).all()
    assert (thin[:6] == 0).all() and (thin[12:] == np.arange(12, 256)).all()


def test_a_clear_rim_goes_over_into_white_and_what_is_enclosed_stays() -> None:
    """A disc of 253 with a grey ring in it: outside the ring it is white, inside it is 253."""
    rgba = disc(400, 150, (253, 253, 253))
    ring = disc(400, 90)[..., 3].astype(int) - disc(400, 70)[..., 3]
    rgba[ring > 128, :3] = 120
    pixels = compose(Rendition(name="a", canvas=400, fill=0.75), Subject(rgba)).pixels
    assert (pixels[60:75, 200] == 255).all()
    assert (pixels[195:205, 200] == 253).all()
    on_grey = compose(
        Rendition(name="a", canvas=400, fill=0.75, background="#fafafa"), Subject(rgba)
    ).pixels
    assert (on_grey[62:75, 200] == 253).all()


@pytest.mark.parametrize(("side", "kept"), [(1, False), (4, True)])
def test_a_lone_pixel_that_a_jpeg_would_fade_is_white(side: int, kept: bool) -> None:
    """It is ten levels from white; beside what is seen, and in a group, it stays."""
    part = np.full((80, 80, 3), 255, np.uint8)
    part[20:60, 20:60] = 40
    part[40:44, 62:64] = 245
    part[70 : 70 + side, 40 : 40 + side] = 245
    _whiten_outside(part)
    assert (part[70 + side // 2, 40 + side // 2] == (245 if kept else 255)).all()
    assert (part[41, 62] == 245).all() and (part[30, 30] == 40).all()
