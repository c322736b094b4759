"""Patterned backgrounds: stripes, checks, tiles, planks, terrazzo, dots, print, carpets and others.

A pattern is drawn flat as one repeat (a tile that wraps), then looked at: from above, turned, or
as a floor in perspective. Colours come from a palette that may hold the subject's own, so that no
rule such as "foreign to the most frequent colour" tells subject and background apart.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .backgrounds import light_plane, studio, studio_colour, textured
from .pieces import Rng

__all__ = ["PATTERNS", "draw_palette", "draw_pattern", "draw_patterned", "look_at"]

_SIDE = 384
"""Side of a repeat, pixels."""
_Fill = Callable[[], np.ndarray]
_Paint = Callable[[Rng, np.ndarray, np.ndarray, list[float]], None]


def draw_palette(rng: Rng, own: np.ndarray | None = None) -> list[np.ndarray]:
    """Two to five colours (BGR), near to or far from one another.

    Args:
        rng: Source of chance.
        own: N x 3 colours of the subject; two in five palettes take one or more of them.
    """
    kind = rng.random()
    base = studio_colour(rng) if kind < 0.6 else rng.uniform(0, 256, 3)
    count = int(rng.integers(2, 6))
    if rng.random() < 0.35:  # shades of one colour
        spread = rng.uniform(6, 60)
        palette = [base, *(base + rng.normal(0, spread) + rng.normal(0, 6, 3) for _ in range(4))]
    else:
        palette = [base, *(studio_colour(rng) for _ in range(2))]
        palette += [rng.uniform(0, 256, 3) for _ in range(2)]
    palette = palette[:count]
    if own is not None and len(own) and rng.random() < 0.4:
        for at in rng.permutation(count)[: rng.integers(1, count + 1)]:
            palette[at] = own[rng.integers(len(own))] + rng.normal(0, 6, 3)
    return [np.clip(colour, 0, 255) for colour in palette]


# --- repeats: _SIDE x _SIDE x 3 uint8 ------------------------------------------------------------


def _plain(colour: np.ndarray) -> np.ndarray:
    tile = np.empty((_SIDE, _SIDE, 3), np.uint8)
    tile[:] = np.rint(np.clip(colour, 0, 255))
    return tile


def _fills(rng: Rng, palette: list[np.ndarray], textures: list[np.ndarray]) -> list[_Fill]:
    """For each colour of the palette what gives a cell of it: about the colour, or a surface."""
    surfaces = bool(textures) and rng.random() < 0.3
    jitter = float(rng.choice([0, 0, rng.uniform(2, 22)]))

    def fill(colour: np.ndarray, surface: np.ndarray | None) -> _Fill:
        def cell() -> np.ndarray:
            out = colour + rng.normal(0, jitter + 1e-3)
            if surface is None:
                return np.clip(out, 0, 255)[None, None]
            y, x = rng.integers(0, surface.shape[0] // 2), rng.integers(0, surface.shape[1] // 2)
            part = surface[y:, x:].astype(np.float32)
            filled: np.ndarray = np.clip(part + rng.normal(0, jitter + 1e-3), 0, 255)
            return filled

        return cell

    return [
        fill(colour, textures[rng.integers(len(textures))] if surfaces else None)
        for colour in palette
    ]


def _mean(cell: np.ndarray) -> np.ndarray:
    mean: np.ndarray = cell.reshape(-1, 3).mean(axis=0)
    return mean


def _put(tile: np.ndarray, cell: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> None:
    """Fills a rectangle, wrapped to the right, with a cell's colour or surface."""
    w, h = x1 - x0, y1 - y0
    if w <= 0 or h <= 0:
        return
    if cell.shape[0] > 1:
        cell = cv2.resize(cell, (w, h), interpolation=cv2.INTER_LINEAR)
    if x1 <= _SIDE:
        tile[y0:y1, x0:x1] = cell
        return
    block = np.broadcast_to(cell, (h, w, 3))
    tile[y0:y1, x0:] = block[:, : _SIDE - x0]
    tile[y0:y1, : x1 - _SIDE] = block[:, _SIDE - x0 :]


