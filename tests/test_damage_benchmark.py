"""``benchmarks/damage.py``: its scenes are true, and it sees what a result loses or keeps."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "damage", raising=False)
    import damage

    return damage


def test_scenes_are_the_same_each_time_and_true(damage: ModuleType) -> None:
    cutouts = damage._cutouts()
    assert len(cutouts) > 10
    for make in damage.KINDS.values():
        one, other = (make(np.random.default_rng([7, 1]), cutouts) for _ in range(2))
        assert np.array_equal(one.picture, other.picture)
        assert np.array_equal(one.alpha, np.max(one.products, axis=0))
        perfect = damage.judge(one, one.alpha, ())
        assert not perfect.damaged


def test_what_is_lost_removed_or_kept_is_seen(damage: ModuleType) -> None:
    scene = damage.layouts(np.random.default_rng(3), damage._cutouts())
    without = scene.alpha.copy()
    without[scene.products[0] > 0] = 0
    found = damage.judge(scene, without, ("several_subjects",))
    assert found.lost == 1 and found.removed > 0.01 and found.damaged and not found.flagged
    assert damage.judge(scene, without, ("component_dropped",)).flagged

    more = scene.alpha.copy()
    more[-60:, :60] = 255
    beyond = damage.judge(scene, more, ())
    assert beyond.lost == 0 and beyond.removed == 0
    assert beyond.kept > 0.005 or scene.alpha[-60:, :60].any()
