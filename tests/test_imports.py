"""No circles among the modules, nor among the packages: each can be read, and tested, in order."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

grimp = pytest.importorskip("grimp", reason="comes with import-linter, of the extra 'test'")

if TYPE_CHECKING:
    from grimp import ImportGraph


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    """Who imports whom, imports inside functions included."""
    return grimp.build_graph("alphabeam", exclude_type_checking_imports=True, cache_dir=None)


def circle(imports: dict[str, set[str]]) -> list[str]:
    """The names along one circle, or none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) in (
        list("acba"),
        list("cbac"),
        list("bacb"),
    )
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_module_imports_itself_through_others(graph: ImportGraph) -> None:
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert "alphabeam.transforms.rows" in imports["alphabeam.transforms.images.reading"]
    assert circle(imports) == []


def test_no_package_imports_itself_through_its_neighbours(graph: ImportGraph) -> None:
    for package in graph.modules:
        inside = {
            child: {child, *graph.find_descendants(child)} for child in graph.find_children(package)
        }
        imports: dict[str, set[str]] = {child: set() for child in inside}
        for child, other in permutations(inside, 2):
            if any(
                graph.find_modules_directly_imported_by(name) & inside[other]
                for name in inside[child]
            ):
                imports[child].add(other)
        assert circle(imports) == [], package
