"""A bicycle's wheel."""

from __future__ import annotations

import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import arc, fillet
from renderer.products.finishes import STEEL

__all__ = ["wheel"]


def wheel(dice: Dice) -> None:
    """A spoked bicycle wheel with its tyre, standing."""
    tyre = materials.rubber(
        dice.pick("tyre", ((0.035, 0.035, 0.04), (0.6, 0.45, 0.3), (0.85, 0.82, 0.75)))
    )
    rim = materials.metal(dice.pick("rim", (STEEL, (0.06, 0.06, 0.07))), 0.2, 0.5)
    steel = materials.metal(STEEL, 0.15)
    parts = [
        shapes.ring(0.95, 0.052, tyre),
        shapes.ring(
            0.885,
            1,
            rim,
            section=fillet(
                [
                    (-0.035, 0.03),
                    (-0.038, -0.01),
                    (-0.02, -0.04),
                    (0.02, -0.04),
                    (0.038, -0.01),
                    (0.035, 0.03),
                ],
                0.01,
                4,
                True,
            ),
        ),
        shapes.lathe(
            fillet(
                [
                    (0, -0.16),
                    (0.03, -0.16),
                    (0.03, -0.1),
                    (0.085, -0.1),
                    (0.085, -0.08),
                    (0.04, -0.06),
                    (0.04, 0.06),
                    (0.085, 0.08),
                    (0.085, 0.1),
                    (0.03, 0.1),
                    (0.03, 0.16),
                    (0, 0.16),
                ],
                0.008,
            ),
            steel,
            64,
        ),
    ]
    tread = arc(1, 0, 360, 17)[:-1] * (0.046, 0.012)
    parts.append(shapes.ring(0.995, 1, materials.rubber((0.03, 0.03, 0.03)), section=tread))
    count = dice.pick("spokes", (28, 32, 36))
    for k in range(count):
        side = 1 if k % 2 else -1
        way = 1 if (k // 2) % 2 else -1
        at = 2 * np.pi * k / count
        hub = at + way * 1.15
        start = (0.078 * np.cos(hub), 0.078 * np.sin(hub), side * 0.09)
        end = (0.852 * np.cos(at), 0.852 * np.sin(at), 0.0)
        parts.append(
            shapes.tube([start, end], dice.between("spoke", 0.0055, 0.0085), steel, sides=8)
        )
        nipple = np.array(end) + (np.array(start) - end) * np.linspace(0, 0.04, 2)[:, None]
        parts.append(shapes.tube(nipple, 0.011, steel, sides=8))
    parts.append(
        shapes.tube(
            [(0.85, 0.02, 0), (0.77, 0.018, 0)], 0.012, materials.rubber((0.05,) * 3), sides=10
        )
    )
    for part in parts:
        part.rotation_mode = "XYZ"
        part.rotation_euler = (np.pi / 2, 0.3, 0)
