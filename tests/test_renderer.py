"""The renderer's parts that need no Blender: choices, catalogue, geometry, prints, command line."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from renderer import __main__ as command
from renderer import prints
from renderer.catalogue import CATALOGUE, CatalogueError, Sample, read_catalogue, write_manifest
from renderer.dice import Dice
from renderer.geometry import (
    Array,
    Mesh,
    arc,
    block_mesh,
    disc_mesh,
    distances,
    fillet,
    lathe_mesh,
    sheet_mesh,
    slab_mesh,
    spline,
    sweep_mesh,
)
from renderer.hairs import Coat, fur_points, stitch_points, taper
from renderer.pictures import SETTINGS
from renderer.products import PRODUCTS
from renderer.profiles import WET, drink, silhouette, vessel
from renderer.random_pictures import draw_picture, draw_quality

ROOT = Path(__file__).resolve().parent.parent
SQUARE = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]


# --- choices -----------------------------------------------------------------------------------


def answers(dice: Dice) -> list[object]:
    return [
        dice.between("radius", 0.2, 0.6),
        dice.count("stems", 3, 9),
        dice.pick("kind", ("cap", "pump", "cork")),
        dice.chance("glass", 0.5),
        dice.colour("glaze"),
    ]


def test_a_seed_gives_the_same_answers_in_any_order() -> None:
    assert answers(Dice(5)) == answers(Dice(5)) != answers(Dice(6))
    other = Dice(5)
    other.between("something new", 0, 1)
    assert answers(other) == answers(Dice(5))


def test_a_fixed_answer_is_given_and_leaves_the_others_alone() -> None:
    fixed = {"stems": 42, "glaze": (0.1, 0.2, 0.3)}
    free, held = answers(Dice(5)), answers(Dice(5, fixed))
    assert held == [free[0], 42, free[2], free[3], (0.1, 0.2, 0.3)]


def test_answers_stay_in_their_ranges() -> None:
    for seed in range(200):
        dice = Dice(seed)
        assert 0.2 <= dice.between("radius", 0.2, 0.6) < 0.6
        assert dice.count("stems", 3, 5) in (3, 4, 5)
        assert all(0 <= c <= 1 for c in dice.colour("glaze"))
        assert dice.chance("never", 0.0) is False and dice.chance("always", 1.0) is True


def test_fixed_names_that_nothing_asks_for_are_known() -> None:
    dice = Dice(1, {"radius": 0.3, "raduis": 0.4})
    dice.between("radius", 0, 1)
    assert dice.unused == ["raduis"]


def test_a_renamed_choice_keeps_its_stream() -> None:
    stream = np.random.default_rng([7, zlib.crc32(b"ground")])
    assert Dice(7).rng("background colour").random() == stream.random()


# --- the catalogue -----------------------------------------------------------------------------

SAMPLES = read_catalogue()


def test_the_catalogue_is_what_the_manifest_lists(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for sample in SAMPLES:
        (tmp_path / "images" / f"{sample.id}.jpg").touch()
    write_manifest(SAMPLES, tmp_path)
    written = (tmp_path / "manifest.csv").read_bytes()
    assert written == (ROOT / "samples/manifest.csv").read_bytes()


def test_the_manifest_lists_only_what_has_been_rendered(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/mug.jpg").touch()
    write_manifest(SAMPLES, tmp_path)
    with open(tmp_path / "manifest.csv", encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["mug"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.id)
def test_a_sample_has_a_picture_and_its_truth(sample: Sample) -> None:
    with Image.open(ROOT / "samples/images" / f"{sample.id}.jpg") as picture:
        assert picture.size == tuple(sample.picture.camera.size)
    with Image.open(ROOT / "samples/truth" / f"{sample.id}.png") as truth:
        assert (truth.size, truth.mode) == (tuple(sample.picture.camera.size), "L")
        cover = np.asarray(truth).mean() / 255
    assert 0.02 < cover < 0.9
    assert sample.picture.setting.kind in SETTINGS
    assert 0 < sample.picture.camera.fill <= 1


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_has_its_function(product: str) -> None:
    module = ast.parse((ROOT / "renderer/products" / f"{PRODUCTS[product]}.py").read_text())
    (function,) = (
        node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == product
    )
    assert [argument.arg for argument in function.args.args] == ["dice"]


GOOD = """
- id: one
  title: A mug
  category: kitchen
  background: white
  products: [{product: mug}]
  setting: {kind: sweep}
  camera: {size: [100, 80]}
