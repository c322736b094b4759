"""Names of renditions' files."""

from __future__ import annotations

import pytest

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.renditions.names import fields_of, name_of, same_by_template
from alphabeam.transforms.renditions.settings import Rendition


def test_names_are_made_of_id_columns_and_rendition() -> None:
    one = Rendition(name="front", file="{sku}-{rendition}", folder="shop")
    assert name_of(one, "a/1", {"sku": "S7"}) == "renditions/shop/S7-front.jpg"
    assert name_of(one, "a/1", {"SKU": "S8"}) == "renditions/shop/S8-front.jpg"
    plain = Rendition(name="front", format="webp")
    assert name_of(plain, "a/1", {}) == "renditions/front/a/1.webp"


def test_what_no_store_takes_is_cleaned_and_kept_apart() -> None:
    one = Rendition(name="x", file="{sku}")
    names = {name_of(one, "1", {"sku": sku}) for sku in ("a b", "a-b", "../a b", "a?b")}
    assert len(names) == 4
    assert all(name.startswith("renditions/x/") and ".." not in name for name in names)


def test_a_row_without_the_column_fails_by_name() -> None:
    with pytest.raises(RowError, match="rendition x: its file is named by the column 'gtin'"):
        name_of(Rendition(name="x", file="{gtin}"), "1", {"sku": "2", "gtin": " "})


@pytest.mark.parametrize("template", ["{", "{}", "{a!r}", "{a:5}", "{ }"])
def test_broken_templates_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="is no template"):
        fields_of(template)


@pytest.mark.parametrize(
    "renditions, same",
    [
        ([{"name": "a"}, {"name": "b"}], False),
        ([{"name": "a", "file": "{id}-{rendition}"}, {"name": "b"}], False),
        ([{"name": "a", "file": "{sku}"}], True),
        ([{"name": "a", "folder": "x"}, {"name": "b", "folder": "X"}], True),
        ([{"name": "a", "folder": "x"}, {"name": "b", "folder": "x/y"}], True),
        ([{"name": "a", "folder": "{sku}"}], True),
    ],
)
def test_which_templates_may_give_one_name_twice(
    renditions: list[dict[str, str]], same: bool
) -> None:
    assert same_by_template(tuple(Rendition(**one) for one in renditions)) is same  # type: ignore[arg-type]
