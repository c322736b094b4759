"""Training pictures with known alpha: cut-outs composed over grounds, and photos cropped.

All in numpy and OpenCV. Every sample is a function of its generator alone, so that a run can be
repeated and resumed. Colours are BGR uint8 until the very end; alphas are float32 in 0..1.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

__all__ = [
    "Bank",
    "Cutout",
    "Picture",
    "bleed",
    "compose",
    "crop",
    "draw_ground",
    "draw_object",
    "edge_band",
    "empty",
    "frame_of",
    "pad",
    "make_sample",
]

_Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A subject without its ground.

    Attributes:
        levels: The subject as H x W x 4 uint8 BGRA (straight alpha, colours bled outwards), then
            the same halved.
    """

    levels: tuple[np.ndarray, ...]

    @classmethod
    def make(cls, bgr: np.ndarray, alpha: np.ndarray, size: int = 448) -> Cutout | None:
        """Cuts the subject out of `bgr`, at most `size` pixels long; None where there is none.

        Args:
            bgr: H x W x 3 uint8.
            alpha: H x W float32 in 0..1.
            size: Longer side of the result, pixels.
        """
        x, y, w, h = cv2.boundingRect((alpha > 0.1).astype(np.uint8))
        if min(w, h) < 8:
            return None
        bgr, alpha = bgr[y : y + h, x : x + w], alpha[y : y + h, x : x + w]
        bgra = np.dstack([bleed(bgr, alpha), np.rint(alpha * 255).astype(np.uint8)])
        # A clear frame, so that sampling beyond the border finds alpha 0 - unless the subject
        # itself runs out of the picture, which looks the same as an object with a straight edge.
        bgra = cv2.copyMakeBorder(bgra, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
        bgra[:2, :, 3] = bgra[-2:, :, 3] = bgra[:, :2, 3] = bgra[:, -2:, 3] = 0
        k = size / max(w, h)
        if k < 1:
            bgra = cv2.resize(bgra, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        half = cv2.resize(bgra, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return cls((bgra, half))


@dataclasses.dataclass(frozen=True)
class Picture:
    """A whole photo or render with its truth.

    Attributes:
        bgr: H x W x 3 uint8.
        alpha: H x W uint8.
        trust: H x W uint8, how far `alpha` is to be believed; None where it is exact.
    """

    bgr: np.ndarray
    alpha: np.ndarray
    trust: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Bank:
    """What samples are made of; each entry of a dict is a pool that is drawn from by weight."""

    cutouts: dict[str, list[Cutout]]
    pictures: dict[str, list[Picture]]
    textures: list[np.ndarray]
    scenes: list[np.ndarray]
    empties: list[np.ndarray]


_CUTOUT_WEIGHTS = {"exact": 0.26, "photos": 0.3, "renders": 0.32, "drawn": 0.12}
_PICTURE_WEIGHTS = {
    "renders": 0.5, "spree": 0.12, "eshop_ai": 0.11, "bagisto": 0.06, "azure": 0.04,
    "apc": 0.04, "sylius": 0.02, "clothing": 0.19,
}  # fmt: skip
_AMPLE = 60
_KINDS = {"composite": 0.45, "picture": 0.49, "empty": 0.06}


def _draw(rng: _Rng, pools: dict[str, list], weights: dict[str, float]):
    """Draws a pool by weight, then one of its entries; of a small pool less is seen."""
    names = [name for name in weights if pools.get(name)]
    p = np.array([weights[name] * min(len(pools[name]) / _AMPLE, 1) for name in names])
    pool = pools[names[rng.choice(len(names), p=p / p.sum())]]
    return pool[rng.integers(len(pool))]


def bleed(bgr: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Spreads the subject's sure colours outwards, which takes the old ground out of the edge.

    Args:
        bgr: H x W x 3 uint8.
        alpha: H x W float32 in 0..1.

    Returns:
        H x W x 3 uint8, equal to `bgr` where alpha is above 0.97.
    """
    sure = (alpha > 0.97).astype(np.float32)
    inner = cv2.erode(sure, np.ones((3, 3), np.uint8))
    known = inner if inner.sum() > 0.5 * sure.sum() else sure
    out = np.zeros(bgr.shape, np.float32)
    missing = np.ones(alpha.shape, np.float32)
    colours = bgr * known[..., None]
    h, w = alpha.shape
    for step in (1, 4, 16, 64):  # coarser and coarser, where nothing nearer is known
        small = (-(-w // step), -(-h // step))
        weight, fill = (
            cv2.resize(
                cv2.GaussianBlur(
                    cv2.resize(plane, small, interpolation=cv2.INTER_AREA), (0, 0), 1.5
                ),
                (w, h),
                interpolation=cv2.INTER_LINEAR,
            )
            for plane in (known, colours)
        )
        fill /= np.maximum(weight, 1e-6)[..., None]
        take = missing * np.minimum(weight * 20, 1)
        out += fill * take[..., None]
        missing -= take
    out += missing[..., None] * bgr
    out = np.where(known[..., None] > 0, bgr, out)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


# --- grounds -----------------------------------------------------------------------------------


def _plane(rng: _Rng, h: int, w: int) -> np.ndarray:
    """A soft random light: h x w float32 around 0, within about ±1."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    linear = ((x / w - 0.5) * np.cos(angle) + (y / h - 0.5) * np.sin(angle)) * 2
    cx, cy, r = rng.uniform(-0.2, 1.2), rng.uniform(-0.2, 1.2), rng.uniform(0.3, 1.2)
    radial = np.exp(-((x / w - cx) ** 2 + (y / h - cy) ** 2) / (2 * r * r)) * 2 - 1
    mix = rng.random()
    return mix * linear + (1 - mix) * radial


def _studio_colour(rng: _Rng) -> np.ndarray:
    """A ground colour as studios use them, BGR."""
    kind = rng.random()
    if kind < 0.32:
        return np.full(3, rng.uniform(238, 256)) - rng.uniform(0, 5, 3)
    if kind < 0.55:  # warm or cool off-white
        return np.full(3, rng.uniform(195, 245)) + rng.normal(0, 1, 3) * [9, 3, 9]
    if kind < 0.72:
        return np.full(3, rng.uniform(70, 210)) + rng.normal(0, 4, 3)
    if kind < 0.82:
        return np.full(3, rng.uniform(5, 60)) + rng.normal(0, 4, 3)
    hsv = np.array([[[rng.uniform(0, 180), rng.uniform(30, 230), rng.uniform(90, 255)]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64)


def _studio(rng: _Rng, h: int, w: int, colour: np.ndarray | None = None) -> np.ndarray:
    base = _studio_colour(rng) if colour is None else colour
    ground = np.empty((h, w, 3), np.float32)
    ground[:] = base
    ground += (_plane(rng, h, w) * rng.exponential(14))[..., None]
    if rng.random() < 0.3:  # where the table ends or the backdrop bends
        tilt = rng.normal(0, 0.06) * np.linspace(-0.5, 0.5, w)
        seam = (rng.uniform(0.15, 0.85) + tilt) * h
        sigma = rng.choice([0.7, 3, 12, 40]) * h / 320
        below = 1 / (1 + np.exp(-(np.arange(h)[:, None] - seam[None]) / sigma))
        other = _studio_colour(rng) if rng.random() < 0.35 else base + rng.normal(0, 18)
        ground += below[..., None].astype(np.float32) * (other - base).astype(np.float32)
    return ground


def _textured(rng: _Rng, textures: list[np.ndarray], h: int, w: int) -> np.ndarray:
    tile = textures[rng.integers(len(textures))]
    if rng.random() < 0.5:
        tile = tile.swapaxes(0, 1)
    scale = np.exp(rng.uniform(np.log(0.8), np.log(6))) * max(h, w) / 320
    th, tw = tile.shape[:2]
    angle = rng.choice([0.0, 0.0, rng.uniform(-0.4, 0.4)])
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[c, -s, rng.uniform(0, tw)], [s, c, rng.uniform(0, th)]], np.float32)
    out = cv2.warpAffine(
        tile, matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    ).astype(np.float32)  # fmt: skip
    if rng.random() < 0.4:  # brighter or paler than the sample card
        out = out * rng.uniform(0.5, 1) + rng.uniform(0, 120)
    return out + (_plane(rng, h, w) * rng.exponential(16))[..., None]


def _scene(rng: _Rng, scenes: list[np.ndarray], h: int, w: int) -> np.ndarray:
    scene = scenes[rng.integers(len(scenes))]
    sh, sw = scene.shape[:2]
    k = min(sh / h, sw / w) * rng.uniform(0.45, 1)
    ch, cw = max(int(h * k), 8), max(int(w * k), 8)
    y, x = rng.integers(sh - ch + 1), rng.integers(sw - cw + 1)
    out = cv2.resize(scene[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.75:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(1, 9)) * max(h, w) / 320)
    return out.astype(np.float32)


def draw_ground(
    rng: _Rng,
    textures: list[np.ndarray],
    scenes: list[np.ndarray],
    h: int,
    w: int,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """A ground: studio, surface, table before a wall, or a cluttered scene.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8.
        scenes: Cluttered photos, uint8.
        h: Height, pixels.
        w: Width, pixels.
        like: A BGR colour that a studio ground comes close to, for subjects that hardly show.

    Returns:
        h x w x 3 float32, around 0..255.
    """
    kind = rng.random()
    if like is not None or kind < 0.5 or not textures:
        return _studio(rng, h, w, None if like is None else like + rng.normal(0, 14, 3))
    if kind < 0.68:
        return _textured(rng, textures, h, w)
    if kind < 0.82 or not scenes:  # a table before a wall
        table = _textured(rng, textures, h, w)
        wall = _studio(rng, h, w) if rng.random() < 0.6 else _textured(rng, textures, h, w)
        cut = int(rng.uniform(0.2, 0.7) * h)
        table[:cut] = wall[:cut]
        return table
    return _scene(rng, scenes, h, w)


# --- objects -----------------------------------------------------------------------------------


def _outline(rng: _Rng, size: int) -> np.ndarray:
    """A random closed shape as a size x size float32 mask, antialiased."""
    s = size * 2
    mask = np.zeros((s, s), np.uint8)
    c = s / 2
    kind = rng.random()
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    aspect = rng.uniform(0.25, 1)
    if kind < 0.3:  # superellipse: from lozenge over ellipse to rounded box
        n = rng.choice([1.2, 2, 2, 3, 5, 10])
        r = 0.46 * s
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / n) * r
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / n) * r * aspect
    elif kind < 0.5:  # blob
        r = np.full(120, 0.33)
        for k in range(2, 7):
            r += rng.normal(0, 0.07) / k**0.5 * np.cos(k * angle + rng.uniform(0, 6.3))
        r = np.clip(r, 0.1, 0.48) * s
        x, y = r * np.cos(angle), r * np.sin(angle)
    elif kind < 0.62:  # polygon
        at = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        r = rng.uniform(0.25, 0.48, len(at)) * s
        x, y = r * np.cos(at), r * np.sin(at) * max(aspect, 0.5)
    elif kind < 0.75:  # a body of revolution: bottle, vase, cup
        t = np.linspace(0, 1, 60)
        r = rng.uniform(0.12, 0.3) + sum(
            rng.normal(0, 0.05) * np.sin(k * np.pi * t + rng.uniform(0, 6.3)) for k in (1, 2, 3)
        )
        r = np.clip(r, 0.05, 0.45) * s
        x, y = np.concatenate([r, -r[::-1]]), (np.concatenate([t, t[::-1]]) - 0.5) * 0.92 * s
    else:  # thin: cable, strap, frame
        points = (rng.uniform(0.08, 0.92, (rng.integers(2, 6), 2)) * s).astype(np.float32)
        t = np.linspace(0, len(points) - 1, 80)
        x, y = (np.interp(t, np.arange(len(points)), points[:, i]) for i in (0, 1))
        path = np.stack(
            [np.convolve(np.pad(v, 6, mode="edge"), np.ones(13) / 13, "valid") for v in (x, y)],
            axis=1,
        )
        cv2.polylines(
            mask, [np.rint(path).astype(np.int32)], bool(rng.random() < 0.3), 255,
            int(rng.uniform(0.012, 0.09) * s) + 1, cv2.LINE_AA,
        )  # fmt: skip
        return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255)
    turn = rng.choice([0.0, rng.uniform(0, 6.3)])
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    shape = np.rint(np.stack([x + c, y + c], axis=1)).astype(np.int32)
    cv2.fillPoly(mask, [shape], 255, cv2.LINE_AA)
    hole = rng.random()
    if hole < 0.12:  # a ring or a handle
        inner = np.rint((shape - c) * rng.uniform(0.4, 0.9) + c).astype(np.int32)
        cv2.fillPoly(mask, [inner], 0, cv2.LINE_AA)
    elif hole < 0.18:  # a lattice
        step = int(rng.uniform(0.05, 0.14) * s)
        bar = max(int(step * rng.uniform(0.2, 0.5)), 3)
        lattice = np.zeros_like(mask)
        for at in range(0, s, step):
            lattice[at : at + bar] = lattice[:, at : at + bar] = 255
        rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2 * bar + 1,) * 2, np.uint8))
        mask = cv2.min(mask, cv2.max(lattice, rim))
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255)


