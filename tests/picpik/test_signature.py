"""The signature, against the published vectors and a second writing of the published rules."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphabeam.transforms.picpik.signature import sign

KEY = "123456"
# A busy machine is no defect.
PATIENT = settings(suppress_health_check=[HealthCheck.too_slow])


def signed_text(text: str) -> str:
    """The signature of a text that the test itself wrote out."""
    return hashlib.sha1((text + KEY).encode()).hexdigest()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"Action": "ListModels", "PublicKey": "abcdefg"},
            "4a20bc1141494035f6aaaad13224c94c5a8bc3a5",
        ),
        (
            {"Action": "StartPicpikApp", "PublicKey": "abcdefg", "AppId": "your_app_id"},
            "c5e65ad1936ff695436917bf807d2281db33e7a3",
        ),
    ],
)
def test_published_vectors(params: dict[str, object], expected: str) -> None:
    assert sign(params, KEY) == expected
    assert sign({**params, "Signature": "whatever"}, KEY) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, ""),
        ("", ""),
        (0, "0"),
        (-7, "-7"),
        (42.0, "42"),
        (-42.0, "-42"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1.5e-10, "0.00000000015"),
        (1e16, "10000000000000000"),
        (1.25e21, "1250000000000000000000"),
        ([], ""),
        ([1, 2.0, "x", True, None], "12xtrue"),
        ((1, [2, 3]), "123"),
        ({}, ""),
        ({"b": 1, "a": {"d": False, "c": [1.0]}}, "ac1dfalseb1"),
        ({"Signature": "a nested one is signed"}, "Signaturea nested one is signed"),
        ("人像 é", "人像 é"),
        ([{"z": 1}, {"y": None}], "z1y"),
    ],
)
def test_each_kind_of_value_has_its_published_text(value: object, text: str) -> None:
    assert sign({"A": value}, KEY) == signed_text("A" + text)


def test_upper_case_sorts_before_lower_case() -> None:
    assert sign({"request_uuid": "u", "Zeta": 1, "alpha": 2}, KEY) == signed_text(
        "Zeta1alpha2request_uuidu"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="parameter A"):
        sign({"A": value}, KEY)


@pytest.mark.parametrize("value", [b"bytes", object(), {1: "x"}, {1, 2}])
def test_what_has_no_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        sign({"A": value}, KEY)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(-1e15, 1e15).map(lambda f: round(f, 20))
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
names = st.text(st.characters(codec="utf-8"), max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
maps = st.dictionaries(names, values, max_size=5)


def written(value: object) -> str:
    """The published rules once more, in the plainest way."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # "%.*f" with enough digits to read back, then without the zeros
        digits = next(d for d in range(0, 60) if float(f"{value:.{d}f}") == value)
        text = f"{value:.{digits}f}"
        return "0" if float(text) == 0 else text
    if isinstance(value, dict):
        return "".join(k + written(v) for k, v in sorted(value.items()))
    if isinstance(value, list):
        return "".join(map(written, value))
    return str(value)


@pytest.mark.slow
@PATIENT
@given(maps)
def test_any_nesting_signs_as_its_text(params: dict[str, object]) -> None:
    params.pop("Signature", None)
    assert sign(params, KEY) == signed_text(written(params))


@pytest.mark.slow
@PATIENT
@given(maps, st.randoms())
def test_order_and_transport_do_not_matter(params: dict[str, object], rng: object) -> None:
    shuffled = list(params.items())
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sign(dict(shuffled), KEY) == sign(params, KEY)
    # The server signs what it parsed from the JSON that was sent.
    assert sign(json.loads(json.dumps(params)), KEY) == sign(params, KEY)


@PATIENT
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_never_scientific_and_read_back_the_same(value: float) -> None:
    from alphabeam.transforms.picpik.signature import _float_text

    text = _float_text("A", value)
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)
    assert float(text) == value
    if value.is_integer() and value:
        assert "." not in text


@pytest.mark.slow
@PATIENT
@given(maps, names, st.text(min_size=1, max_size=4))
def test_the_signature_depends_on_the_private_key(
    params: dict[str, object], name: str, other: str
) -> None:
    signature = sign(params, KEY)
    assert re.fullmatch(r"[0-9a-f]{40}", signature)
    assert sign({**params, "Signature": signature}, KEY) == signature
    if other.isascii():
        assert sign(params, KEY + other) != signature
