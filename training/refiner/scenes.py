"""Made-up pictures with exact alpha and a trimap: what the refiner learns from.

A shape is drawn, filled with colours taken from photos and surfaces, put before a background, and
photographed. All in numpy and OpenCV; every scene is a function of (seed, number, material).
Inside, colours are BGR as everywhere in the recipe; what leaves this module is RGB.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import cv2
import numpy as np

from alphabeam.transforms.matting.alpha import Bands
from alphabeam.transforms.matting.coarse import CoarseAlpha, coarse_alpha
from alphabeam.transforms.matting.network import Network
from alphabeam.transforms.matting.trimap import UNKNOWN, make_trimap

from ..backgrounds import draw_background
from ..pieces import Cutout, Picture
from .material import Material

__all__ = ["MARGIN", "Scene", "draw_scene"]

MARGIN = 32
"""Known pixels kept around the unknown band."""

_SIDE = 448
_LEAST_SIDE = 96  # a scene must hold a training crop
_BAND = (0.02, 0.45)  # share of unknown pixels; the core refines so many at full size

_SEEN = 0.5  # share of scenes whose trimap a network draws, where there is one
_MISTAKEN = 0.03  # pixels wrongly known, per unknown one: where they are more, nothing is learnt
# A scene may stand for a part of a picture so many times its size, which the core would solve at
# a fraction of its size only.
_LARGEST_WHOLE = 16

_Rng = np.random.Generator
_Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture whose alpha is known.

    Attributes:
        image: H x W x 3 uint8 RGB.
        trimap: H x W uint8 of 0, 128 and 255.
        alpha: H x W uint8, exact.
        coarse: What a network saw, if it drew the trimap.
        limits: Where the core is to solve.
    """

    image: _Array
    trimap: _Array
    alpha: _Array
    coarse: CoarseAlpha | None = None
    limits: Bands = dataclasses.field(default_factory=Bands)


# --- colours -----------------------------------------------------------------------------------


def _mist(rng: _Rng, cells: int = 3) -> _Array:
    """A smooth random field around 0 with deviation about 1, SIDE x SIDE float32."""
    field = rng.standard_normal((cells, cells), np.float32)
    mist: _Array = cv2.resize(field, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    return mist


def _rough(rng: _Rng) -> _Array:
    """A random field with detail of all sizes, SIDE x SIDE float32."""
    rough = np.zeros((_SIDE, _SIDE), np.float32)
    for cells in (4, 8, 16, 32, 64):
        rough += _mist(rng, cells) * (4 / cells**0.8)
    return rough


def _colours(rng: _Rng, material: Material) -> _Array:
    """Colours all over, 0..255, SIDE x SIDE x 3 float32."""
    kind = rng.random()
    if kind < 0.12:  # one colour, or from one to another
        one, two = rng.uniform(0, 255, (2, 3)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) / _SIDE
        way = (np.cos(angle) * x + np.sin(angle) * y) * rng.uniform(0.5, 1.5)
        part = np.clip(way + rng.uniform(-0.5, 0.5), 0, 1)[..., None] * (rng.random() < 0.6)
        blend: _Array = (one + part * (two - one)).astype(np.float32)
        return blend
    pool = material.photos if kind < 0.5 else material.scenes if kind < 0.75 else material.textures
    picture = pool[int(rng.integers(len(pool)))]
    if pool is material.textures and rng.random() < 0.5:
        picture = np.tile(picture, (3, 3, 1))
    h, w = picture.shape[:2]
    side = max(8, int(min(h, w) * rng.uniform(0.4, 1)))
    y, x = rng.integers(h - side + 1), rng.integers(w - side + 1)
    method = cv2.INTER_CUBIC if side < _SIDE else cv2.INTER_AREA
    part = cv2.resize(picture[y : y + side, x : x + side], (_SIDE, _SIDE), interpolation=method)
    if rng.random() < 0.5:
        part = part[:, ::-1]
    part = part.astype(np.float32)
    if rng.random() < 0.4:
        part = part @ (np.eye(3) + rng.normal(0, 0.15, (3, 3))).astype(np.float32)
    if rng.random() < 0.3:
        part = cv2.GaussianBlur(part, (0, 0), rng.uniform(1, 6))
    if rng.random() < 0.4:
        part = part * np.float32(rng.uniform(0.4, 1.3)) + np.float32(rng.uniform(-30, 50))
    colours: _Array = np.clip(part, 0, 255)
    return colours


# --- shapes: alpha as SIDE x SIDE uint8, and the colours that belong to it ----------------------

_Drawn = tuple[_Array, _Array]


def _fixed(points: _Array) -> _Array:
    """Points in the sixteenths of a pixel that OpenCV draws with."""
    fixed: _Array = np.rint(points * 16).astype(np.int32).reshape(-1, 1, 2)
    return fixed


def _body(rng: _Rng) -> _Array:
    """One to three closed shapes, most of them smooth."""
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    middle = rng.uniform(0.25, 0.75, 2) * _SIDE
    for _ in range(rng.integers(1, 4)):
        centre = middle + rng.normal(0, 0.1, 2) * _SIDE
        corners = rng.integers(6, 14)
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(0.1, 0.36) * _SIDE * (1 + rng.normal(0, 0.2, corners))
        points = centre + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
        if rng.random() < 0.7:  # a closed curve through the corners, by its Fourier series
            few = np.fft.fft(points[:, 0] + 1j * points[:, 1])
            many = np.zeros(256, complex)
            half = corners // 2
            many[:half], many[-half:] = few[:half], few[-half:]
            curve = np.fft.ifft(many) * (256 / corners)
            points = np.stack([curve.real, curve.imag], 1)
        cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, 4)
    return mask