def _openwork(rng: _Rng, size: int) -> np.ndarray:
    """Bars and what shows between them, as of wheels, baskets, racks and grilles.

    Returns:
        size x size float32 mask, antialiased.
    """
    s = size * 2
    mask = np.zeros((s, s), np.uint8)
    bar = max(int(rng.uniform(0.006, 0.03) * s), 2)

    def line(points: np.ndarray, width: int) -> None:
        cv2.polylines(mask, [np.rint(points).astype(np.int32)], False, 255, width, cv2.LINE_AA)

    t = np.linspace(0, 1, 40)
    if rng.random() < 0.45:  # a wheel: rims, spokes, hub
        turn = np.linspace(0, 2 * np.pi, 160)
        rim = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 0.45
        squeeze = np.diag([rng.uniform(0.45, 1), 1.0])
        a = rng.uniform(0, np.pi)
        tilt = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ squeeze

        def put(points: np.ndarray) -> np.ndarray:
            return (points @ tilt.T + 0.5) * s

        hub, spokes, lean = rng.uniform(0.02, 0.15), rng.integers(3, 37), rng.uniform(0, 0.5)
        line(put(rim), int(bar * rng.uniform(1, 6)))
        if rng.random() < 0.5:
            line(put(rim * rng.uniform(0.75, 0.93)), bar)
        for k in range(spokes):
            outer, inner = 2 * np.pi * k / spokes, 2 * np.pi * k / spokes + lean * (-1) ** k
            ends = np.array([[np.cos(outer), np.sin(outer)], [np.cos(inner), np.sin(inner)]])
            line(put(ends * [[0.45], [0.45 * hub]]), bar)
        cv2.fillPoly(mask, [np.rint(put(rim * hub)).astype(np.int32)], 255, cv2.LINE_AA)
    else:  # a grid on a bent sheet, bars along one way or both
        corners = np.array([[0.1, 0.15], [0.9, 0.15], [0.1, 0.85], [0.9, 0.85]])
        corners += rng.uniform(-0.08, 0.08, (4, 2)) + rng.choice([0, 0.12]) * np.array(
            [[0, 0], [0, 0], [1, 0], [-1, 0]]
        )
        sag = rng.uniform(-0.12, 0.12, 2)

        def sheet(u: np.ndarray, v: np.ndarray) -> np.ndarray:
            w = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)
            bent = np.stack([sag[0] * v * (1 - v) * (2 * u - 1), sag[1] * u * (1 - u)], axis=-1)
            return (w @ corners + 4 * bent) * s

        across, along = rng.integers(4, 24), rng.choice([2, 2, 3, *range(4, 16)])
        for k in range(across):
            line(sheet(np.full_like(t, k / (across - 1)), t), bar)
        for k in range(along):
            thick = int(bar * rng.uniform(1, 3)) if k in (0, along - 1) else bar
            line(sheet(t, np.full_like(t, k / (along - 1))), thick)
        if rng.random() < 0.5:  # the far side shows through the near one
            shift = np.float32([[1, 0, 0], [0, rng.uniform(0.3, 1), rng.uniform(0, 0.2) * s]])
            mask = cv2.max(mask, cv2.warpAffine(mask, shift, (s, s)))
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255)


