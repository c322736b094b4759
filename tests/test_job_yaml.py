"""The YAML of job files: what bounds it, and where complaints of lists are said to be."""

from __future__ import annotations

import re

import pytest

from alphabeam.pipelines.job_file import parse_job
from tests.test_job_file import LEAST, complaint


@pytest.mark.parametrize(
    "text",
    [
        "name: " + "[" * 900 + "]" * 900,
        "storage: " + "{a: " * 5000 + "1" + "}" * 5000,
        # levels count also where aliases put them into each other
        "\n".join(f"l{n}: &l{n} {'[' * 20}*l{n - 1}{']' * 20}" for n in range(1, 4)).replace(
            "*l0", "1"
        ),
    ],
)
def test_what_is_nested_too_deeply_is_refused_in_one_line(text: str) -> None:
    message = complaint(text)
    assert re.fullmatch(r"configs/x\.yaml:\d:\d+: nested too deeply: over 50 levels", message)
    value = "[" * 900 + "]" * 900
    assert complaint(LEAST, f"storage.s3={value}") == (
        "--set storage.s3: the value is nested too deeply: over 50 levels"
    )


def test_aliases_that_stand_for_billions_of_values_are_refused_before_any_is_made() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 13)]
    assert complaint("\n".join(lines)) == (
        "configs/x.yaml:5:10: the aliases stand for over 10000 values"
    )
    merges = ["a0: &a0 {x: 1}"]
    merges += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 13)]
    assert "the aliases stand for over 10000 values" in complaint("\n".join(merges))


def test_anchors_aliases_and_merge_keys_may_be_used() -> None:
    job = parse_job(
        "input: {manifest: m.csv}\n"
        "output:\n  directory: out\n  renditions:\n"
        "  - &first {name: one, canvas: 500, margin: 5%}\n"
        "  - {<<: *first, name: two, canvas: 900}\n"
        "storage: {s3: &store {endpoint_url: 'http://h:1'}, gs: *store}\n",
        "/x.yaml",
    )
    two = job.output.renditions[1]
    assert (two.name, two.canvas, two.margin) == ("two", 900, "5%")
    assert job.storage["gs"] == {"endpoint_url": "http://h:1"}


def test_what_is_wrong_in_a_list_that_was_set_is_said_of_the_setting() -> None:
    text = LEAST + "  renditions:\n  - {name: a, canvas: 500}\n"
    assert complaint(text, "output.renditions=[{name: b, canvas: wide}]").startswith(
        "--set output.renditions: output.renditions.0.canvas: 'wide' is no canvas"
    )
    # what stands beside it is still said of the file
    assert complaint(text.replace("m.csv", "5"), "output.renditions=[]").startswith(
        "configs/x.yaml:2:3: input.manifest: "
    )


@pytest.mark.parametrize("text", [LEAST, LEAST + "  renditions:\n  - {name: a}\n"])
def test_items_of_a_list_are_not_set_one_by_one(text: str) -> None:
    assert complaint(text, "output.renditions.0.preset=otto") == (
        "--set output.renditions.0.preset: items of a list cannot be set one by one; give all of "
        "output.renditions, as --set 'output.renditions=[…]'"
    )
    given = "storage.s3.config_kwargs.hosts"
    text += "storage: {s3: {config_kwargs: {hosts: [a, b]}}}\n"
    assert f"give all of {given}, as" in complaint(text, f"{given}.1=c")
