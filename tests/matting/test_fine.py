"""A look at fine parts: openwork is seen at twice the resolution, and nothing else is touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.fine import look_at_fine_parts
from tests.matting.scenes import Constant


@pytest.fixture(scope="module")
def network():
    return MattingCore().network


def wire_basket(side=1000):
    """A lattice of dark wires, 5 pixels wide, on a pale background: the picture and its truth."""
    truth = np.zeros((side, side), np.uint8)
    low, high = side // 5, side - side // 5
    for at in range(low, high + 1, (high - low) // 14):
        cv2.line(truth, (at, low), (at, high), 255, 5, cv2.LINE_AA)
        cv2.line(truth, (low, at), (high, at), 255, 5, cv2.LINE_AA)
    cv2.rectangle(truth, (low, low), (high, high), 255, 12, cv2.LINE_AA)
    share = truth[..., None] / np.float32(255)
    picture = np.float32((222, 218, 210)) * (1 - share) + np.float32((120, 60, 30)) * share
    return np.rint(picture).astype(np.uint8), truth


def error(alpha, truth):
    size = truth.shape[::-1]
    return np.abs(cv2.resize(alpha, size) - truth / np.float32(255)).mean()


def test_openwork_is_seen_at_twice_the_resolution(network):
    rgb, truth = wire_basket()
    first = network.infer(rgb, network.input_size)
    again = look_at_fine_parts(network, rgb, first)
    assert again.shape == (2 * first.shape[0], 2 * first.shape[1]) and again.dtype == np.float32
    assert again.min() >= 0 and again.max() <= 1
    assert error(again, truth) < 0.8 * error(first, truth)


def test_where_the_first_look_is_decided_it_stays(network):
    rgb, _ = wire_basket()
    first = network.infer(rgb, network.input_size)
    again = look_at_fine_parts(network, rgb, first)
    twice = cv2.resize(first, again.shape[::-1], interpolation=cv2.INTER_LINEAR)
    undecided = ((twice > 0.04) & (twice < 0.96)).astype(np.uint8)
    far = cv2.dilate(undecided, np.ones((7, 7), np.uint8)) == 0
    assert far.mean() > 0.2
    assert np.array_equal(again[far], twice[far])


def test_what_is_solid_is_not_looked_at_again(network, monkeypatch):
    rgb = np.full((900, 900, 3), 230, np.uint8)
    cv2.circle(rgb, (450, 450), 250, (40, 90, 160), -1)
    first = network.infer(rgb, network.input_size)
    monkeypatch.setattr(type(network), "infer", lambda *_: pytest.fail("it was looked at"))
    assert look_at_fine_parts(network, rgb, first) is first


def test_a_picture_without_finer_detail_is_not_looked_at_again(network, monkeypatch):
    rgb, truth = wire_basket()
    small = cv2.resize(rgb, (500, 500), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(truth, (416, 416), interpolation=cv2.INTER_AREA) / np.float32(255)
    monkeypatch.setattr(type(network), "infer", lambda *_: pytest.fail("it was looked at"))
    assert look_at_fine_parts(network, small, alpha) is alpha


def test_an_answer_that_contradicts_the_first_is_not_taken(network, monkeypatch):
    rgb, truth = wire_basket()
    alpha = cv2.resize(truth, (416, 416), interpolation=cv2.INTER_AREA) / np.float32(255)
    monkeypatch.setattr(
        type(network), "infer", lambda _, part, size: np.zeros((size, size), np.float32)
    )
    assert look_at_fine_parts(network, rgb, alpha) is alpha


def test_a_component_that_a_tile_loses_stays_as_the_first_look_saw_it(network, monkeypatch):
    rgb, truth = wire_basket()
    cv2.rectangle(truth, (860, 860), (960, 960), 255, -1)  # something solid beside the basket
    alpha = cv2.resize(truth, (416, 416), interpolation=cv2.INTER_AREA) / np.float32(255)
    alpha[350:405, 350:405] *= np.float32(0.9)  # the first look is undecided about it
    whole = cv2.resize(alpha, (1000, 1000), interpolation=cv2.INTER_LINEAR)
    tiles = [whole[y : y + 510, x : x + 510].copy() for y in (0, 490) for x in (0, 490)]
    tiles[3][340:, 340:] = 0
    answers = iter(tiles)
    monkeypatch.setattr(
        type(network), "infer", lambda _, part, size: cv2.resize(next(answers), (size, size))
    )
    again = look_at_fine_parts(network, rgb, alpha)
    assert again.shape == (832, 832) and not list(answers)
    assert again[722:792, 722:792].min() > 0.85


def test_another_network_is_not_asked_for_tiles():
    rgb, truth = wire_basket()
    alpha = cv2.resize(truth, (416, 416), interpolation=cv2.INTER_AREA) / np.float32(255)
    assert look_at_fine_parts(Constant(1.0), rgb, alpha) is alpha