def _stripes(rng: _Rng, size: int) -> np.ndarray:
    """Bars beside one another, whole or broken, as cloth has them.

    Returns:
        size x size float32 mask, antialiased.
    """
    period = size / rng.uniform(1.5, 12)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    row, within = np.divmod(y, period)
    bars = np.clip(period * rng.uniform(0.1, 0.35) - np.abs(within - period / 2) + 0.5, 0, 1)
    if rng.random() < 0.5:
        length = period * rng.uniform(0.7, 5)
        start = x + rng.uniform(-1, 1) * y + row * rng.choice([0, length / 2, rng.uniform(0, size)])
        bars = bars * np.clip((start % length) - length * rng.uniform(0.1, 0.5), 0, 1)
    return bars.astype(np.float32)


def draw_object(rng: _Rng, textures: list[np.ndarray], size: int = 320) -> Cutout | None:
    """Draws a made-up thing of one to four parts, each with its own surface and shading."""
    colour = np.zeros((size, size, 3), np.float32)
    alpha = np.zeros((size, size), np.float32)
    open_work = rng.random() < 0.3
    for _ in range(1 if open_work else rng.choice([1, 1, 2, 3, 4])):
        part = _openwork(rng, size) if open_work else _outline(rng, size)
        if rng.random() < 0.5:
            surface = _textured(rng, textures, size, size)
        else:
            surface = _studio(rng, size, size)
        depth = cv2.GaussianBlur(part, (0, 0), size * rng.uniform(0.02, 0.12))
        shade = (depth - 0.7) * rng.uniform(0, 120)  # darker towards the outline
        if rng.random() < 0.3:
            shade = -shade * 0.5
        surface = surface + (shade + _plane(rng, size, size) * rng.uniform(0, 40))[..., None]
        if rng.random() < 0.3:  # a highlight
            spot = _outline(rng, size)
            spot = cv2.GaussianBlur(spot, (0, 0), size * 0.02) * rng.uniform(20, 160)
            surface = surface + spot[..., None]
        colour += part[..., None] * (surface - colour)
        alpha = part + alpha * (1 - part)
    return Cutout.make(np.clip(colour, 0, 255).astype(np.uint8), alpha, size)


