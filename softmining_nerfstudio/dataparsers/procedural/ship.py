"""The demo scene: a model of a brig under sail, on a plinth, and the cameras around it.

The bow points along +x, port along +y, up is +z. Lengths are in world units, and the model lies within [-1.3, 1.3]^3.
Ropes are about a pixel wide in images of 200 x 200 pixels.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from softmining_nerfstudio.dataparsers.procedural.surfaces import Paint, Quadric, Surface, Vector

DISTANCE = 4.0
"""Distance of every camera from the origin."""
HULL_CENTRE, HULL_SIZE = (0.0, 0.0, -0.33), (1.1, 0.32, 0.42)
SHEER = Quadric(squares=(-0.14, 0.0, 0.0), linear=(0.0, 0.0, 1.0), constant=0.14)
"""Cuts off the hull along a line that rises towards bow and stern, in the hull's own units."""

OAK = Paint((0.72, 0.45, 0.22), (0.46, 0.27, 0.12), waves=(0.0, 0.0, 8.0), grain=0.12, gloss=0.3, shininess=25)
COPPER = Paint((0.66, 0.20, 0.13), (0.50, 0.13, 0.09), waves=(10.0, 0.0, 8.0), gloss=0.4, shininess=30)
PLANKS = Paint((0.84, 0.66, 0.43), (0.58, 0.41, 0.24), waves=(0.0, 8.0, 0.0), grain=0.12)
SPAR = Paint((0.52, 0.31, 0.15), (0.42, 0.24, 0.11), waves=(0.0, 0.0, 5.0), gloss=0.4)
ROPE = Paint((0.24, 0.19, 0.14))
BRASS = Paint((0.76, 0.54, 0.18), gloss=0.9, shininess=60)
CANVAS = Paint((1.00, 0.96, 0.86), (0.86, 0.79, 0.65), waves=(0.0, 6.0, 0.0))
JIB = Paint((1.00, 0.96, 0.86), (0.86, 0.79, 0.65), waves=(0.0, 0.0, 8.0))
STRIPED = Paint((1.00, 0.96, 0.90), (0.80, 0.15, 0.12), waves=(0.0, 2.75, 0.0))
CHECKED = Paint((1.00, 0.96, 0.88), (0.15, 0.30, 0.60), waves=(0.0, 5.0, 2.5))
FLAG = Paint((0.85, 0.15, 0.13), (0.97, 0.95, 0.90), waves=(2.0, 0.0, 1.0))
MARBLE = Paint((0.88, 0.87, 0.84), (0.22, 0.25, 0.28), waves=(6.0, 3.5, 0.0))
STONE = Paint((0.50, 0.50, 0.54), (0.36, 0.36, 0.40), waves=(5.0, 5.0, 0.5), grain=0.15)

MASTS = ((0.42, 1.02), (-0.28, 1.16))
"""Foremast and mainmast: position along the hull, height of the top."""
SAILS = ((-0.17, 0.25, 0.44, 0.40), (0.29, 0.61, 0.37, 0.32), (0.65, 0.91, 0.29, 0.22))
"""The sails of a mast: height of the lower and upper edge, half the width of each."""
TIP = (1.28, 0.0, -0.12)
"""Tip of the bowsprit."""


def rod(start: Vector, end: Vector, radius: float, paint: Paint) -> Surface:
    """An open cylinder."""
    ends = torch.tensor([start, end], dtype=torch.float64)
    along = (ends[1] - ends[0]) / 2
    helper = torch.eye(3, dtype=torch.float64)[along.abs().argmin()]
    across = torch.nn.functional.normalize(torch.linalg.cross(along, helper), dim=0)
    third = torch.nn.functional.normalize(torch.linalg.cross(along, across), dim=0)
    axes = torch.stack([across * radius, third * radius, along])
    return Surface(Quadric((1, 1, 0), constant=-1), paint, axes.tolist(), between(start, end, 0.5))


def ball(centre: Vector, radius: float, paint: Paint) -> Surface:
    return Surface(Quadric((1, 1, 1), constant=-1), paint, scaled(radius, radius, radius), centre)


def scaled(x: float, y: float, z: float) -> tuple[Vector, Vector, Vector]:
    """Axes along those of the world."""
    return (x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z)


def between(start: Vector, end: Vector, fraction: float) -> Vector:
    x, y, z = (a + fraction * (b - a) for a, b in zip(start, end, strict=True))
    return x, y, z


def minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def at_rail(x: float, side: int, above: float = 0.0) -> Vector:
    """The point of the hull's upper edge at ``x``, raised by ``above``."""
    u = x / HULL_SIZE[0]
    top = 0.14 * (u * u - 1)
    return x, side * HULL_SIZE[1] * (1 - u * u - top * top), HULL_CENTRE[2] + HULL_SIZE[2] * top + above


def hull() -> list[Surface]:
    """Both sides, painted below the water line, the deck between them, rails and portholes."""
    parts = []
    for side in (1, -1):
        axes = scaled(HULL_SIZE[0], side * HULL_SIZE[1], HULL_SIZE[2])
        half = Quadric(squares=(1, 0, 1), linear=(0, 1, 0), constant=-1)
        parts.append(Surface(half, OAK, axes, HULL_CENTRE, (-1, 0, -0.55), (1, 1, 0), SHEER))
        parts.append(Surface(half, COPPER, axes, HULL_CENTRE, (-1, 0, -1), (1, 1, -0.55)))
        level = Quadric(linear=(0, 0, 1), constant=0.3)
        outline = Quadric(squares=(1, 0, 0), linear=(0, 1, 0), constant=-0.91)
        parts.append(Surface(level, PLANKS, axes, HULL_CENTRE, (-1, 0, -0.31), (1, 1, -0.29), outline))
        posts = [-0.96 + 0.24 * i for i in range(9)]
        parts += [rod(at_rail(x, side), at_rail(x, side, 0.075), 0.008, SPAR) for x in posts]
        parts += [rod(at_rail(a, side, 0.075), at_rail(b, side, 0.075), 0.009, SPAR) for a, b in pairwise(posts)]
        for i in range(-3, 4):
            x, y, z = at_rail(0.2 * i, side, -0.075)
            parts.append(ball((x, y, z), 0.022, BRASS))
    return parts


def mast(x: float, top: float, other: float, paints: tuple[Paint, Paint, Paint]) -> list[Surface]:
    """A mast at ``x`` with yards, square sails in ``paints`` from below, shrouds and ratlines, crow's nest, a brass
    ball on top, and braces from its yards to the ``other`` mast."""
    parts = [rod((x, 0, -0.5), (x, 0, 0.6), 0.028, SPAR), rod((x, 0, 0.6), (x, 0, top), 0.018, SPAR)]
    parts.append(ball((x, 0, top), 0.035, BRASS))
    parts.append(Surface(Quadric((1, 1, 0), constant=-1), OAK, scaled(0.07, 0.07, 0.035), (x, 0, 0.63)))
    for (low, high, foot, head), paint in zip(SAILS, paints, strict=True):
        middle, slope = (foot + head) / 2, (foot - head) / (foot + head)
        belly = Quadric(squares=(0, 0.35, 0.65), linear=(1, 0, 0), constant=-1)
        leech = Quadric((0, 1, -slope * slope), (0, 0, 2 * slope), -1)
        axes = scaled(0.13, middle, (high - low) / 2)
        centre = (x + 0.045, 0, (low + high) / 2)
        parts.append(Surface(belly, paint, axes, centre, (-1, -1 - slope, -1), (1, 1 + slope, 1), leech))
        parts.append(rod((x + 0.035, -head - 0.05, high), (x + 0.035, head + 0.05, high), 0.014, SPAR))
    for side in (1, -1):
        for (_, high, _, head), height in zip(SAILS, (0.58, 0.60, 0.62), strict=True):
            parts.append(rod((x + 0.035, side * head, high), (other, 0, height), 0.005, ROPE))
        top_end = (x, 0.03 * side, 0.6)
        feet = [at_rail(x - 0.20 + 0.085 * i, side) for i in range(4)]
        parts += [rod(foot, top_end, 0.006, ROPE) for foot in feet]
        steps = [0.1 * i for i in range(1, 9)]
        parts += [rod(between(feet[0], top_end, f), between(feet[-1], top_end, f), 0.005, ROPE) for f in steps]
    return parts


