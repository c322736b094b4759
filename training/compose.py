"""Training pictures with known alpha: cut-outs composed over backgrounds, and photos cropped.

All in numpy and OpenCV. Every sample is a function of its generator alone, so that a run can be
repeated and resumed. Colours are BGR uint8 until the very end; alphas are float32 in 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from .backgrounds import draw_background, light_plane, scenery, studio_colour
from .goods import draw_cover
from .objects import outline
from .patterns import draw_patterned
from .pieces import Bank, Picture, Rng, draw_from
from .placing import pair, place, spread
from .shadows import Sun, cast_soft, draw_foreign, mirror
from .surfaces import fray, print_on, tint, vitrify, whiten

__all__ = ["compose", "crop", "edge_band", "empty", "frame_of", "make_sample", "pad"]

_CUTOUT_WEIGHTS = {
    "exact": 0.18, "photos": 0.22, "renders": 0.14, "models": 0.27, "drawn": 0.09, "packs": 0.05,
    "loops": 0.05,
}  # fmt: skip
_PICTURE_WEIGHTS = {
    "renders": 0.4, "spree": 0.14, "eshop_ai": 0.13, "bagisto": 0.07, "azure": 0.05,
    "apc": 0.04, "sylius": 0.02, "clothing": 0.19,
}  # fmt: skip
_KINDS = {"composite": 0.6, "picture": 0.33, "empty": 0.07}
_PATTERNED, _SUNNY, _FLAT, _HARD_EVEN = 0.38, 0.42, 0.05, 0.2  # of composites


# --- the camera --------------------------------------------------------------------------------


def develop(rng: Rng, x: np.ndarray, gentle: bool = False) -> np.ndarray:
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
        file = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded: np.ndarray | None = cv2.imdecode(file, cv2.IMREAD_COLOR)
        assert decoded is not None  # it was encoded just now
        return decoded
    return x


def _as_drawn(picture: np.ndarray) -> np.ndarray:
    """A picture (float32) that no camera took, as uint8."""
    drawn: np.ndarray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return drawn


def _colours_of(rng: Rng, bgr: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A few of the subject's colours, N x 3 float32."""
    inside = np.flatnonzero(alpha > 0.5)
    if not len(inside):
        return np.empty((0, 3), np.float32)
    at = inside[rng.integers(0, len(inside), 32)]
    colours: np.ndarray = np.clip(bgr.reshape(-1, 3)[at], 0, 255).astype(np.float32)
    return colours


def _behind(rng: Rng, bank: Bank, h: int, w: int, own: np.ndarray, even: bool) -> np.ndarray:
    """The background of a composite: h x w x 3 float32.

    Args:
        rng: Source of chance.
        bank: Its surfaces and scenes are used.
        h: Height, pixels.
        w: Width, pixels.
        own: N x 3 colours of the subject.
        even: Whether it must be an even one.
    """
    kind = rng.random()
    if len(own) and kind < (0.25 if even else 0.1):
        return draw_background(rng, [], [], h, w, own.mean(axis=0))
    if even:
        return draw_background(rng, [], [], h, w)
    if kind < 0.1 + _PATTERNED:
        return draw_patterned(rng, bank.textures, h, w, own)
    return draw_background(rng, bank.textures, bank.scenes, h, w)


def _side_lit(rng: Rng, bgr: np.ndarray) -> np.ndarray:
    """A subject lit from one side, as by the sun: float32."""
    h, w = bgr.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
    light = np.float32(np.cos(angle)) * x[None] + np.float32(np.sin(angle)) * y[:, None]
    return bgr * (1 + np.float32(rng.uniform(0.1, 0.4)) * light)[..., None]