def _tint(rng: _Rng, bgr: np.ndarray) -> np.ndarray:
    """Another colour of the same product; whites and greys are frequent in shops."""
    x = bgr.astype(np.float32)
    kind = rng.random()
    if kind < 0.16:  # to white, keeping the folds
        grey = x.mean(axis=2, keepdims=True)
        x = 255 - (255 - grey) * rng.uniform(0.15, 0.5) + (x - grey) * rng.uniform(0, 0.3)
    elif kind < 0.24:  # to black
        grey = x.mean(axis=2, keepdims=True)
        x = grey * rng.uniform(0.15, 0.45) + (x - grey) * rng.uniform(0, 0.3)
    elif kind < 0.5:
        hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + rng.integers(180)) % 180
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
    return x * rng.uniform(0.75, 1.2) + rng.normal(0, 8)


def _print(rng: _Rng, bgr: np.ndarray, alpha: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Prints a pattern on the subject, or paints a part of it: paint opens nothing.

    Without it a network that has seen lattices takes dark or foreign patches for openings.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3.
        alpha: Its alpha, h x w float32.
        ground: The picture that it stands in, h x w x 3; some paint comes close to its colour.

    Returns:
        The colours with the print, h x w x 3 float32, shaded as they were.
    """
    h, w = alpha.shape
    x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    if not bw:
        return bgr
    kind = rng.random()
    motif = (
        _openwork(rng, 96) if kind < 0.2 else _stripes(rng, 96) if kind < 0.5 else _outline(rng, 64)
    )
    if rng.random() < 0.6:  # all over
        motif = cv2.copyMakeBorder(motif, *rng.integers(0, 24, 4).tolist(), cv2.BORDER_CONSTANT)
        share, border = rng.uniform(0.04, 0.35), cv2.BORDER_WRAP
    else:  # one patch: a label, a screen, a lining, what a cup holds
        share, border = rng.uniform(0.25, 1.1), cv2.BORDER_CONSTANT
    scale = share * max(bw, bh) / 64
    angle = rng.choice([0.0, rng.uniform(0, 2 * np.pi)])
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    cx, cy = x + bw * rng.uniform(0.2, 0.8), y + bh * rng.uniform(0.2, 0.8)
    mh, mw = motif.shape
    py, px = np.mgrid[:h, :w].astype(np.float32)
    if rng.random() < 0.5:  # on a fold
        fold = rng.normal(0, 0.04 * max(bw, bh), (2, *rng.integers(2, 6, 2))).astype(np.float32)
        py += cv2.resize(fold[0], (w, h), interpolation=cv2.INTER_CUBIC)
        px += cv2.resize(fold[1], (w, h), interpolation=cv2.INTER_CUBIC)
    at_x = np.float32(c) * (px - np.float32(cx)) - np.float32(s) * (py - np.float32(cy)) + mw / 2
    at_y = np.float32(s) * (px - np.float32(cx)) + np.float32(c) * (py - np.float32(cy)) + mh / 2
    mask = cv2.remap(motif, at_x, at_y, cv2.INTER_LINEAR, borderMode=border)
    if border == cv2.BORDER_WRAP and rng.random() < 0.4:
        mask = 1 - mask
    inside = alpha > 0.5
    grey = cv2.cvtColor(np.clip(bgr, 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY)
    shade = grey.astype(np.float32) / max(float(grey[inside].mean()), 24)
    shade = 1 + (np.clip(shade, 0, 2) - 1) * rng.uniform(0.2, 0.9)
    kind = rng.random()
    if kind < 0.3:
        paint = ground[inside].mean(axis=0) + rng.normal(0, 24, 3)
    elif kind < 0.45:  # black, as the depth of an opening is
        paint = rng.uniform(0, 50) + rng.normal(0, 8, 3)
    else:
        paint = _studio_colour(rng)
    cover = (mask * rng.uniform(0.6, 1))[..., None]
    return bgr + cover * (paint.astype(np.float32) * shade[..., None] - bgr)


def _vitrify(rng: _Rng, bgr: np.ndarray, alpha: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Turns the subject, or what of it lies above a level, to clear glass: subject all the same.

    What stands behind is seen through it, a little bent and dimmed; the walls seen edge on, along
    the outline, and the highlights keep the subject's own colours.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3.
        alpha: Its alpha, h x w float32.
        ground: The picture that it stands in, h x w x 3.

    Returns:
        The colours as glass, h x w x 3 float32.
    """
    h, w = alpha.shape
    x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    if not bw:
        return bgr
    sigma = rng.uniform(0.01, 0.04) * max(bw, bh)
    inner = np.clip(2 * cv2.GaussianBlur(alpha, (0, 0), sigma) - 1, 0, 1)
    grey = cv2.cvtColor(np.clip(bgr, 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY)
    bright = np.clip((grey.astype(np.float32) - rng.uniform(170, 240)) / 40, 0, 1)
    solid = rng.uniform(0.04, 0.3) + rng.uniform(0.4, 0.9) * (1 - inner) ** rng.uniform(1, 3)
    solid = np.maximum(solid, bright * rng.uniform(0, 0.8))
    if rng.random() < 0.4:  # full up to a level, or a foot
        level = y + bh * rng.uniform(0.2, 0.8)
        solid = np.where(np.arange(h)[:, None] > level, 1, solid)
    k = rng.uniform(0.85, 1.15)
    middle = np.array([x + bw / 2, y + bh / 2])
    bend = np.column_stack([np.eye(2) * k, middle * (1 - k) + rng.normal(0, 0.02, 2) * bh])
    behind = cv2.warpAffine(ground, bend, (w, h), borderMode=cv2.BORDER_REPLICATE)
    behind *= (rng.uniform(0.75, 1.02) + rng.normal(0, 0.02, 3)).astype(np.float32)
    cover = np.clip(solid, 0, 1).astype(np.float32)[..., None]
    return behind + cover * (bgr - behind)


def _place(
    rng: _Rng, cutout: Cutout, h: int, w: int, reach: tuple[float, float], truncate: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Puts a cut-out somewhere into h x w.

    Args:
        rng: Source of chance.
        cutout: The subject.
        h: Height, pixels.
        w: Width, pixels.
        reach: Least and largest share of the picture that the subject spans.
        truncate: Whether it may run out of the picture.

    Returns:
        Its colours, h x w x 3 uint8, and its alpha, h x w float32.
    """
    level = cutout.levels[0]
    angle = rng.normal(0, 0.12) if rng.random() < 0.75 else rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    ch, cw = level.shape[:2]
    bw, bh = abs(c) * cw + abs(s) * ch, abs(s) * cw + abs(c) * ch
    scale = rng.uniform(*reach) * min(w / bw, h / bh)
    if truncate:
        scale *= rng.uniform(1, 1.6)
    slack_x, slack_y = (w - bw * scale) / 2, (h - bh * scale) / 2
    dx, dy = (float(np.clip(rng.normal(0, 0.4), -1, 1)) * abs(v) for v in (slack_x, slack_y))
    if truncate:
        dx += rng.normal(0, 0.2) * w
        dy += rng.normal(0, 0.2) * h
    if scale < 0.6:
        level = cutout.levels[1]
        scale, ch, cw = scale * 2, level.shape[0], level.shape[1]
    flip = -1 if rng.random() < 0.5 else 1
    a = np.array([[c * scale * flip, -s * scale], [s * scale * flip, c * scale]])
    shift = np.array([w / 2 + dx, h / 2 + dy]) - a @ np.array([cw / 2, ch / 2])
    placed = cv2.warpAffine(
        level, np.column_stack([a, shift]), (w, h), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0)
    )
    return placed[..., :3], placed[..., 3].astype(np.float32) / 255


def _pair(rng: _Rng, bgr: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subject and its like beside it, as shoes are shown: the gap is narrow, and is ground.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3 uint8.
        alpha: Its alpha, h x w float32.

    Returns:
        Both together, shrunk into the same h x w; the subject as it was where it is too small.
    """
    h, w = alpha.shape
    twin_bgr, twin = (bgr[:, ::-1], alpha[:, ::-1]) if rng.random() < 0.6 else (bgr, alpha)
    gap = round(w * rng.uniform(0.005, 0.06))
    solid, other = alpha > 0.1, twin > 0.1
    rows = solid.any(axis=1) & other.any(axis=1)
    if rows.sum() < 8:
        return bgr, alpha
    last = w - 1 - solid[rows, ::-1].argmax(axis=1)  # of the subject, in each row
    by = int((last - other[rows].argmax(axis=1)).max()) + gap + 1
    both = np.zeros((h, w + abs(by), 4), np.float32)  # colours times alpha, and alpha
    for at, colours, a in ((max(by, 0), twin_bgr, twin), (max(-by, 0), bgr, alpha)):
        both[:, at : at + w] *= 1 - a[..., None]
        both[:, at : at + w] += np.dstack([colours * a[..., None], a])
    columns = np.flatnonzero(both[..., 3].any(axis=0))
    left, right = columns[0], columns[-1] + 1
    k = min(1.0, w / (right - left))
    size = (min(w, round((right - left) * k)), max(1, round(h * k)))
    both = cv2.resize(both[:, left:right], size, interpolation=cv2.INTER_AREA)
    frame = np.zeros((h, w, 4), np.float32)
    x, y = int(rng.integers(0, w - size[0] + 1)), int(rng.integers(0, h - size[1] + 1))
    frame[y : y + size[1], x : x + size[0]] = both
    alpha = np.minimum(frame[..., 3], 1)
    return np.rint(frame[..., :3] / np.maximum(alpha, 1e-3)[..., None]).astype(np.uint8), alpha


def _cast(rng: _Rng, ground: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Darkens the ground by the shadows of `alpha`: contact, drop and cast; sometimes a mirror."""
    h, w = alpha.shape
    dark = np.zeros((h, w), np.float32)
    if rng.random() < 0.75:  # contact or drop
        sigma = float(rng.choice([1.5, 4, 10, 25])) * rng.uniform(0.7, 1.5) * h / 320
        move = np.array(
            [[1, 0, rng.normal(0, 1.2) * sigma], [0, 1, rng.uniform(0, 1.6) * sigma]], np.float64
        )
        soft = cv2.warpAffine(cv2.GaussianBlur(alpha, (0, 0), sigma), move, (w, h))
        dark = np.maximum(dark, soft * rng.uniform(0.05, 0.65))
    if rng.random() < 0.3:  # a low lamp throws it over the table
        x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
        foot = y + bh
        flat, shear = rng.uniform(-0.5, 0.5), rng.uniform(-1.5, 1.5)
        move = np.array([[1, shear, -shear * foot], [0, flat, (1 - flat) * foot]], np.float64)
        soft = cv2.warpAffine(alpha, move, (w, h))
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(1, 12) * h / 320)
        dark = np.maximum(dark, soft * rng.uniform(0.1, 0.6))
    if rng.random() < 0.25:  # the plate under things that float in shops' pictures
        x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
        plate = np.zeros((h, w), np.float32)
        at = (int(x + bw / 2), int(y + bh * rng.uniform(0.97, 1.08)))
        axes = (max(int(bw * rng.uniform(0.3, 0.6)), 1), max(int(bh * rng.uniform(0.02, 0.08)), 1))
        cv2.ellipse(plate, at, axes, 0, 0, 360, 1.0, -1)
        plate = cv2.GaussianBlur(plate, (0, 0), rng.uniform(2, 10) * h / 320)
        dark = np.maximum(dark, plate * rng.uniform(0.1, 0.7))
    hue = np.array([rng.uniform(0.9, 1.1), 1, rng.uniform(0.85, 1.05)], np.float32)
    return ground * (1 - dark[..., None] * hue)


def _mirror(rng: _Rng, ground: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A faint reflection under the subject, as on a glossy table."""
    h, _ = alpha.shape
    _, y, _, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    foot = y + bh
    if bh == 0 or foot >= h - 4:
        return ground
    rows = 2 * foot - 1 - np.arange(foot, h)
    rows = rows[rows >= 0]
    part = slice(foot, foot + len(rows))
    fade = np.linspace(1, 0, max(int(bh * rng.uniform(0.2, 0.8)), 2), dtype=np.float32)
    fade = np.pad(fade, (0, max(len(rows) - len(fade), 0)))[: len(rows)]
    seen = alpha[rows] * (fade * rng.uniform(0.1, 0.5))[:, None]
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.5, 3))
    ground = ground.copy()
    ground[part] += seen[..., None] * (colour[rows].astype(np.float32) - ground[part])
    return ground


# --- the camera --------------------------------------------------------------------------------


def _develop(rng: _Rng, x: np.ndarray, gentle: bool = False) -> np.ndarray:
    """Light, lens, sensor and file format: float32 in, uint8 out."""
    h, w = x.shape[:2]
    if rng.random() < 0.6:
        x = x * (1 + rng.normal(0, 0.06, 3)).astype(np.float32) * rng.uniform(0.8, 1.15)
    if rng.random() < 0.3:
        x = (x - 128) * rng.uniform(0.7, 1.25) + 128
    x = np.clip(x, 0, 255)
    if rng.random() < 0.25:
        x = 255 * (x / 255) ** np.float32(np.exp(rng.normal(0, 0.25)))
    if not gentle and rng.random() < 0.35:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.35, 1.1))
    if rng.random() < 0.06:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.35:
        noise = rng.standard_normal((h, w, 1 if rng.random() < 0.5 else 3), np.float32)
        x = x + noise * np.float32(rng.exponential(3.5))
    x = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        quality = int(rng.uniform(30, 95))
        x = cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    return x


