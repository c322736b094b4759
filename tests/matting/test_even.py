"""Even backgrounds: shadows, loops, reflections, parts left out, products that fill the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.cast_shadow import drop_cast_shadow
from alphabeam.transforms.matting.even import even_background
from alphabeam.transforms.matting.frame import seems_to_fill_the_frame
from alphabeam.transforms.matting.left_out import fill_left_out, left_out_share
from alphabeam.transforms.matting.loops import open_loops
from alphabeam.transforms.matting.reflections import drop_reflection
from alphabeam.transforms.parameters import MattingParameters
from tests.matting.scenes import Constant

Image = NDArray[np.uint8]
SIDE = 400


def studio(seed: int = 0, *, level: float = 240, fall: float = 6, noise: float = 1) -> Image:
    """An even background, darker to the right, with a camera's noise."""
    rng = np.random.default_rng(seed)
    plane = level - fall * np.linspace(0, 1, SIDE)[None, :, None]
    picture = plane + rng.normal(0, noise, (SIDE, SIDE, 3))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def filled(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What a network that fills loops answers."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(out, contours, -1, 1, cv2.FILLED)
    return cv2.GaussianBlur(out.astype(np.float32), (0, 0), 1)


def ring(picture: Image, width: int, shape: str = "circle", colour=(150, 120, 60)):
    """Draws a loop; gives the picture, where the loop is, and where its inside is."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if shape == "circle":
        cv2.circle(mask, (200, 200), 110, 1, width, cv2.LINE_8)
    else:
        cv2.rectangle(mask, (90, 100), (300, 310), 1, width)
    whole = filled(mask > 0) > 0.5
    out = picture.copy()
    out[mask > 0] = colour
    return out, mask > 0, whole & (mask == 0)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("width", [1, 3, 8, 12])
@pytest.mark.parametrize("noise", [0, 1, 2])
def test_inside_of_a_thin_loop_is_the_background(shape: str, width: int, noise: float) -> None:
    picture, loop, inside = ring(studio(noise=noise), width, shape)
    alpha = filled(loop)
    background = even_background(alpha, picture)
    assert background is not None and open_loops(alpha, background)
    core = cv2.erode(inside.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not alpha[core].any()
    assert (alpha[loop] > 0.5).mean() > 0.6, "the loop itself stays"


def test_a_loop_of_which_the_network_left_out_a_part_is_opened() -> None:
    picture, loop, inside = ring(studio(), 6, "square")
    alpha = filled(loop)
    alpha[:, 260:] = 0  # the right side of the frame is taken for background
    background = even_background(alpha, picture)
    assert background is not None and background.is_bare
    assert open_loops(alpha, background)
    seen = cv2.erode(inside.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not alpha[:, :255][seen[:, :255]].any()


def test_a_loop_is_as_thin_as_it_is_in_the_whole_picture() -> None:
    picture, loop, _ = ring(studio(), 24, "square")
    alpha = filled(loop)
    background = even_background(alpha, picture)
    assert background is not None
    assert not open_loops(alpha, background), "6 % of the picture: a white sign with a border"
    assert open_loops(alpha, background, side=2 * SIDE), "3 % of a picture of which this is a half"


@pytest.mark.parametrize(
    ("colour", "width", "across"),
    [
        ((70, 150, 180), 0.01, 0.5),
        ((70, 150, 180), 0.005, 0.35),
        ((30, 30, 30), 0.01, 0.7),
        ((30, 30, 30), 0.005, 0.2),
        ((200, 120, 160), 0.01, 0.35),
    ],
)
def test_a_flat_frame_is_no_shadow_of_its_inside(colour, width: float, across: float) -> None:
    side = 700
    large = np.zeros((2 * side, 2 * side), np.uint8)
    reach = int(side * across)
    near, far = (side - reach,) * 2, (side + reach,) * 2
    cv2.rectangle(large, near, far, 255, int(2 * side * width))
    frame = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    share = frame[..., None] / 255
    picture = np.rint(250 * (1 - share) + np.array(colour) * share).astype(np.uint8)
    alpha = MattingCore().remove(picture).alpha
    inside = (side - reach) // 2 + 12
    assert (alpha[inside : side - inside, inside : side - inside] < 64).mean() > 0.98
    assert (alpha[frame > 250] > 127).mean() > 0.95


def face(kind: str) -> tuple[Image, NDArray[np.bool_]]:
    """A product that is not open, though the network's answer is the same as for a loop."""
    picture = studio()
    thick = kind == "thick border"
    picture, loop, inside = ring(picture, 40 if thick else 3, "square")
    if kind == "print":
        cv2.putText(picture, "TEA", (130, 230), cv2.FONT_HERSHEY_DUPLEX, 2.4, (40, 40, 40), 5)
    elif kind == "own light":
        picture[inside] = np.clip(picture[inside].astype(int) + 4, 0, 255)
    elif kind == "own shading":
        shade = np.linspace(-8, 8, SIDE)[:, None, None].astype(int)
        shaded = np.clip(picture.astype(int) + shade, 0, 255).astype(np.uint8)
        picture[inside] = shaded[inside]
    return picture, loop


@pytest.mark.parametrize("kind", ["print", "own light", "own shading", "thick border"])
def test_a_white_product_on_white_stays_whole(kind: str) -> None:
    picture, loop = face(kind)
    alpha = filled(loop)
    background = even_background(alpha, picture)
    assert background is not None
    assert not open_loops(alpha, background)
    assert alpha[200, 200] > 0.99


def test_no_background_is_even_that_is_not() -> None:
    checks = np.kron(np.indices((20, 20)).sum(0) % 2, np.ones((20, 20))).astype(np.uint8)
    picture = np.dstack([200 + 30 * checks] * 3).astype(np.uint8)
    picture, loop, _ = ring(picture, 3)
    assert even_background(filled(loop), picture) is None
    assert even_background(np.ones((SIDE, SIDE), np.float32), studio()) is None, "nothing is seen"


def product(seed: int, height: int = 150) -> tuple[Image, NDArray[np.uint8]]:
    """Something with colours of its own, and its mask."""
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 220, (6, 5, 3)).astype(np.uint8)
    colours = cv2.resize(small, (170, height), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((height, 170), np.uint8)
    cv2.ellipse(mask, (85, height // 2), (80, height // 2 - 1), 0, 0, 360, 1, -1)
    mask[height // 2 :, 30:140] = 1
    return colours, mask


def on_gloss(seed: int, strength: float, fade: float = 1.0) -> tuple[Image, NDArray[np.float32]]:
    """A product on a glossy table, and what a network answers that takes in its reflection."""
    picture = studio(seed).astype(np.float32)
    colours, mask = product(seed)
    height, width = mask.shape
    top, left = 40, 115
    alpha = np.zeros((SIDE, SIDE), np.float32)

    def lay(colours: Image, mask: NDArray[np.uint8], at: int, share: NDArray[np.float64]) -> None:
        here = picture[at : at + height, left : left + width]
        weight = (mask * share)[..., None]
        here += weight * (colours - here)
        alpha[at : at + height, left : left + width] = np.maximum(
            alpha[at : at + height, left : left + width], mask * (share > 0.02)
        )

    lay(colours, mask, top, np.ones((height, 1)))
    down = strength * np.linspace(1, 1 - fade, height)[:, None]
    lay(colours[::-1], mask[::-1], top + height, np.clip(down, 0, 1))
    return np.rint(picture).astype(np.uint8), cv2.GaussianBlur(alpha, (0, 0), 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [0.2, 0.4, 0.6])
def test_a_reflection_is_no_product(seed: int, strength: float) -> None:
    picture, alpha = on_gloss(seed, strength)
    background = even_background(alpha, picture)
    assert background is not None and drop_reflection(alpha, background)
    assert not alpha[196:].any() and alpha[184, 200] > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_a_symmetric_product_stays_whole(seed: int) -> None:
    picture, alpha = on_gloss(seed, 1.0, fade=0.0)
    background = even_background(alpha, picture)
    assert background is not None
    assert not drop_reflection(alpha, background)
    assert alpha[300, 200] > 0.5


def test_what_was_done_is_flagged() -> None:
    picture, loop, inside = ring(studio(), 6)
    matte = MattingCore(Constant(filled(loop))).remove(picture)
    assert "part_removed" in matte.flags
    core = cv2.erode(inside.view(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (matte.alpha[core] < 30).mean() > 0.99 and (matte.alpha[loop] > 128).mean() > 0.9

    picture, alpha = on_gloss(1, 0.4)
    matte = MattingCore(Constant(alpha)).remove(picture)
    assert {"reflection_removed", "part_removed"} <= set(matte.flags)


def woven(seed: int) -> Image:
    rng = np.random.default_rng(seed)
    threads = rng.integers(60, 200, 3) + np.indices((300, 300)).sum(0)[..., None] % 7 * 6
    return np.clip(threads + rng.normal(0, 4, (300, 300, 3)), 0, 255).astype(np.uint8)


def test_a_swatch_is_never_empty_in_silence() -> None:
    nothing = MattingCore(Constant(np.zeros((40, 40), np.float32)))
    matte = nothing.remove(woven(1))
    assert matte.flags == ("empty", "fills_frame", "low_confidence")
    assert matte.confidence == 0
    plain = nothing.remove(studio(fall=40, noise=2))
    assert plain.flags == ("empty",), "an empty studio is no swatch"


def test_a_picture_that_is_kept_whole_is_shown_to_a_person() -> None:
    everything = MattingCore(Constant(np.ones((40, 40), np.float32)))
    assert "fills_frame" in everything.remove(studio()).flags
    most = np.full((300, 300), 255, np.uint8)
    most[:30] = 0
    assert not seems_to_fill_the_frame(woven(1), most)


def test_lettering_is_told_from_products() -> None:
    cover = np.zeros((600, 600), np.uint8)
    for row, text in enumerate(("THE LONG", "ROAD HOME")):
        cv2.putText(cover, text, (40, 200 + 90 * row), cv2.FONT_HERSHEY_DUPLEX, 2.4, 255, 5)
    cv2.circle(cover, (300, 450), 90, 255, -1)
    picture = np.full((600, 600, 3), (30, 90, 70), np.uint8)
    assert seems_to_fill_the_frame(picture, cover)
    products = np.zeros((600, 600), np.uint8)
    for n in range(6):  # a set of six, in two lines
        cv2.circle(products, (120 + 180 * (n % 3), 180 + 240 * (n // 3)), 60, 255, -1)
    assert not seems_to_fill_the_frame(picture, products)
    for count, radius in ((4, 50), (8, 20)):  # twelve, and many small ones
        dozens = np.zeros((600, 600), np.uint8)
        for n in range(3 * count):
            place = (40 + n % count * 540 // count, 120 + 170 * (n // count))
            cv2.circle(dozens, place, radius if count == 8 else radius - n % 5, 255, -1)
        assert not seems_to_fill_the_frame(picture, dozens), count


def pale_lid(lid: tuple[int, int, int]) -> tuple[Image, NDArray[np.float32]]:
    """A red box whose lid, enclosed by its rim, is of another colour; the network sees no lid."""
    picture = studio()
    picture[120:300, 100:300] = (170, 40, 40)
    picture[150:190, 130:270] = lid
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[120:300, 100:300] = 1
    alpha[150:190, 130:270] = 0.1
    return picture, cv2.GaussianBlur(alpha, (0, 0), 1)


def test_a_part_of_its_own_colour_is_filled() -> None:
    picture, alpha = pale_lid((250, 225, 220))
    background = even_background(alpha, picture)
    assert background is not None and fill_left_out(alpha, background)
    assert (alpha[155:185, 135:265] == 1).all()
    assert not alpha[:110].any()


@pytest.mark.parametrize(
    "lid",
    [(238, 238, 238), (180, 180, 180), (250, 250, 250)],
    ids=["the background", "the background in shadow", "the background in light"],
)
def test_what_light_makes_of_the_background_is_left_open(lid: tuple[int, int, int]) -> None:
    picture, alpha = pale_lid(lid)
    background = even_background(alpha, picture)
    assert background is not None and not fill_left_out(alpha, background)


def test_coloured_light_beside_a_product_is_left_out() -> None:
    picture, alpha = pale_lid((170, 40, 40))
    alpha[150:190, 130:270] = 1
    picture[302:306, 110:290] = (238, 185, 185)  # the table in front of it
    background = even_background(alpha, picture)
    assert background is not None and not fill_left_out(alpha, background)


def test_a_speck_of_another_colour_is_no_part() -> None:
    picture, alpha = pale_lid((238, 238, 238))
    picture[165:169, 180:184] = (60, 60, 200)
    background = even_background(alpha, picture)
    assert background is not None and not fill_left_out(alpha, background)


def in_hard_light(factor: float = 0.5) -> tuple[Image, NDArray[np.float32], NDArray[np.bool_]]:
    """A bag, its shadow, and its handle's; the network takes the latter for a part of the bag."""
    picture = studio().astype(np.float32)
    thin = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(thin, (300, 230), (50, 30), 0, 150, 390, 1, 6)
    picture[thin > 0] *= factor
    picture[230:300, 200:340] *= factor
    picture[130:300, 100:220] = np.random.default_rng(0).integers(0, 255, 3)
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[130:300, 100:220] = 1
    kept = (thin > 0) & (alpha == 0)
    kept[228:300, 200:340] = False
    alpha[kept] = 1
    return np.rint(picture).astype(np.uint8), cv2.GaussianBlur(alpha, (0, 0), 0.7), kept


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.75])
def test_a_handles_hard_shadow_is_no_handle(factor: float) -> None:
    picture, alpha, shadow = in_hard_light(factor)
    assert drop_cast_shadow(alpha, picture)
    assert alpha[shadow].mean() < 0.05
    assert (alpha[135:295, 105:215] == 1).all(), "the bag stays"


def test_a_handle_of_another_colour_than_the_shadow_stays() -> None:
    picture, alpha, handle = in_hard_light()
    picture[handle] = (90, 130, 100)
    before = alpha[handle].copy()
    drop_cast_shadow(alpha, picture)
    assert (alpha[handle] == before).all()


def test_a_product_of_its_shadows_colour_stays() -> None:
    picture, alpha, _ = in_hard_light()
    picture[130:300, 100:220] = 118  # half of the table's 236
    drop_cast_shadow(alpha, picture)
    assert (alpha[135:295, 105:215] == 1).all()


def test_a_dark_frame_around_the_bare_table_is_no_shadow() -> None:
    picture = studio(noise=0, fall=0)
    cv2.rectangle(picture, (90, 100), (300, 310), (118, 118, 118), 4)
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[98:313, 88:270] = 1  # the network takes the frame's right side for background
    before = alpha.copy()
    assert not drop_cast_shadow(alpha, picture) and (alpha == before).all()


def test_without_a_hard_shadow_beside_it_nothing_is_one() -> None:
    picture, alpha, handle = in_hard_light()
    soft = studio()
    fading = np.linspace(0.3, 1, 140)[None, :, None]
    picture[230:300, 200:340] = np.rint(soft[230:300, 200:340] * fading)
    picture[130:300, 100:220] = (170, 40, 40)
    assert not drop_cast_shadow(alpha, picture) and alpha[handle].mean() > 0.5


def beside(colour: tuple[int, int, int], left: int) -> tuple[Image, Image]:
    """A red box, and something of another colour that is not in the result."""
    picture = studio()
    picture[120:300, 100:300] = (170, 40, 40)
    picture[180:200, left : left + 40] = colour
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[120:300, 100:300] = 255
    return picture, alpha


@pytest.mark.parametrize(
    ("colour", "left", "missing"),
    [
        ((40, 60, 180), 300, True),
        ((200, 190, 120), 300, True),
        ((90, 90, 90), 300, False),  # a shadow
        ((236, 236, 236), 300, False),
        ((40, 60, 180), 350, False),  # a seller's mark, say: it stands apart
    ],
)
def test_a_part_that_is_missing_beside_the_product_is_found(
    colour: tuple[int, int, int], left: int, missing: bool
) -> None:
    picture, alpha = beside(colour, left)
    background = even_background(alpha.astype(np.float32) / 255, picture)
    assert background is not None
    share = left_out_share(alpha, background)
    assert share == pytest.approx(800 / 36_000, rel=0.1) if missing else share == 0
    whole = np.maximum(alpha, 255 * (picture[..., 0] < 205).astype(np.uint8))
    assert left_out_share(whole, background) == 0


@pytest.mark.parametrize(
    ("seen", "left", "filled"),
    [
        (60, 340, True),  # a second product, of which the network saw a part
        (60, 302, False),  # it lies beside the first: coloured light, perhaps
        (3, 340, False),  # the network saw next to nothing of it
        (60, 380, False),  # the frame cuts it
    ],
)
def test_another_product_is_found_whole_or_not_at_all(seen: int, left: int, filled: bool) -> None:
    picture, alpha = beside((40, 60, 180), left)
    right = min(left + 40, SIDE)
    network = alpha.astype(np.float32) / 255
    network[182:198, left + 2 : left + 2 + seen // 2] = 0.3
    network[:, right:] = 0
    background = even_background(network, picture)
    assert background is not None
    before = network.copy()
    assert fill_left_out(network, background) is filled
    if filled:
        assert network[182:198, left + 2 : left + 38].min() == 1
        network[178:202, left - 2 : left + 42] = before[178:202, left - 2 : left + 42]
    assert np.array_equal(network, before)


def test_what_is_missing_is_flagged_in_the_picture_but_not_beyond_a_box() -> None:
    picture, alpha = beside((40, 60, 180), 300)
    core = MattingCore(Constant(alpha.astype(np.float32) / 255))
    matte = core.remove(picture, MattingParameters(hair_optimization="off"))
    assert "part_removed" in matte.flags
    boxed = MattingParameters(hair_optimization="off", box=(90, 110, 300, 310))
    assert "part_removed" not in core.remove(picture, boxed).flags