def _strands(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    """Hair, fur or bristles that grow out of the outline, drawn at twice the size."""
    kind = rng.random()
    if kind < 0.45:  # hair
        curl, length = rng.uniform(0.2, 1.5), rng.uniform(20, 110)
        width, count = rng.uniform(0.4, 1.3), rng.integers(80, 900)
    elif kind < 0.8:  # fur
        curl, length = rng.uniform(0.1, 0.8), rng.uniform(6, 25)
        width, count = rng.uniform(0.5, 2), rng.integers(600, 4000)
    else:  # bristles, tentacles, fringe
        curl, length = rng.uniform(0.1, 1), rng.uniform(20, 90)
        width, count = rng.uniform(2, 7), rng.integers(10, 80)
    tint = (colours[alpha > 0].mean(axis=0) if alpha.any() else colours.mean(axis=(0, 1))) * (
        rng.uniform(0.7, 1.2)
    )
    if rng.random() < 0.3:
        tint = rng.uniform(0, 255, 3)
    size = (2 * _SIDE, 2 * _SIDE)
    body = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
    outlines, _ = cv2.findContours(
        (body > 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not outlines:
        return alpha, colours
    outline = max(outlines, key=len)[:, 0].astype(np.float64)
    along = np.roll(outline, -9, axis=0) - np.roll(outline, 9, axis=0)
    out = np.stack([along[:, 1], -along[:, 0]], 1)
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
    probe = tuple(float(v) for v in outline[0] + 3 * out[0])
    if cv2.pointPolygonTest(outline.astype(np.float32).reshape(-1, 1, 2), probe, False) > 0:
        out = -out
    start, share = rng.random(), 0.4 if rng.random() < 0.5 else 1.0  # a tuft, or all around
    flow = rng.normal(0, 0.7, 2)
    drawn, layer = body.copy(), np.empty((*size, 3), np.uint8)
    layer[:] = np.clip(tint, 0, 255)
    bends = 12
    for _ in range(count):
        root = int((start + rng.random() * share) % 1 * len(outline))
        way = out[root] + flow + rng.normal(0, 0.35, 2)
        way /= np.linalg.norm(way) + 1e-6
        reach = 2 * length * rng.uniform(0.4, 1.3)
        turns = np.cumsum(rng.normal(0, curl) + np.cumsum(rng.normal(0, curl * 0.4, bends)))
        heading = np.arctan2(way[1], way[0]) + turns / bends
        steps = np.stack([np.cos(heading), np.sin(heading)], 1) * (reach / bends)
        root_at = outline[root] - way * reach * 0.25 * rng.random()
        path = _fixed(root_at + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]))
        opacity = rng.uniform(0.5, 1) if width < 1.5 else 1.0
        stroke = max(1, round(width * 2 * rng.uniform(0.5, 1.3)))
        colour = np.clip(tint * rng.uniform(0.55, 1.4) + rng.normal(0, 6, 3), 0, 255)
        cv2.polylines(drawn, [path], False, 255 * opacity, stroke, cv2.LINE_AA, 4)
        cv2.polylines(layer, [path], False, colour.tolist(), stroke + 2, cv2.LINE_8, 4)
    drawn = cv2.resize(np.maximum(drawn, body), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    layer = cv2.resize(layer, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = (cv2.GaussianBlur(alpha, (0, 0), 4).astype(np.float32) / 255)[..., None] ** 2
    return drawn, colours * inside + layer * (1 - inside)


def _net(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    """Mesh, lace or perforation, a little warped."""
    period, angle = rng.uniform(6, 26), rng.uniform(0, np.pi)
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    y += _rough(rng) * rng.uniform(0, 6)
    x += _rough(rng) * rng.uniform(0, 6)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    width = rng.uniform(0.6, period * 0.3)
    if rng.random() < 0.6:
        other = period * rng.uniform(0.7, 1.4)
        threads = [width / 2 + 0.5 - np.abs(a % p - p / 2) for a, p in ((u, period), (v, other))]
        net = np.clip(np.maximum(*threads), 0, 1)
    else:
        radius = np.hypot(u % period - period / 2, v % period - period / 2)
        net = np.clip(0.5 + width - np.abs(radius - period * 0.4), 0, 1)
    if rng.random() < 0.5:
        colours = colours * np.float32(0.3) + (0.7 * rng.uniform(0, 255, 3)).astype(np.float32)
    return (net * alpha).astype(np.uint8), colours


def _leaves(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    """Ellipses added and cut out."""
    for _ in range(rng.integers(10, 120)):
        centre = _fixed(rng.uniform(0.1, 0.9, 2) * _SIDE).ravel().tolist()
        axes = (int(rng.uniform(3, 40) * 16), int(rng.uniform(1, 12) * 16))
        level = 255 if rng.random() < 0.7 else 0
        turn = rng.uniform(0, 360)
        cv2.ellipse(alpha, centre, axes, turn, 0, 360, level, -1, cv2.LINE_AA, 4)
    return alpha, colours


def _wires(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    """Bézier curves right across the picture."""
    t = np.linspace(0, 1, 40)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    for _ in range(rng.integers(3, 25)):
        path = _fixed(weights @ (rng.random((4, 2)) * _SIDE))
        cv2.polylines(alpha, [path], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA, 4)
    return alpha, colours


def _smoke(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    """Something that the background shines through."""
    veil = np.clip(_rough(rng) * rng.uniform(0.2, 0.6) + rng.uniform(0.2, 0.8), 0, 1)
    return (cv2.GaussianBlur(alpha, (0, 0), rng.uniform(2, 15)) * veil).astype(np.uint8), colours


def _plain(rng: _Rng, alpha: _Array, colours: _Array) -> _Drawn:
    return alpha, colours


_SHAPES: dict[Callable[[_Rng, _Array, _Array], _Drawn], float] = {
    _strands: 0.41, _net: 0.12, _leaves: 0.09, _wires: 0.08, _smoke: 0.06, _plain: 0.10,
}  # fmt: skip
_RENDERS = 0.35  # share of scenes that are part of a render, where there are renders,
_CUTOUTS = 0.2  # and of the others those that show a cut-out


def _soften(rng: _Rng, alpha: _Array) -> _Array:
    """Out of focus, moved, or as a lens draws it; three in ten stay as they are."""
    kind = rng.random()
    if kind < 0.25:
        blurred: _Array = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 7))
        return blurred
    if kind < 0.32:
        n = int(rng.integers(3, 20))
        way = np.zeros((n, n), np.float32)
        cv2.line(way, (0, int(rng.integers(n))), (n - 1, int(rng.integers(n))), 1.0, 1)
        moved: _Array = cv2.filter2D(alpha, -1, way / way.sum())
        return moved
    if kind < 0.7:
        drawn: _Array = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 0.9))
        return drawn
    return alpha


def _place(rng: _Rng, cutout: Cutout) -> _Drawn:
    """A cut-out somewhere in the picture, its edge colours carried on outwards."""
    bgra = cutout.levels[0]
    scale = _SIDE * rng.uniform(0.6, 0.95) / max(bgra.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    bgra = cv2.resize(bgra, None, fx=scale, fy=scale, interpolation=method)
    h, w = bgra.shape[:2]
    y, x = rng.integers(_SIDE - h + 1), rng.integers(_SIDE - w + 1)
    around = (y, _SIDE - h - y, x, _SIDE - w - x)
    alpha = cv2.copyMakeBorder(bgra[..., 3], *around, cv2.BORDER_CONSTANT, value=0)
    colours = cv2.copyMakeBorder(bgra[..., :3], *around, cv2.BORDER_REPLICATE)
    return alpha, colours.astype(np.float32)


# --- the picture -------------------------------------------------------------------------------


def _shade(rng: _Rng, background: _Array, alpha: _Array) -> _Array:
    """One or two soft shadows of the subject, which are not subject."""
    light = np.ones((_SIDE, _SIDE), np.float32)
    for _ in range(rng.integers(1, 3)):
        dx, dy = rng.normal(0, 1, 2) * rng.uniform(0, 14)
        move = np.array(
            [[1 + rng.normal(0, 0.02), 0, dx], [0, 1 + rng.normal(0, 0.02), dy]], np.float32
        )
        cast = cv2.warpAffine(alpha.astype(np.float32) / 255, move, (_SIDE, _SIDE))
        cast = cv2.GaussianBlur(cast, (0, 0), rng.uniform(1, 18))
        light *= 1 - cast * np.float32(rng.uniform(0.15, 0.8))
    dark = (1 - light)[..., None]
    return background * (1 - dark * (1 - rng.uniform(0, 0.12, 3)).astype(np.float32))


def _photograph(rng: _Rng, picture: _Array, alpha: _Array) -> tuple[_Array, _Array]:
    """What a camera and a file make of it: uint8; at times enlarged, so that nothing is sharp."""
    if rng.random() < 0.4:
        times = rng.uniform(1.2, 2.6)
        part = [round(n / times) for n in alpha.shape]
        y, x = (int(rng.integers(n - m + 1)) for n, m in zip(alpha.shape, part, strict=True))
        here = np.s_[y : y + part[0], x : x + part[1]]
        size = alpha.shape[::-1]
        picture = cv2.resize(picture[here], size, interpolation=cv2.INTER_CUBIC)
        alpha = cv2.resize(alpha[here], size, interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.7))
    picture = picture + rng.normal(0, rng.uniform(0, 5), picture.shape)
    out = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 97))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return out, alpha


def _trimap(rng: _Rng, alpha: _Array) -> _Array:
    """What a hand or a network might have said of it: 0, 128 and 255."""

    def disc(radius: int) -> _Array:
        side = 2 * radius + 1
        kernel: _Array = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return kernel

    low, high = (5, 250) if rng.random() < 0.7 else (rng.integers(2, 40), rng.integers(200, 253))
    inner, outer = (int(n) for n in rng.integers(1, 24, 2))
    if rng.random() < 0.5:
        inner = outer = int(rng.integers(2, 16))
    sides = [
        cv2.erode((alpha > high).astype(np.uint8), disc(inner)),
        cv2.erode((alpha < low).astype(np.uint8), disc(outer)),
    ]
    if rng.random() < 0.3:  # a coarse one knows nothing of what is thin
        sides = [
            cv2.morphologyEx(side, cv2.MORPH_OPEN, disc(int(rng.integers(2, 8)))) for side in sides
        ]
    trimap = np.full(alpha.shape, 128, np.uint8)
    trimap[sides[0] > 0] = 255
    trimap[sides[1] > 0] = 0
    return trimap


def _attempt(rng: _Rng, material: Material) -> Scene | None:
    if material.renders and rng.random() < _RENDERS:
        alpha, picture = _view(rng, material.renders[int(rng.integers(len(material.renders)))])
        return _scene(rng, material, *_photograph(rng, picture, alpha))
    background, colours = _colours(rng, material), _colours(rng, material)
    shapes = list(_SHAPES)
    share = np.array(list(_SHAPES.values()))
    if material.cutouts and rng.random() < _CUTOUTS:
        alpha, colours = _place(rng, material.cutouts[int(rng.integers(len(material.cutouts)))])
    else:
        shape = shapes[rng.choice(len(shapes), p=share / share.sum())]
        alpha, colours = shape(rng, _body(rng), colours)
        alpha = _soften(rng, alpha)
    if rng.random() < 0.45:
        if rng.random() < 0.6:  # shadows matter most where nothing hides them
            background = draw_background(rng, material.textures, [], _SIDE, _SIDE)
        background = _shade(rng, background, alpha)
    cover = alpha.astype(np.float32)[..., None] / 255
    picture = colours * cover + background * (1 - cover)
    return _scene(rng, material, *_photograph(rng, picture, alpha))


def _view(rng: _Rng, render: Picture) -> _Drawn:
    """A part of a render, near or far: alpha and picture, at most SIDE long."""
    scale = float(np.exp(rng.uniform(np.log(0.8), np.log(1.6))))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    bgr, alpha = (
        cv2.resize(plane, None, fx=scale, fy=scale, interpolation=method)
        for plane in (render.bgr, render.alpha)
    )
    y, x = (int(rng.integers(max(n - _SIDE, 0) + 1)) for n in alpha.shape)
    part = np.s_[y : y + _SIDE, x : x + _SIDE]
    return alpha[part], bgr[part].astype(np.float32)


def _seen(rng: _Rng, network: Network, rgb: _Array) -> tuple[_Array, CoarseAlpha]:
    """The trimap that the core would make of what a network sees, and that."""
    coarse = coarse_alpha(network, rgb)
    band = round((4 if rng.random() < 0.7 else 8) * coarse.pixel)
    if rng.random() < 0.5:
        band = max(band, 15)
    return make_trimap(coarse.full(), band=band), coarse


def _scene(rng: _Rng, material: Material, picture: _Array, alpha: _Array) -> Scene | None:
    image, coarse = np.ascontiguousarray(picture[..., ::-1]), None
    if material.networks and rng.random() < _SEEN:
        network = material.networks[int(rng.integers(len(material.networks)))]
        trimap, coarse = _seen(rng, network, image)
    else:
        trimap = _trimap(rng, alpha)
    unknown = trimap == UNKNOWN
    left, top, width, height = cv2.boundingRect(unknown.view(np.uint8))
    y, x = max(top - MARGIN, 0), max(left - MARGIN, 0)
    part = np.s_[y : top + height + MARGIN, x : left + width + MARGIN]
    known = trimap[part]
    mistaken = ((np.abs(alpha.astype(np.int16) - trimap) > 64) & ~unknown).sum()
    if (
        not _BAND[0] <= unknown.mean() <= _BAND[1]
        or min(np.count_nonzero(known == side) for side in (0, 255)) < 50
        or min(known.shape) < _LEAST_SIDE
        or mistaken > _MISTAKEN * unknown.sum()
    ):
        return None
    if coarse is not None:
        region = (-x, -y, trimap.shape[1] - x, trimap.shape[0] - y)
        coarse = CoarseAlpha(coarse.alpha, region, known.shape)
    whole = _LARGEST_WHOLE ** rng.random() if rng.random() < 0.7 else 1.0
    coarsest, solved, wide = (round(n / whole) for n in (Bands.coarsest, Bands.solved, Bands.wide))
    limits = Bands(coarsest, solved, wide=wide, sharp=0)  # always mended at full size
    return Scene(image[part].copy(), known.copy(), alpha[part].copy(), coarse, limits)


def draw_scene(seed: int, number: int, material: Material) -> Scene:
    """Draws scene ``number``, always the same, cut to its unknown band and a margin.

    Args:
        seed: The run's seed.
        number: The scene's number.
        material: What to make it of.

    Returns:
        A scene of at most 448 x 448 pixels, at least 96 x 96, 4 000 to 90 000 of them unknown.
    """
    attempts = (
        _attempt(np.random.default_rng([seed, number, again]), material)
        for again in itertools.count()
    )
    return next(scene for scene in attempts if scene is not None)
