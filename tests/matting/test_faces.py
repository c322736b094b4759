"""Round faces that a network takes for what a hoop encloses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.faces import fill_faces

SIDE = 400
Colour = tuple[int, int, int]


def ring(
    face: Colour | None, backdrop: Colour = (245, 245, 245), *, square: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What a network says of a rim, all of whose inside it opens; and the picture."""
    rng = np.random.default_rng(3)
    light = np.linspace(1, 0.93, SIDE)[:, None, None]  # the light falls off over all of it
    picture = np.full((SIDE, SIDE, 3), backdrop, np.float32)
    rim, inside = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for plane, reach in ((rim, 120), (inside, 108)):
        if square:
            cv2.rectangle(plane, (200 - reach, 200 - reach), (200 + reach, 200 + reach), 1, -1)
        else:
            cv2.circle(plane, (200, 200), reach, 1, -1, cv2.LINE_AA)
    picture[rim > 0] = (40, 60, 120)
    picture[inside > 0] = backdrop if face is None else face
    picture = picture * light + rng.normal(0, 1, picture.shape)
    alpha = (rim & (1 - inside)).astype(np.float32) * np.float32(0.99)
    return alpha, np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("face", [(225, 225, 225), (245, 232, 210), (150, 155, 160)])
def test_a_face_of_another_colour_is_filled(face: Colour) -> None:
    alpha, picture = ring(face)
    assert fill_faces(alpha, picture) == (True, 0.0)
    assert (alpha[100:300, 190:210] == 1).all() and not alpha[:70].any()


def test_a_hoop_stays_open_before_a_background_that_goes_on_behind_it() -> None:
    for backdrop in ((245, 245, 245), (200, 150, 150)):
        alpha, picture = ring(None, backdrop)
        picture[250:, :] = picture[250:, :] * 0.6  # a wall, and a table that begins behind it
        assert fill_faces(alpha, picture) == (False, 0.0)
        assert not alpha[150:250, 150:250].any()


def test_a_hoop_with_a_shadow_on_one_side_stays_open() -> None:
    alpha, picture = ring(None)
    shadow = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(shadow, (212, 214), 114, 1, 14)
    dark = (shadow > 0) & (alpha < 0.5)
    picture[dark] = picture[dark] * 0.6
    assert not fill_faces(alpha, picture).filled


def test_a_frame_is_no_face() -> None:
    alpha, picture = ring((225, 225, 225), square=True)
    assert fill_faces(alpha, picture) == (False, 0.0)


def test_what_is_nearly_the_background_is_in_doubt() -> None:
    alpha, picture = ring((240, 240, 240))
    found = fill_faces(alpha, picture)
    assert not found.filled and found.doubted > 1


def test_a_clock_of_the_background_s_colour_is_in_doubt() -> None:
    alpha, picture = ring(None)
    alpha[140:210, 196:204] = 1
    picture[140:210, 196:204] = 20
    found = fill_faces(alpha, picture)
    assert not found.filled and found.doubted > 1


class Rim:
    """A network that opens a plate."""

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return ring(None)[0]


def test_a_plate_is_whole_in_the_result_and_a_doubtful_one_is_flagged() -> None:
    core = MattingCore(Rim())
    _, picture = ring((215, 215, 215))
    matte = core.remove(picture)
    assert (matte.alpha[100:300, 150:250] == 255).all()
    assert "part_removed" not in matte.flags
    assert "part_removed" in core.remove(ring((240, 240, 240))[1]).flags