def _dress(rng: _Rng, bank: Bank, ground: np.ndarray) -> np.ndarray:
    """Stands one to three other things about: small, aside, most of them out of focus."""
    h, w = ground.shape[:2]
    for _ in range(rng.integers(1, 4)):
        cutout = _draw(rng, bank.cutouts, _CUTOUT_WEIGHTS)
        bgr, a = _place(rng, cutout, h, w, (0.2, 0.5), truncate=False)
        side = rng.choice([-1, 1]) * rng.uniform(0.25, 0.5) * w
        move = np.array([[1, 0, side], [0, 1, rng.uniform(-0.25, 0.1) * h]])
        bgr, a = (cv2.warpAffine(plane, move, (w, h)) for plane in (bgr, a))
        bgr = _tint(rng, bgr)
        ground = _cast(rng, ground, a)
        sigma = float(rng.choice([0.0, rng.uniform(0.5, 6)])) * max(h, w) / 320
        if sigma:
            veiled = cv2.GaussianBlur(bgr * a[..., None], (0, 0), sigma)
            a = cv2.GaussianBlur(a, (0, 0), sigma)
            ground = ground * (1 - a[..., None]) + veiled
        else:
            ground = ground + a[..., None] * (bgr - ground)
    return ground


def compose(rng: _Rng, bank: Bank, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Composes one to four cut-outs over a ground.

    Returns:
        h x w x 3 uint8 BGR and its alpha, h x w float32.
    """
    count = int(rng.choice([1, 2, 3, 4], p=[0.72, 0.15, 0.08, 0.05]))
    dressed = count < 3 and rng.random() < 0.2
    reach = (0.35, 0.97) if count == 1 else (0.2, 0.6)
    if dressed:  # the product must stand out from what stands about
        reach = (0.6, 0.97) if count == 1 else (0.45, 0.7)
    colour = None
    alpha = np.zeros((h, w), np.float32)
    for i in range(count):
        cutout = _draw(rng, bank.cutouts, _CUTOUT_WEIGHTS)
        bgr, a = _place(rng, cutout, h, w, reach, truncate=bool(rng.random() < 0.2))
        if rng.random() < 0.1:
            bgr, a = _pair(rng, bgr, a)
        bgr = _tint(rng, bgr)
        if i == 0:
            like = bgr[a > 0.5].mean(axis=0) if rng.random() < 0.12 and (a > 0.5).any() else None
            colour = draw_ground(rng, bank.textures, bank.scenes, h, w, like)
            if dressed:
                colour = _dress(rng, bank, colour)
        while rng.random() < 0.32:
            bgr = _print(rng, bgr, a, colour)
        if rng.random() < 0.05:
            bgr = _vitrify(rng, bgr, a, colour)
        shaded = _cast(rng, colour, a)
        # A shadow that falls on an earlier object stays faint: it must not look like ground.
        colour = shaded + alpha[..., None] * 0.6 * (colour - shaded)
        if rng.random() < 0.08:
            colour = _mirror(rng, colour, bgr, a)
        colour = colour + a[..., None] * (bgr - colour)
        alpha = a + alpha * (1 - a)
    return _develop(rng, colour), alpha


def crop(
    rng: _Rng, picture: Picture, h: int, w: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Takes most of a picture, flipped, perhaps turned, stretched by a fifth at most.

    Returns:
        h x w x 3 uint8 BGR, alpha h x w float32, trust h x w float32 or None.
    """
    planes = [picture.bgr, picture.alpha]
    if picture.trust is not None:
        planes.append(picture.trust)
    if rng.random() < 0.15:
        planes = [np.rot90(p, k=1) for p in planes]
    if rng.random() < 0.5:
        planes = [p[:, ::-1] for p in planes]
    ph, pw = planes[1].shape
    share = 1.0 if rng.random() < 0.5 else rng.uniform(0.55, 1)
    ratio = np.clip((w / h) / (pw / ph), 0.8, 1.25)  # so far the picture is stretched, then cut
    k = min(ph / h, pw / (w / ratio)) * share
    ch, cw = min(max(round(h * k), 1), ph), min(max(round(w * k / ratio), 1), pw)
    y, x = rng.integers(ph - ch + 1), rng.integers(pw - cw + 1)
    planes = [np.ascontiguousarray(p[y : y + ch, x : x + cw]) for p in planes]
    method = cv2.INTER_AREA if ch > h and cw > w else cv2.INTER_LINEAR
    planes = [cv2.resize(p, (w, h), interpolation=method) for p in planes]
    bgr = planes[0]
    if rng.random() < 0.3:
        bgr = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)
        bgr[..., 0] = (bgr[..., 0].astype(np.int16) + rng.integers(-12, 13)) % 180
        bgr = cv2.cvtColor(bgr, cv2.COLOR_HSV2BGR)
    alpha = planes[1].astype(np.float32) / 255
    trust = planes[2].astype(np.float32) / 255 if len(planes) == 3 else None
    bgr = bgr.astype(np.float32)
    if rng.random() < 0.25:
        bgr += alpha[..., None] * (_print(rng, bgr, alpha, bgr) - bgr)
    return _develop(rng, bgr, gentle=True), alpha, trust