"""


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(GOOD)
    (sample,) = read_catalogue(file)
    assert sample.picture.camera.size == (100, 80)
    assert sample.picture.light.key == 1.0 and sample.picture.products[0].size == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("product: mug", "product: jug"), "sample one: products: no product 'jug'"),
        (GOOD.replace("kind: sweep", "kind: swept"), "sample one: setting: no kind 'swept'"),
        (GOOD.replace("size:", "sise:"), "sample one: camera: no field 'sise'"),
        (GOOD.replace("kind: sweep", "seed: 3"), "sample one: setting: kind is missing"),
        (GOOD.replace("  title: A mug\n", ""), "sample one: title is missing"),
        (
            GOOD.replace("  camera: {size: [100, 80]}\n", ""),
            "sample one: camera is missing",
        ),
        (GOOD.replace("[{product: mug}]", "[]"), "sample one: products: must have one or more"),
        (GOOD.replace("{kind: sweep}", "sweep"), "sample one: setting: must have fields"),
        (GOOD + GOOD, "sample one: the id is there twice"),
        ("samples: 3", "must be a list of samples"),
        (GOOD.replace("[{product: mug}]", "mug"), "sample one: products: must be a list"),
        (GOOD.replace("[100, 80]", "[100]"), "sample one: camera: size must be two numbers"),
        (GOOD.replace("[100, 80]", "[100"), "no YAML: while parsing"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_said_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    with pytest.raises(CatalogueError) as failure:
        read_catalogue(file)
    assert said in str(failure.value) and "\n" not in str(failure.value)
    assert str(failure.value).startswith("catalogue.yaml: ")


def test_the_catalogue_is_beside_the_code() -> None:
    assert CATALOGUE.parent == ROOT / "renderer"


# --- pictures at random ------------------------------------------------------------------------


def test_a_seed_draws_the_same_picture() -> None:
    assert draw_picture(11, 320, 0.3, 0.3) == draw_picture(11, 320, 0.3, 0.3)
    assert draw_picture(11, 320) != draw_picture(12, 320)
    assert draw_quality(11) == draw_quality(11)


def test_random_pictures_can_be_rendered() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(150):
        picture = draw_picture(seed, 320, 0.2, 0.2)
        kinds[picture.setting.kind] += 1
        assert all(p.product in PRODUCTS for p in (*picture.products, *picture.clutter))
        width, height = picture.camera.size
        assert width % 2 == height % 2 == 0 and abs(width * height / 320**2 - 1) < 0.02
        assert 2 <= picture.camera.elevation <= 88
        assert picture.gaps is None or len(picture.gaps) == len(picture.products) in (2, 3)
        assert 70 <= draw_quality(seed) <= 95
    assert set(kinds) == set(SETTINGS) and kinds.most_common(1)[0][0] == "sweep"


def test_shares_of_glass_and_of_sets() -> None:
    for seed in range(30):
        plain, glass = draw_picture(seed, 320), draw_picture(seed, 320, glass=1.0)
        assert {p.product for p in glass.products} == {"glassware"}
        assert "glassware" not in {p.product for p in plain.products}
        assert plain.setting == glass.setting and plain.light == glass.light
        row = draw_picture(seed, 320, sets=1.0)
        assert row.gaps is not None and min(row.gaps) > 0
        assert len({p.product for p in row.products}) == 1


# --- geometry ----------------------------------------------------------------------------------


def welded(mesh: Mesh) -> list[list[int]]:
    """The faces with the seams' double vertices as one, and without faces that have no area."""
    _, one = np.unique(mesh.vertices.round(6) + 0.0, axis=0, return_inverse=True)
    faces = []
    for face in mesh.faces:
        corners = [int(one.ravel()[i]) for i in face]
        corners = [c for k, c in enumerate(corners) if c != corners[k - 1]]
        if len(corners) > 2:
            faces.append(corners)
    return faces


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge is between two faces."""
    edges: Counter[frozenset[int]] = Counter()
    for face in welded(mesh):
        edges.update(frozenset((face[k - 1], face[k])) for k in range(len(face)))
    return set(edges.values()) == {2}


def volume(mesh: Mesh) -> float:
    """What a closed mesh holds."""
    total = 0.0
    for face in mesh.faces:
        corners = mesh.vertices[list(face)]
        for k in range(1, len(corners) - 1):
            total += float(np.linalg.det(corners[[0, k, k + 1]])) / 6
    return abs(total)


def extent(mesh: Mesh) -> Array:
    size: Array = np.ptp(mesh.vertices, axis=0)
    return size


CIRCLE = arc(1.0, 0, 360, 33)[:-1]
LINE = [(0, 0, 0), (0, 0, 1), (0, 0, 3)]
RING = np.column_stack([5 * CIRCLE, np.zeros(32)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh", "holds"),
    [
        (block_mesh((2, 3, 4)), 24.0),
        (slab_mesh(SQUARE, 0.5), 2.0),
        (lathe_mesh([(0, 0), (1, 0), (1, 2), (0, 2)]), 2 * np.pi),
        (lathe_mesh([(0, -1), *arc(1.0, -90, 90, 64)[1:-1], (0, 1)]), 4 / 3 * np.pi),
        (sweep_mesh(LINE, np.array(SQUARE)[::-1]), 12.0),
        (sweep_mesh(RING, 0.5 * CIRCLE, closed=True, up=(0, 0, 1)), 2 * np.pi**2 * 5 * 0.25),
    ],
    ids=["block", "slab", "cylinder", "ball", "rod", "torus"],
)
def test_solids_are_closed_and_hold_what_they_should(mesh: Mesh, holds: float) -> None:
    assert is_closed(mesh)
    assert volume(mesh) == pytest.approx(holds, rel=0.02)


def test_open_shapes_are_open() -> None:
    assert not is_closed(lathe_mesh([(1, 0), (1, 2)]))
    assert not is_closed(lathe_mesh([(0, 0), (1, 0), (1, 2), (0, 2)], angles=(0, 180)))
    assert not is_closed(disc_mesh(1.0))


def test_shapes_have_their_sizes() -> None:
    assert extent(block_mesh((2, 3, 4))) == pytest.approx((2, 3, 4))
    assert extent(slab_mesh(SQUARE, 0.5)) == pytest.approx((2, 2, 0.5))
    assert extent(lathe_mesh([(0.5, -1), (0.7, 1)])) == pytest.approx((1.4, 1.4, 2), rel=1e-2)
    assert extent(disc_mesh(2.0, z=3.0)) == pytest.approx((4, 4, 0))
    widened = sweep_mesh(LINE, SQUARE, scale=[1, 1, 3])
    assert extent(widened) == pytest.approx((6, 6, 3))


@pytest.mark.parametrize(
    "mesh",
    [
        block_mesh((1, 1, 1)),
        slab_mesh(SQUARE, 0.5),
        lathe_mesh([(0, 0), (1, 0), (1, 2)], 8),
        sweep_mesh(LINE, SQUARE),
        sheet_mesh(lambda u, v: np.stack([u, v, 0 * u], -1), (4, 3)),
        disc_mesh(1.0),
    ],
    ids=["block", "slab", "lathe", "sweep", "sheet", "disc"],
)
def test_every_corner_has_its_texture_coordinate(mesh: Mesh) -> None:
    assert mesh.uv.shape == (sum(len(face) for face in mesh.faces), 2)
    assert np.isfinite(mesh.uv).all()
    assert {i for face in mesh.faces for i in face} <= set(range(len(mesh.vertices)))


def test_a_label_goes_once_around() -> None:
    mesh = lathe_mesh([(1, 0), (1, 4)], 8)
    assert (mesh.uv.min(0) == 0).all() and (mesh.uv.max(0) == 1).all()
    corners = mesh.vertices[np.concatenate([np.asarray(face) for face in mesh.faces])]
    assert mesh.uv[:, 1] * 4 == pytest.approx(corners[:, 2])


def test_a_sheets_coordinates_are_lengths_or_shares() -> None:
    def surface(u: Array, v: Array) -> Array:
        return np.stack([3 * u, 2 * v, 0 * u], -1)

    assert sheet_mesh(surface).uv.max(0) == pytest.approx((3, 2))
    assert sheet_mesh(surface, unit_uv=True).uv.max(0) == pytest.approx((1, 1))


def test_a_curve_passes_through_its_points() -> None:
    points = np.array([(0, 0), (1, 2), (3, 1), (4, 4)], dtype=float)
    curve = spline(points, 61)
    assert curve.shape == (61, 2)
    assert curve[::20] == pytest.approx(points)
    closed = spline(points, 80, closed=True)
    assert closed[::20] == pytest.approx(points)
    steps = np.linalg.norm(np.diff(np.vstack([closed, closed[:1]]), axis=0), axis=1)
    assert steps.max() < 5 * np.median(steps)  # the end meets the start


def test_an_arc_keeps_its_radius() -> None:
    points = arc(2.0, 30, 120, 10, centre=(1, -1))
    assert np.hypot(*(points - (1, -1)).T) == pytest.approx(np.full(10, 2.0))


def test_rounding_stays_within_the_corners() -> None:
    rounded = fillet(SQUARE, 0.3, 8, closed=True)
    assert rounded.shape == (32, 2) and np.abs(rounded).max() <= 1
    assert np.hypot(*rounded.T).max() < np.sqrt(2) - 0.05
    line = fillet([(0, 0), (1, 0), (1, 1)], 0.2)
    assert line[[0, -1]] == pytest.approx(np.array([(0, 0), (1, 1)]))
    short = fillet([(0, 0), (0.1, 0), (0.1, 5)], 1.0)
    assert np.isfinite(short).all() and distances(short)[-1] < 5.1


# --- hollow bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["straight", "jar", "carafe", "bowl", "vase", "stem"])
def test_glasses_are_hollow_and_closed(kind: str) -> None:
    outside = silhouette(kind, np.random.default_rng(3))
    assert outside.shape == (80, 2) and outside[0, 1] == 0 and outside[:, 0].min() >= 0.03
    body = np.vstack([[(0, 0)], outside])
    profile = vessel(body, 0.02, 0.1)
    assert profile[[0, -1], 0].tolist() == [0, 0] and profile[:, 0].min() >= 0
    assert is_closed(lathe_mesh(profile, 16))
    level = 0.1 + 0.5 * (outside[-1, 1] - 0.1)
    content = drink(outside, 0.02, 0.1, level)
    assert is_closed(lathe_mesh(content, 16))
    assert content[:, 1].max() == level
    wall = np.interp(content[1:-1, 1], outside[:, 1], outside[:, 0])
    assert (content[1:-1, 0] <= np.maximum(wall - 0.02 + WET, 0.002) + 1e-9).all()


# --- hairs -------------------------------------------------------------------------------------


def test_stitches_have_one_length_and_gaps_half_as_long() -> None:
    stitches = stitch_points([(0, 0, 0), (10, 0, 0)], 1.0)
    assert stitches.shape == (6, 3, 3)
    assert stitches[:, 2, 0] - stitches[:, 0, 0] == pytest.approx(np.ones(6))
    assert np.diff(stitches[:, 0, 0]) == pytest.approx(np.full(5, 1.5))


def test_fur_is_rooted_on_its_skin() -> None:
    vertices = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], np.float32)
    normals = np.tile(np.array([(0, 0, 1)], np.float32), (4, 1))
    triangles = np.array([(0, 1, 2), (1, 3, 2)], np.int32)

    def grow(coat: Coat) -> Array:
        return fur_points(vertices, normals, triangles, coat, np.random.default_rng(1))

    hairs = grow(Coat(500, 0.1))
    assert hairs.shape == (500, 6, 3) and (hairs == grow(Coat(500, 0.1))).all()
    root = hairs[:, 0]
    assert np.abs(root[:, 2]).max() < 1e-6 and (root[:, :2] >= 0).all() and (root[:, :2] <= 1).all()
    assert 0 < np.median(hairs[:, -1, 2]) < 0.2
    left = grow(Coat(500, 0.1, keep=lambda roots: roots[:, 0] < 0.5))
    assert 150 < len(left) < 350 and left[:, 0, 0].max() < 0.5


def test_hairs_taper() -> None:
    radius = taper(3, 5, 0.01)
    assert radius.shape == (3, 5) and radius[0, 0] == 0.01
    assert (np.diff(radius, axis=1) < 0).all() and radius.min() > 0


# --- prints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_prints_are_pictures(seed: int) -> None:
    label = prints.label(Dice(seed), (0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (120, 90))
    pattern = prints.pattern(Dice(seed), 64)
    dial = prints.dial((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.9, 0.1, 0.1), bool(seed % 2), 128)
    for picture, shape in ((label, (90, 120, 3)), (pattern, (64, 64, 3)), (dial, (128, 128, 3))):
        assert picture.shape == shape and picture.dtype == np.float32
        assert 0 <= picture.min() < picture.max() <= 1
    assert (pattern == prints.pattern(Dice(seed), 64)).all()


# --- the package and its command line ----------------------------------------------------------


@pytest.mark.slow
def test_all_but_blender_and_products_works_without_bpy() -> None:
    modules = [
        f"renderer.{file.stem}"
        for file in sorted((ROOT / "renderer").glob("*.py"))
        if file.stem not in ("__init__", "__main__")
    ]
    assert "renderer.catalogue" in modules
    code = "import sys\nsys.modules['bpy'] = sys.modules['mathutils'] = None\n"
    code += f"import renderer.__main__, renderer.products, {', '.join(modules)}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=ROOT)


def test_without_bpy_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main(["samples", "--only", "mug", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Python 3.11" in line and "pip install -r renderer/requirements.txt" in line
    assert (ROOT / "renderer/requirements.txt").exists() and not list(tmp_path.iterdir())


def test_an_unknown_sample_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["samples", "--only", "mug", "jug"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'jug'" in line and "bottle, vase, gift" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("samples --draft 0", "'0' is not a number of 0.05 to 4"),
        ("samples --only", "--only: expected at least one argument"),
        ("samples --threads 1.5", "'1.5' is not a whole number"),
        ("training --count 0 --seed 1 --out x", "'0' is not a whole number of 1 to 100000"),
        ("training --count 1 --seed 1 --out x --glass 30", "'30' is not a number of 0 to 1"),
        ("training --count 1 --out x", "required: --seed"),
    ],
)
def test_wrong_arguments_are_explained(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments.split())
    assert end.value.code == 2 and said in capsys.readouterr().err
