"""``benchmarks/nights.py`` itself: nights that are right, and that it sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.slow


def test_nights_that_are_right_and_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import nights

    def damaged(shop: nights.Fortnight) -> None:
        """Nothing runs; one cutout is another's, and one row was not asked for."""
        (shop.out / "cutouts/p0.png").write_bytes((shop.out / "cutouts/p1.png").read_bytes())
        del shop.seeds["p5"]
        shop.judge("damaged", worked=1, statuses=())

    chosen = (nights.good_nights, nights.unmounted, damaged)
    assert nights.fortnight("local", tmp_path, rows=6, kills=0, seed=0, nights=chosen) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:6]] == ["ok"] * 4 + ["WRONG"]
    assert "done   0  worked   0" in lines[3], "the share was not mounted"
    assert "not asked for ['p5']" in lines[6]
    assert "0 rows worked on instead of 1" in lines[7]
    assert "not right: ['p0']" in lines[8]