def empty(rng: _Rng, bank: Bank, h: int, w: int) -> np.ndarray:
    """A scene without a subject, perhaps with a shadow that falls in from outside."""
    if bank.empties and rng.random() < 0.3:
        ground = _scene(rng, bank.empties, h, w)
    else:
        ground = draw_ground(rng, bank.textures, [], h, w)
    if rng.random() < 0.35:
        blot = cv2.resize(_outline(rng, 64), (w, h))
        move = np.array([[1, 0, rng.normal(0, 0.4) * w], [0, 1, rng.normal(0, 0.4) * h]])
        blot = cv2.warpAffine(blot, move, (w, h))
        blot = cv2.GaussianBlur(blot, (0, 0), rng.uniform(4, 30) * max(h, w) / 320)
        ground = ground * (1 - blot[..., None] * rng.uniform(0.05, 0.4))
    return _develop(rng, ground)


# --- samples -----------------------------------------------------------------------------------


def pad(plane: np.ndarray, h: int, w: int) -> np.ndarray:
    """Repeats the last pixels to the right and below until `plane` is h x w."""
    ph, pw = plane.shape[:2]
    return cv2.copyMakeBorder(plane, 0, h - ph, 0, w - pw, cv2.BORDER_REPLICATE)


def frame_of(seed: int, batch: int, size: int) -> tuple[int, int]:
    """Height and width of a batch of samples: multiples of 32, the longer side `size`."""
    rng = np.random.default_rng([seed, batch, 1])
    if rng.random() < 0.45:
        return size, size
    short = int(rng.choice(np.arange(round(0.6 * size / 32) * 32, size, 32)))
    return (size, short) if rng.random() < 0.6 else (short, size)


