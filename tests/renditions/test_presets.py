"""Presets: every number has its source, and every rule is one that is checked."""

from __future__ import annotations

import re

import pytest

from alphabeam.transforms.renditions import RULES, load_preset, preset_names, rendition_of


def test_the_channels_that_were_asked_for_are_there() -> None:
    asked = {
        *("amazon-main", "google-merchant", "walmart", "ebay", "zalando", "otto", "bol"),
        *("etsy", "shopify"),
    }
    assert asked <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_rule_has_a_source_and_a_day(name: str) -> None:
    preset = load_preset(name)
    assert preset.title and preset.notes and preset.rules
    for rule in preset.rules.values():
        assert rule.name in RULES
        assert re.match(r"https?://\S+$|not read: |alphabeam: ", rule.source), rule
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", rule.checked)
    assert rendition_of({"preset": name}).name == name


def test_a_version_is_named_and_kept() -> None:
    current = load_preset("amazon-main")
    assert load_preset(f"amazon-main@{current.version}").rules == current.rules
    with pytest.raises(ValueError, match="preset: 'amazon-main' has no version '1999'"):
        load_preset("amazon-main@1999")
    with pytest.raises(ValueError, match="preset: there is no 'amazn'"):
        load_preset("amazn")


def test_what_is_set_beside_a_preset_goes_before_it() -> None:
    own = rendition_of({"preset": "amazon-main", "quality": 80, "name": "front"})
    assert (own.name, own.quality, own.fill) == ("front", 80, 0.86)
    assert rendition_of({"preset": "amazon-main", "canvas": 1500}).max_side is None
    assert rendition_of({"preset": "amazon-main", "margin": "5%"}).fill is None
    assert rendition_of({"preset": "amazon-main", "format": "png"}).quality is None


def test_a_rendition_needs_a_name_and_known_settings() -> None:
    with pytest.raises(ValueError, match="name: a rendition has a name"):
        rendition_of({"canvas": 100})
    with pytest.raises(ValueError, match="colour: a rendition has no such setting"):
        rendition_of({"name": "a", "colour": "red"})