def _white_on_white(rng: Rng, bank: Bank, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """A white product on white, with a soft shadow or without."""
    cutout = draw_from(rng, bank.cutouts, _CUTOUT_WEIGHTS)
    bgr, alpha, _ = place(rng, cutout, h, w, (0.4, 0.95), truncate=bool(rng.random() < 0.1))
    white = np.full(3, rng.uniform(236, 256))
    picture = draw_background(rng, [], [], h, w, white)
    if rng.random() < 0.6:
        picture = cast_soft(rng, picture, alpha)
    return picture + alpha[..., None] * (whiten(rng, bgr) - picture), alpha


def _flat(rng: Rng, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """A card, a chip or a sheet: one even colour on another. Neither a cover nor a pattern."""
    picture = draw_background(rng, [], [], h, w, studio_colour(rng))
    alpha = np.zeros((h, w), np.float32)
    side = int(min(h, w) * np.exp(rng.uniform(np.log(0.15), np.log(0.95))))
    kind = rng.random()
    if kind < 0.35:  # upright, as it is scanned
        shape = np.ones((side, max(int(side * rng.uniform(0.3, 1)), 8)), np.float32)
        shape = np.rot90(shape) if rng.random() < 0.5 else shape
    elif kind < 0.55:  # a disc is no dot of a pattern
        disc = np.zeros((4 * side, 4 * side), np.uint8)
        cv2.circle(disc, (2 * side, 2 * side), 2 * side - 4, 255, -1)
        shape = cv2.resize(disc, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)
    else:
        shape = outline(rng, side)
    high, wide = shape.shape
    y, x = int(rng.integers(0, h - high + 1)), int(rng.integers(0, w - wide + 1))
    alpha[y : y + high, x : x + wide] = shape
    behind = picture.mean(axis=(0, 1))
    colour = studio_colour(rng) if rng.random() < 0.4 else rng.uniform(0, 255, 3)
    while np.abs(colour - behind).max() < 30:
        colour = rng.uniform(0, 255, 3)
    subject = np.empty_like(picture)
    subject[:] = colour
    if rng.random() < 0.5:
        subject += (light_plane(rng, h, w) * rng.exponential(10))[..., None]
    if rng.random() < 0.35:
        picture = cast_soft(rng, picture, alpha)
    return picture + alpha[..., None] * (subject - picture), alpha


def _in_hard_light(rng: Rng, bank: Bank, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """A product on an even background, in hard light: the shadow goes on where it ends.

    It lies there, or it stands there where its shadow is known from its shape.
    """
    cutout = draw_from(rng, bank.cutouts, _CUTOUT_WEIGHTS)
    bgr, alpha, known = place(rng, cutout, h, w, (0.3, 0.9), truncate=bool(rng.random() < 0.1))
    if rng.random() < 0.4:
        known = None
    bgr = tint(rng, bgr)
    if rng.random() < 0.5:
        bgr = _side_lit(rng, bgr)
    picture = _behind(rng, bank, h, w, _colours_of(rng, bgr, alpha), even=True)
    sun = Sun.draw(rng, max(h, w), "board" if rng.random() < 0.75 else None)
    picture = sun.cast(picture, sun.shadow(alpha, known))
    if rng.random() < 0.3:
        picture = cast_soft(rng, picture, alpha)
    return picture + alpha[..., None] * (bgr - picture), alpha


def _dress(rng: Rng, bank: Bank, background: np.ndarray) -> np.ndarray:
    """Stands one to three other things about: small, aside, most of them out of focus."""
    h, w = background.shape[:2]
    for _ in range(rng.integers(1, 4)):
        cutout = draw_from(rng, bank.cutouts, _CUTOUT_WEIGHTS)
        bgr, a, _ = place(rng, cutout, h, w, (0.2, 0.5), truncate=False)
        side = rng.choice([-1, 1]) * rng.uniform(0.25, 0.5) * w
        move = np.array([[1, 0, side], [0, 1, rng.uniform(-0.25, 0.1) * h]])
        bgr, a = (cv2.warpAffine(plane, move, (w, h)) for plane in (bgr, a))
        bgr = tint(rng, bgr)
        background = cast_soft(rng, background, a)
        sigma = float(rng.choice([0.0, rng.uniform(0.5, 6)])) * max(h, w) / 320
        if sigma:
            veiled = cv2.GaussianBlur(bgr * a[..., None], (0, 0), sigma)
            a = cv2.GaussianBlur(a, (0, 0), sigma)
            background = background * (1 - a[..., None]) + veiled
        else:
            background = background + a[..., None] * (bgr - background)
    return background


def _overcast(rng: Rng, bank: Bank, sun: Sun, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Shadows of things outside of the frame, on the background and perhaps on the subject."""
    h, w = alpha.shape
    shade = draw_foreign(rng, bank.cutouts.get("models", []), h, w)
    onto = shade * (1 - alpha)
    if rng.random() < 0.5:  # the subject is nearer to the light: on it they lie elsewhere
        shift = np.array([[1, 0, rng.normal(0, 0.04) * w], [0, 1, rng.normal(0, 0.04) * h]])
        moved = cv2.warpAffine(shade, shift, (w, h), borderMode=cv2.BORDER_REPLICATE)
        onto = onto + moved * alpha
    return sun.cast(picture, onto)


def compose(rng: Rng, bank: Bank, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Composes one to four cut-outs, or many of the same, over a background.

    Args:
        rng: Source of chance.
        bank: What to make it of.
        h: Height, pixels.
        w: Width, pixels.

    Returns:
        h x w x 3 uint8 BGR and its alpha, h x w float32.
    """
    kind = rng.random()
    if kind < 0.03:
        picture, alpha = draw_cover(rng, bank.textures, h, w)
        return develop(rng, picture), alpha
    if kind < 0.09:
        picture, alpha = _white_on_white(rng, bank, h, w)
        return develop(rng, picture), alpha
    if kind < 0.09 + _FLAT:
        picture, alpha = _flat(rng, h, w)
        return (develop(rng, picture) if rng.random() < 0.6 else _as_drawn(picture)), alpha
    if kind < 0.09 + _FLAT + _HARD_EVEN:
        picture, alpha = _in_hard_light(rng, bank, h, w)
        return (develop(rng, picture) if rng.random() < 0.8 else _as_drawn(picture)), alpha
    many = kind < 0.175 + _FLAT + _HARD_EVEN
    count = 1 if many else int(rng.choice([1, 2, 3, 4], p=[0.74, 0.14, 0.07, 0.05]))
    dressed = not many and count < 3 and rng.random() < 0.16
    reach = (0.35, 0.97) if count == 1 else (0.2, 0.6)
    if dressed:  # the product must stand out from what stands about
        reach = (0.6, 0.97) if count == 1 else (0.45, 0.7)
    sun = Sun.draw(rng, max(h, w))
    sunny, shaded = rng.random() < _SUNNY, rng.random()
    alpha = np.zeros((h, w), np.float32)
    for number in range(count):
        cutout = draw_from(rng, bank.cutouts, _CUTOUT_WEIGHTS)
        if many:
            bgr, a, known = spread(rng, cutout, h, w)
        else:
            bgr, a, known = place(rng, cutout, h, w, reach, truncate=bool(rng.random() < 0.2))
            if rng.random() < 0.08:
                bgr, a = pair(rng, bgr, a)
                known = None
        bgr = tint(rng, bgr)
        if rng.random() < 0.07:
            bgr, a = fray(rng, bgr, a)
            known = None
        if sunny and rng.random() < 0.5:
            bgr = _side_lit(rng, bgr)
        if number == 0:
            own = _colours_of(rng, bgr, a)
            picture = _behind(rng, bank, h, w, own, rng.random() < (0.75 if many else 0.2))
            if dressed:
                picture = _dress(rng, bank, picture)
        while rng.random() < 0.27:
            bgr = print_on(rng, bgr, a, picture)
        if rng.random() < 0.08:
            bgr = vitrify(rng, bgr, a, picture)
        below = picture
        if sunny:
            below = sun.cast(below, sun.shadow(a, known if rng.random() < 0.85 else None))
        if not sunny or rng.random() < 0.4:
            below = cast_soft(rng, below, a)
        # A shadow that falls on an earlier object stays faint: it must not look like background.
        picture = below + alpha[..., None] * 0.6 * (picture - below)
        if rng.random() < 0.12:
            picture = mirror(rng, picture, bgr, a)
        picture = picture + a[..., None] * (bgr - picture)
        alpha = a + alpha * (1 - a)
    if shaded < (0.3 if sunny else 0.06):
        picture = _overcast(rng, bank, sun, picture, alpha)
    return develop(rng, picture), alpha


def crop(
    rng: Rng, picture: Picture, h: int, w: int
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
        bgr += alpha[..., None] * (print_on(rng, bgr, alpha, bgr) - bgr)
    return develop(rng, bgr, gentle=True), alpha, trust


def empty(rng: Rng, bank: Bank, h: int, w: int) -> np.ndarray:
    """A scene without a subject, half of them with shadows that fall in from outside."""
    kind = rng.random()
    if bank.empties and kind < 0.22:
        picture = scenery(rng, bank.empties, h, w)
    elif kind < 0.65:
        picture = draw_patterned(rng, bank.textures, h, w)
    else:
        picture = draw_background(rng, bank.textures, [], h, w)
    if rng.random() < 0.55:
        shade = draw_foreign(rng, bank.cutouts.get("models", []), h, w)
        if rng.random() < 0.3:
            shade = cv2.GaussianBlur(shade, (0, 0), rng.uniform(4, 30) * max(h, w) / 320)
        picture = Sun.draw(rng, max(h, w)).cast(picture, shade)
    return develop(rng, picture)


# --- samples -----------------------------------------------------------------------------------


def pad(plane: np.ndarray, h: int, w: int) -> np.ndarray:
    """Repeats the last pixels to the right and below until `plane` is h x w."""
    ph, pw = plane.shape[:2]
    padded: np.ndarray = cv2.copyMakeBorder(plane, 0, h - ph, 0, w - pw, cv2.BORDER_REPLICATE)
    return padded


def frame_of(seed: int, batch: int, size: int) -> tuple[int, int]:
    """Height and width of a batch of samples: multiples of 32, the longer side `size`."""
    rng = np.random.default_rng([seed, batch, 1])
    if rng.random() < 0.45:
        return size, size
    short = round(0.78 * size / 32) * 32  # one only: a GPU prepares for each shape
    return (size, short) if rng.random() < 0.6 else (short, size)


def edge_band(alpha: np.ndarray, width: int = 5) -> np.ndarray:
    """Where `alpha` changes within `width` pixels: H x W float32, 0 or 1."""
    kernel = np.ones((width, width), np.uint8)
    change: np.ndarray = cv2.dilate(alpha, kernel) - cv2.erode(alpha, kernel)
    return (change > 0.1).astype(np.float32)


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
        ph, pw = (
            (h - int(rng.integers(32)), w) if rng.random() < 0.5 else (h, w - int(rng.integers(32)))
        )
    trust = None
    if kind == "picture" and any(bank.pictures.values()):
        bgr, alpha, trust = crop(rng, draw_from(rng, bank.pictures, _PICTURE_WEIGHTS), ph, pw)
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