def edge_band(alpha: np.ndarray, width: int = 5) -> np.ndarray:
    """Where `alpha` changes within `width` pixels: H x W float32, 0 or 1."""
    kernel = np.ones((width, width), np.uint8)
    return (cv2.dilate(alpha, kernel) - cv2.erode(alpha, kernel) > 0.1).astype(np.float32)


def make_sample(seed: int, index: int, bank: Bank, h: int, w: int) -> dict[str, np.ndarray]:
    """Makes the training sample number `index`, always the same.

    Args:
        seed: The run's seed.
        index: The sample's number.
        bank: What to make it of.
        h: Height, pixels.
        w: Width, pixels.

    Returns:
        ``image`` 3 x h x w uint8 RGB; ``alpha`` h x w uint8; ``weight`` h x w uint8, 32 for an
        ordinary pixel; ``exact`` uint8, 1 where the alpha is true to the pixel.
    """
    rng = np.random.default_rng([seed, index])
    kinds = list(_KINDS)
    kind = kinds[rng.choice(len(kinds), p=list(_KINDS.values()))]
    # The network is fed multiples of 32; what a picture lacks is padded, as here.
    ph, pw = h, w
    if rng.random() < 0.4:
        ph, pw = (h - rng.integers(32), w) if rng.random() < 0.5 else (h, w - rng.integers(32))
    trust = None
    if kind == "picture" and any(bank.pictures.values()):
        bgr, alpha, trust = crop(rng, _draw(rng, bank.pictures, _PICTURE_WEIGHTS), ph, pw)
    elif kind == "empty":
        bgr = empty(rng, bank, ph, pw)
        alpha = np.zeros((ph, pw), np.float32)
    else:
        bgr, alpha = compose(rng, bank, ph, pw)
    weight = 1 + 3 * edge_band(alpha) if trust is None else trust
    return {
        "image": np.ascontiguousarray(pad(bgr, h, w)[..., ::-1].transpose(2, 0, 1)),
        "alpha": np.rint(pad(alpha, h, w) * 255).astype(np.uint8),
        "weight": np.rint(pad(weight, h, w) * 32).astype(np.uint8),
        "exact": np.uint8(trust is None),
    }