def _cuts(rng: Rng, count: int, even: bool) -> np.ndarray:
    """Where `count` cells begin and end: count + 1 ints from 0 to _SIDE."""
    shares = np.ones(count) if even else rng.uniform(0.15, 1, count)
    cuts = np.concatenate([[0], np.cumsum(shares) / shares.sum()]) * _SIDE
    whole: np.ndarray = np.rint(cuts).astype(int)
    return whole


def _stripes(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    tile = _plain(np.zeros(3))
    count = len(fills) * int(rng.integers(1, 5))
    cuts = _cuts(rng, count, rng.random() < 0.4)
    for i in range(count):
        _put(tile, fills[i % len(fills)](), 0, cuts[i], _SIDE, cuts[i + 1])
    return tile


def _plaid(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    """Gingham and tartan: stripes both ways, seen through one another."""
    one = _stripes(rng, fills).astype(np.float32)
    other = one if rng.random() < 0.6 else _stripes(rng, fills).astype(np.float32)
    return ((one + other.swapaxes(0, 1)) / 2).astype(np.uint8)


def _checks(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    tile = _plain(np.zeros(3))
    n = len(fills) * int(rng.integers(1, 3)) if len(fills) < 4 else len(fills)
    rows = _cuts(rng, n, True)
    shuffled = rng.random() < 0.2
    for i in range(n):
        for j in range(n):
            which = int(rng.integers(len(fills))) if shuffled else (i + j) % len(fills)
            _put(tile, fills[which](), rows[j], rows[i], rows[j + 1], rows[i + 1])
    return tile


def _tiles(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    """Tiles or bricks with joints; some of another colour."""
    tile = _plain(_mean(fills[-1]()))
    high = int(rng.integers(2, 7))
    across = max(2, round(high / rng.choice([1, 1, 2, 3])))
    joint = max(1, round(_SIDE / high * rng.uniform(0.015, 0.09)))
    offset = rng.choice([0.0, 0.0, 0.5, 0.33])
    rows, columns = _cuts(rng, high, True), _cuts(rng, across, True)
    odd = rng.choice([0.0, 0.0, 0.15, 0.5])
    for i in range(high):
        start = round(offset * (i % 2 if offset == 0.5 else i) * _SIDE / across) % _SIDE
        for j in range(across):
            which = int(rng.integers(len(fills) - 1)) if rng.random() < odd else 0
            x = (columns[j] + start) % _SIDE
            width = columns[j + 1] - columns[j] - joint
            _put(tile, fills[which](), x, rows[i], x + width, rows[i + 1] - joint)
    return tile


def _planks(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    """Boards of one wood, each of its own tone, with grain and dark joints."""
    tile = _plain(_mean(fills[0]()) * rng.uniform(0.1, 0.7))
    count, joint = int(rng.integers(3, 9)), int(rng.integers(1, 5))
    rows, tone = _cuts(rng, count, rng.random() < 0.8), rng.uniform(2, 26)
    grain = rng.normal(0, rng.uniform(0, 14), (_SIDE, 12)).astype(np.float32)
    grain = cv2.resize(grain, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
    for i in range(count):
        at, first = int(rng.integers(_SIDE)), int(rng.uniform(0.3, 1) * _SIDE)
        for length in (first, _SIDE - first):
            board = np.clip(fills[0]() + rng.normal(0, tone), 0, 255)
            _put(tile, board, at, rows[i], at + length - joint, rows[i + 1] - joint)
            at = (at + length) % _SIDE
    boards: np.ndarray = np.clip(tile + grain, 0, 255).astype(np.uint8)
    return boards


def _parquet(rng: Rng, fills: list[_Fill]) -> np.ndarray:
    """Blocks of bars, lying and standing in turn, as baskets and parquet have them."""
    tile = _plain(_mean(fills[-1]()) * 0.5)
    n, bars = int(rng.choice([2, 4])), int(rng.integers(2, 6))
    side, joint = _SIDE // n, int(rng.integers(1, 4))
    for i in range(n):
        for j in range(n):
            block = np.zeros((side, side, 3), np.float32)
            block[:] = tile[:side, :side]
            for k in range(bars):
                top, end = round(k * side / bars), round((k + 1) * side / bars) - joint
                colour = _mean(fills[int(rng.integers(len(fills)))]())
                block[top:end, : side - joint] = colour
            turned = block.swapaxes(0, 1) if (i + j) % 2 else block
            tile[i * side : (i + 1) * side, j * side : (j + 1) * side] = turned
    return tile


def _scattered(rng: Rng, palette: list[np.ndarray], paint: _Paint) -> np.ndarray:
    """Things strewn over a repeat by `paint(dice, tile, at, colour)`, wrapped at its borders."""
    wide = np.empty((2 * _SIDE, 2 * _SIDE, 3), np.uint8)
    wide[:] = np.rint(palette[0])
    for _ in range(int(rng.integers(30, 160))):
        at = rng.integers(0, _SIDE, 2)
        colour = palette[1 + int(rng.integers(len(palette) - 1))].tolist()
        state = int(rng.integers(2**31))
        for dy in (0, _SIDE):
            for dx in (0, _SIDE):
                paint(np.random.default_rng(state), wide, at + np.array([dx, dy]), colour)
    half = _SIDE // 2
    return np.ascontiguousarray(wide[half : half + _SIDE, half : half + _SIDE])


def _terrazzo(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    largest = rng.uniform(6, 34)

    def chip(dice: Rng, tile: np.ndarray, at: np.ndarray, colour: list[float]) -> None:
        n = int(dice.integers(3, 8))
        around = np.sort(dice.uniform(0, 2 * np.pi, n))
        r = dice.uniform(0.3, 1, n) * largest * dice.uniform(0.2, 1)
        points = at + np.stack([np.cos(around) * r, np.sin(around) * r], axis=1)
        cv2.fillPoly(tile, [np.rint(points).astype(np.int32)], colour, cv2.LINE_AA)

    return _scattered(rng, palette, chip)


def _confetti(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    """Strokes, rings and leaves strewn about, as on papers and cloths."""
    kind, size = rng.integers(3), rng.uniform(8, 40)

    def stroke(dice: Rng, tile: np.ndarray, at: np.ndarray, colour: list[float]) -> None:
        axes = (max(int(size), 1), max(int(size * (0.15, 1, 0.4)[kind]), 1))
        width = -1 if kind != 1 else max(int(size / 6), 1)
        angle = float(dice.uniform(0, 360))
        cv2.ellipse(tile, at.tolist(), axes, angle, 0, 360, colour, width, cv2.LINE_AA)

    return _scattered(rng, palette, stroke)


def _dots(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    tile = _plain(palette[0])
    n = int(rng.integers(2, 8))
    step = _SIDE / n
    radius = max(int(step * rng.uniform(0.12, 0.46)), 1)
    shifted = rng.random() < 0.5 and n % 2 == 0
    for i in range(n):
        for j in range(n + 1):
            x = (j + (0.5 if shifted and i % 2 else 0)) * step
            colour = palette[1 + (i + j % n) % (len(palette) - 1)].tolist()
            at = (round(x), round((i + 0.5) * step))
            cv2.circle(tile, at, radius, colour, -1, cv2.LINE_AA)
    return tile


def _zigzag(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    """Chevrons and diamonds."""
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    wave = np.abs((x * n / _SIDE) % 1 - 0.5) * 2
    if rng.random() < 0.5:
        value = (y * m * len(palette) / _SIDE + wave * rng.choice([0.5, 1, 2])) % len(palette)
    else:
        value = (wave + np.abs((y * m / _SIDE) % 1 - 0.5) * 2) * len(palette) / 2 % len(palette)
    drawn: np.ndarray = np.clip(np.array(palette)[value.astype(int)], 0, 255).astype(np.uint8)
    return drawn


def _lines(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    """A few lines far apart, as of courts, roads and ruled paper."""
    tile = _plain(palette[0])
    for _ in range(int(rng.integers(1, 5))):
        colour = palette[1 + int(rng.integers(len(palette) - 1))].tolist()
        width = max(int(_SIDE * rng.choice([rng.uniform(0.004, 0.03), rng.uniform(0.03, 0.16)])), 1)
        at = int(rng.integers(_SIDE))
        ends = ((0, at), (_SIDE, at)) if rng.random() < 0.5 else ((at, 0), (at, _SIDE))
        cv2.line(tile, *ends, colour, width)
    return tile


def _printed(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    """Paper with columns of text and pictures, as newsprint and maps have them."""
    tile = _plain(palette[0])
    ink = palette[1].tolist()
    line, x = int(rng.integers(6, 22)), 0
    while x < _SIDE:
        width, y = int(rng.uniform(0.2, 0.6) * _SIDE), 0
        while y < _SIDE:
            if rng.random() < 0.05:
                high = int(rng.uniform(0.1, 0.3) * _SIDE)
                colour = palette[int(rng.integers(len(palette)))].tolist()
                cv2.rectangle(tile, (x, y), (x + width - 12, y + high), colour, -1)
                y += high + line
                continue
            end, at = x + int((width - 12) * rng.uniform(0.6, 1)), x
            while at < end:
                word = int(rng.uniform(1, 5) * line)
                thick = (min(at + word, end), y + max(line // 2, 2))
                cv2.rectangle(tile, (at, y), thick, ink, -1)
                at += word + line // 2
            y += line
        x += width
    return tile


def _ornament(rng: Rng, palette: list[np.ndarray]) -> np.ndarray:
    """Shapes mirrored both ways, within borders or not, as of carpets and cement tiles."""
    n = int(rng.choice([1, 1, 2, 3]))
    half = _SIDE // (2 * n)
    quarter = np.empty((half, half, 3), np.uint8)
    quarter[:] = np.rint(palette[0])
    for _ in range(int(rng.integers(3, 9))):
        colour = palette[int(rng.integers(len(palette)))].tolist()
        centre = rng.integers(0, half, 2).tolist()
        r = max(int(half * rng.uniform(0.05, 0.5)), 2)
        width = -1 if rng.random() < 0.5 else max(int(r * rng.uniform(0.05, 0.4)), 1)
        kind = rng.random()
        if kind < 0.4:
            cv2.circle(quarter, centre, r, colour, width, cv2.LINE_AA)
        elif kind < 0.7:
            angle = float(rng.uniform(0, 360))
            axes = (r, max(r // 3, 1))
            cv2.ellipse(quarter, centre, axes, angle, 0, 360, colour, width, cv2.LINE_AA)
        else:
            points = (rng.uniform(0, half, (int(rng.integers(3, 6)), 2))).astype(np.int32)
            cv2.fillPoly(quarter, [points], colour, cv2.LINE_AA)
    if rng.random() < 0.5:  # a border
        edge = max(int(half * rng.uniform(0.02, 0.15)), 1)
        quarter[:edge] = quarter[:, :edge] = np.rint(palette[-1])
    if rng.random() < 0.5:
        quarter = np.maximum(quarter, quarter.swapaxes(0, 1))
    cell = np.hstack([quarter, quarter[:, ::-1]])
    cell = np.vstack([cell, cell[::-1]])
    tile = np.tile(cell, (n, n, 1))
    fitted: np.ndarray = cv2.resize(tile, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return fitted


_OF_FILLS = {
    "stripes": _stripes, "plaid": _plaid, "checks": _checks, "tiles": _tiles, "planks": _planks,
    "parquet": _parquet,
}  # fmt: skip
_OF_COLOURS = {
    "terrazzo": _terrazzo, "confetti": _confetti, "dots": _dots, "zigzag": _zigzag,
    "lines": _lines, "printed": _printed, "ornament": _ornament,
}  # fmt: skip
PATTERNS = {
    "stripes": 0.16, "plaid": 0.07, "checks": 0.13, "tiles": 0.17, "planks": 0.12, "parquet": 0.04,
    "terrazzo": 0.06, "confetti": 0.03, "dots": 0.05, "zigzag": 0.04, "lines": 0.06,
    "printed": 0.03, "ornament": 0.04,
}  # fmt: skip
"""The kinds of patterns and how often each is drawn."""


def draw_pattern(
    rng: Rng, kind: str, textures: list[np.ndarray], palette: list[np.ndarray]
) -> np.ndarray:
    """One repeat of a pattern, which wraps at all borders: 384 x 384 x 3 uint8 BGR.

    Args:
        rng: Source of chance.
        kind: A key of `PATTERNS`.
        textures: Surfaces, uint8, of which cells may be made.
        palette: Two or more BGR colours.
    """
    if kind in _OF_FILLS:
        return _OF_FILLS[kind](rng, _fills(rng, palette, textures))
    return _OF_COLOURS[kind](rng, palette)


# --- the look at it ------------------------------------------------------------------------------


def look_at(rng: Rng, tile: np.ndarray, h: int, w: int, floor: bool | None = None) -> np.ndarray:
    """A plane covered by repeats of `tile`, seen from above or as a floor: h x w x 3 float32.

    Args:
        rng: Source of chance.
        tile: What repeats, uint8.
        h: Height, pixels.
        w: Width, pixels.
        floor: Whether the plane runs away from the camera; None leaves it to chance.
    """
    fine = 2 if max(h, w) < 360 else 1.5  # supersampled: what is far away is small
    fh, fw = round(h * fine), round(w * fine)
    side = max(h, w) * fine
    repeat = side * np.exp(rng.uniform(np.log(0.3), np.log(2.2)))  # pixels a repeat
    k = tile.shape[0] / repeat
    angle = rng.choice([0.0, 0.0, np.pi / 4, np.pi / 2, rng.uniform(0, 2 * np.pi)])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn * k
    matrix[:2, 2] = rng.uniform(0, tile.shape[0], 2)
    if rng.random() < 0.55 if floor is None else floor:
        horizon = -fh * np.exp(rng.uniform(np.log(0.05), np.log(2.5)))
        depth = fh - horizon
        # The nearest row has the scale asked for; rows further off are smaller.
        away = np.array([[depth, 0, -depth * fw / 2], [0, 0, depth * depth], [0, 1, -horizon]])
        matrix = matrix @ away
    elif rng.random() < 0.3:  # not quite from above
        matrix = matrix @ np.array(
            [[1, rng.normal(0, 0.1), 0], [0, 1, 0], [0, rng.normal(0, 2e-4), 1]]
        )
    out = cv2.warpPerspective(
        tile, matrix, (fw, fh), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    seen: np.ndarray = cv2.resize(out, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
    return seen


def draw_patterned(
    rng: Rng, textures: list[np.ndarray], h: int, w: int, own: np.ndarray | None = None
) -> np.ndarray:
    """A patterned background, a third of the time below a wall: h x w x 3 float32.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8.
        h: Height, pixels.
        w: Width, pixels.
        own: N x 3 colours of the subject, which the pattern may share.
    """
    kinds = list(PATTERNS)
    weights = np.array(list(PATTERNS.values()))

    def pattern(floor: bool | None) -> np.ndarray:
        kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
        tile = draw_pattern(rng, kind, textures, draw_palette(rng, own))
        return look_at(rng, tile, h, w, floor)

    out = pattern(None)
    if rng.random() < 0.22:
        cut = int(rng.uniform(0.1, 0.65) * h)
        wall = studio(rng, h, w) if rng.random() < 0.7 else pattern(False)
        out[:cut] = wall[:cut]
    if textures and rng.random() < 0.35:  # grain, stains, weave
        grain = textured(rng, textures, h, w).mean(axis=2, keepdims=True)
        out = out * (1 + rng.uniform(0.1, 0.8) * (grain / max(float(grain.mean()), 20) - 1))
    if rng.random() < 0.2:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 2.5) * max(h, w) / 320)
    out = out * (1 + light_plane(rng, h, w) * min(rng.exponential(0.12), 0.5))[..., None]
    return out.astype(np.float32)