def fore_and_aft() -> list[Surface]:
    """Bowsprit, two jibs, the spanker between its boom and gaff, the stays, and the flag."""
    (fore, fore_top), (main, main_top) = MASTS
    parts = [rod((0.85, 0, -0.36), TIP, 0.02, SPAR), ball(TIP, 0.028, BRASS)]
    bulge = Quadric(squares=(1, 0, 0), linear=(-1, 1, 0))
    triangle = Quadric(linear=(1, 0, 1), constant=-1)
    for clew, tack, head in (
        ((0.62, 0, -0.16), (1.24, 0, -0.10), (0.50, 0, 0.70)),
        ((0.60, 0, -0.24), (0.98, 0, -0.24), (0.47, 0, 0.42)),
    ):
        x, z = minus(tack, clew), minus(head, clew)
        parts.append(Surface(bulge, JIB, (x, (0, 0.25, 0), z), clew, (0, 0, 0), (1, 1, 1), triangle))
        parts.append(rod(tack, (fore, 0, head[2] + 0.08), 0.006, ROPE))
    aft = Quadric(squares=(0.6, 0, 0.4), linear=(0, 1, 0), constant=-1)
    gaff = Quadric(linear=(0.25, 0, 1), constant=-0.75)
    parts.append(Surface(aft, JIB, scaled(0.33, 0.08, 0.38), (-0.65, 0, 0.12), clip=gaff))
    parts.append(rod((main, 0, -0.27), (-1.05, 0, -0.25), 0.014, SPAR))
    parts.append(rod((main, 0, 0.30), (-1.02, 0, 0.53), 0.014, SPAR))
    for start, end in (
        ((fore, 0, fore_top), TIP),
        ((main, 0, main_top), (fore, 0, 0.62)),
        ((main, 0, 0.62), (fore, 0, -0.40)),
        ((fore, 0, fore_top), (main, 0, 0.95)),
        ((main, 0, main_top), (-1.02, 0, 0.53)),
        ((-1.05, 0, -0.25), (-1.02, 0, 0.53)),
    ):
        parts.append(rod(start, end, 0.006, ROPE))
    wave = Quadric(squares=(1, 0, 0), linear=(0, 1, 0), constant=-0.5)
    parts.append(Surface(wave, FLAG, scaled(0.15, 0.05, 0.07), (main - 0.16, 0, main_top - 0.1)))
    return parts


def plinth() -> list[Surface]:
    """An elliptic stone with a tiled top, two brass pillars that carry the ship, and a lantern at its stern."""
    axes, centre = scaled(0.72, 0.42, 0.07), (0.0, 0.0, -0.98)
    disc = Quadric((1, 1, 0), constant=-1)
    parts = [
        Surface(Quadric(linear=(0, 0, 1), constant=-1), MARBLE, axes, centre, clip=disc),
        Surface(disc, STONE, axes, centre),
    ]
    parts += [rod((x, 0, -0.92), (x, 0, -0.66), 0.03, BRASS) for x in (-0.4, 0.4)]
    parts += [rod((-1.08, 0, -0.34), (-1.08, 0, -0.2), 0.01, BRASS), ball((-1.08, 0, -0.17), 0.045, BRASS)]
    return parts


def hatch() -> list[Surface]:
    """A grating of thin rods above the deck."""
    z, xs, ys = -0.42, [0.0 + 0.035 * i for i in range(6)], [-0.09 + 0.036 * i for i in range(6)]
    parts = [rod((x, ys[0], z), (x, ys[-1], z), 0.007, ROPE) for x in xs]
    return parts + [rod((xs[0], y, z), (xs[-1], y, z), 0.007, ROPE) for y in ys]


def ship() -> list[Surface]:
    """All surfaces of the scene."""
    (fore, fore_top), (main, main_top) = MASTS
    masts = mast(fore, fore_top, main, (STRIPED, CANVAS, CHECKED)) + mast(
        main, main_top, fore, (CHECKED, CANVAS, STRIPED)
    )
    return [*hull(), *masts, *fore_and_aft(), *plinth(), *hatch()]


def cameras(count: int, turn: float) -> Float[Tensor, "count 3 4"]:
    """Camera-to-world poses on a spiral from 6 to 70 degrees above the horizon, all looking at the origin.

    Args:
        count: number of views.
        turn: rotation of the spiral, radians. Splits with different turns share no view.
    """
    low, high = math.sin(math.radians(6)), math.sin(math.radians(70))
    height = low + (high - low) * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    azimuth = turn + math.pi * (3 - math.sqrt(5)) * torch.arange(count, dtype=torch.float64)
    level = (1 - height * height).sqrt()
    back = torch.stack([level * azimuth.cos(), level * azimuth.sin(), height], dim=-1)
    right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], dim=-1)
    up = torch.linalg.cross(back, right)
    return torch.stack([right, up, back, DISTANCE * back], dim=-1).float()
