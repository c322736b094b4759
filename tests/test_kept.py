"""Pictures that change their ids: nothing is done again, and no result is another's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest

from alphabeam.transforms.metadata import commit
from tests.conftest import Shop, encoded, product

pytestmark = pytest.mark.slow

COUNT = 6
FillShop = Callable[..., Shop]
Order = Callable[[int], int]


def arranged(shop: Shop, order: Order, count: int = COUNT) -> None:
    """A manifest in which the ids 0, 1, … have other pictures."""
    rows = (f"{n},images/{order(n)}.png" for n in range(count))
    shop.manifest("id,image\n" + "\n".join(rows) + "\n")


def night_of(count: int, shop: Shop, *, wider: int = 0) -> dict[int, bytes]:
    """The first night: each id's own picture. Gives the cutouts by picture.

    All are of one size, and so are their cutouts' files; or each is wider than the one before.
    """
    for n in range(count):
        shop.picture(f"images/{n}.png", data=encoded(product(n, 80 + wider * n)))
    arranged(shop, lambda n: n, count)
    shop.write_job()
    assert shop.run() == 0
    return {n: (shop.out / f"cutouts/{n}.png").read_bytes() for n in range(count)}


def assert_right(shop: Shop, order: Order, cutouts: dict[int, bytes], count: int = COUNT) -> None:
    rows = shop.rows()
    assert {row["status"] for row in rows.values()} == {"done"}
    for n in range(count):
        data = (shop.out / f"cutouts/{n}.png").read_bytes()
        assert hashlib.sha256(data).hexdigest() == rows[str(n)]["cutout_sha256"]
        assert order(n) not in cutouts or data == cutouts[order(n)]
    assert not (shop.out / "ledger/kept").exists(), "nothing is kept of a run that is whole"


@pytest.mark.parametrize(
    "order", [lambda n: n ^ 1, lambda n: (n + 1) % COUNT, lambda n: COUNT - 1 - n]
)
@pytest.mark.parametrize("wider", [0, 8])
def test_swapped_and_rotated_pictures_are_not_done_again(
    shop: Shop, order: Order, wider: int
) -> None:
    cutouts = night_of(COUNT, shop, wider=wider)
    runs = {row["run_id"] for row in shop.records()}
    arranged(shop, order)
    assert shop.run() == 0
    assert_right(shop, order, cutouts)
    assert {row["run_id"] for row in shop.records()} == runs, "all of it is the first night's work"


def killed_before_the_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(commit, "_put_failures", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        assert shop.run() != 0


def test_pictures_rotated_in_a_killed_night_and_then_touched_are_not_done_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their versions are new, so only their bytes tell what they are."""
    cutouts = night_of(COUNT, shop, wider=8)
    runs = {row["run_id"] for row in shop.records()}
    order = lambda n: (n + 1) % COUNT  # noqa: E731
    arranged(shop, order)
    killed_before_the_end(shop, monkeypatch)
    for n in range(COUNT):
        os.utime(shop.folder / f"images/{n}.png", (1, 1))
    assert shop.run() == 0
    assert_right(shop, order, cutouts)
    assert {row["run_id"] for row in shop.records()} == runs, "all of it is the first night's work"


def test_a_new_first_picture_costs_one_though_the_night_is_killed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutouts = night_of(COUNT, shop)
    shop.picture("images/-1.png", 77)
    order = lambda n: n - 1  # noqa: E731
    arranged(shop, order, COUNT + 1)
    killed_before_the_end(shop, monkeypatch)
    second = {path.name for path in (shop.out / "run").iterdir()}
    assert shop.run() == 0
    assert_right(shop, order, cutouts, COUNT + 1)
    new = {row["image"].rpartition("/")[2] for row in shop.records() if row["run_id"] in second}
    assert new == {"-1.png"}


def test_a_picture_that_comes_back_after_a_killed_night_has_its_own_cutout(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutouts = night_of(2, shop)
    arranged(shop, lambda n: n ^ 1, 1)
    killed_before_the_end(shop, monkeypatch)
    assert (shop.out / "cutouts/0.png").read_bytes() == cutouts[1]
    arranged(shop, lambda n: n, 1)
    assert shop.run() == 0
    assert_right(shop, lambda n: n, cutouts, 1)
