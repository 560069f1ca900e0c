"""Clipped quadrics, the only surfaces of the demo scene, with their paint and light.

A surface is the zero set of a quadric without mixed terms, in coordinates ``p`` of its own,

    f(p) = squares . p^2 + linear . p + constant = 0,

cut off by a box and by a second quadric. Balls, rods, planes, discs, billowing sails and hulls are all of this kind.

Notation: ``n`` points or rays. Coordinates come first (``[3, n]``), the fast order for long lists of short vectors.
World: z is up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

LIGHTS = ((0.55, -0.45, 0.70, 0.75), (-0.70, 0.50, 0.35, 0.25))
"""Direction towards each distant light (x, y, z, not normalised) and its strength."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Quadric:
    """The scalar field ``squares . p^2 + linear . p + constant``."""

    squares: Vector = (0.0, 0.0, 0.0)
    linear: Vector = (0.0, 0.0, 0.0)
    constant: float = 0.0

    def value(self, p: Float[Tensor, "3 *n"]) -> Float[Tensor, "*n"]:
        return dot(self.squares, p * p) + dot(self.linear, p) + self.constant

    def gradient(self, p: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        return 2 * column(self.squares) * p + column(self.linear)


@dataclass(frozen=True)
class Paint:
    """Colours (fractions of white) of a surface as a function of its own coordinates."""

    colour: Vector
    other: Vector = (0.0, 0.0, 0.0)
    """Second colour of the checker."""
    waves: Vector = (0.0, 0.0, 0.0)
    """Periods of the checker per unit of each coordinate. One above zero gives stripes, none a plain surface."""
    grain: float = 0.0
    """Contrast of a fine, wood-like noise, as a fraction of the colour."""
    gloss: float = 0.0
    """Strength of the Blinn-Phong highlight. 0 looks the same from every side."""
    shininess: float = 40.0
    """Blinn-Phong exponent. Larger gives a smaller, sharper highlight."""

    def albedo(self, p: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        checker = torch.ones_like(p[0])
        for coordinate, waves in zip(p, self.waves, strict=True):
            if waves:
                checker = checker * (4 * torch.sin(2 * math.pi * waves * coordinate)).clamp(-1, 1)
        mix = (1 + checker) / 2
        rgb = mix * column(self.colour) + (1 - mix) * column(self.other)
        if self.grain:
            x, y, z = p
            warp = torch.sin(5 * x + 3 * torch.sin(7 * y + 4 * z))
            noise = torch.sin(31 * y + 4 * warp) * torch.sin(43 * z + 23 * x + 3 * warp)
            rgb = rgb * (1 + self.grain * noise)
        return rgb


@dataclass(frozen=True)
class Surface:
    """A quadric in its own coordinates, its visible part, and its place in the world."""

    quadric: Quadric
    paint: Paint
    axes: Sequence[Sequence[float]]
    """World vectors of the three unit vectors; they may be oblique."""
    centre: Vector
    """World position of the origin."""
    lower: Vector = (-1.001, -1.001, -1.001)
    upper: Vector = (1.001, 1.001, 1.001)
    """Corners of the box around the visible part. A hair beyond 1: rounding would leave holes at its faces."""
    clip: Quadric | None = None
    """Hides the points where this is positive."""

    @cached_property
    def inverse(self) -> Float[Tensor, "3 3"]:
        """From world directions to those of the surface."""
        return torch.linalg.inv(torch.tensor(self.axes, dtype=torch.float64).T).float()

    def to_local(self, points: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        return matmul(self.inverse, points - column(self.centre))

    def normal(self, p: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        """World-space unit normal at local points ``p`` on the surface, towards either side."""
        return unit(matmul(self.inverse.T, self.quadric.gradient(p)))

    def corners(self) -> Float[Tensor, "8 3"]:
        """World positions of the corners of the box around the visible part."""
        local = torch.cartesian_prod(*torch.tensor([self.lower, self.upper], dtype=torch.float32).T)
        return local @ torch.tensor(self.axes, dtype=torch.float32) + column(self.centre)[:, 0]

    def first_hit(self, origins: Float[Tensor, "3 n"], directions: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """Smallest ``t`` (of either sign) with ``origin + t direction`` on the surface; infinity without a hit."""
        o, d = self.to_local(origins), matmul(self.inverse, directions)
        a = dot(self.quadric.squares, d * d)
        half_b = dot(self.quadric.squares, o * d) + 0.5 * dot(self.quadric.linear, d)
        c = self.quadric.value(o)
        # This form of the two roots never subtracts nearly equal numbers and includes the plane (a = 0). A ray that
        # misses carries NaN, and NaN fails every comparison below.
        q = -half_b - torch.copysign((half_b * half_b - a * c).sqrt(), half_b)
        hit = torch.full_like(c, math.inf)
        for t in (c / q, q / a):
            kept = t < hit
            p = torch.addcmul(o, d, t)
            for coordinate, low, high in zip(p, self.lower, self.upper, strict=True):
                kept &= (coordinate >= low) & (coordinate <= high)
            if self.clip is not None:
                kept &= self.clip.value(p) <= 0
            hit = torch.where(kept, t, hit)
        return hit

    def shade(self, points: Float[Tensor, "3 n"], directions: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        """Colours at world ``points`` along unit ``directions``: albedo under sky and lights, plus highlights."""
        p = self.to_local(points)
        normal = self.normal(p)
        normal = torch.where((normal * directions).sum(0) > 0, -normal, normal)
        light, highlight = 0.45 + 0.12 * normal[2], torch.zeros_like(normal[2])
        for *towards, strength in LIGHTS:
            towards = unit(column(towards))
            light = light + strength * (normal * towards).sum(0).clamp_min(0)
            if self.paint.gloss:
                half_way = unit(towards - directions)
                highlight += strength * (normal * half_way).sum(0).clamp_min(0) ** self.paint.shininess
        return (self.paint.albedo(p) * light + self.paint.gloss * highlight).clamp(0, 1)


def column(vector: Sequence[float]) -> Float[Tensor, "3 1"]:
    return torch.tensor(vector, dtype=torch.float32)[:, None]


def unit(p: Float[Tensor, "3 *n"]) -> Float[Tensor, "3 *n"]:
    return p / (p * p).sum(0).sqrt()


def dot(coefficients: Sequence[float], p: Float[Tensor, "3 *n"]) -> Float[Tensor, "*n"]:
    """``coefficients . p``; skips zero terms, which are most."""
    total = torch.zeros_like(p[0])
    for coefficient, coordinate in zip(coefficients, p, strict=True):
        if coefficient:
            total = torch.add(total, coordinate, alpha=coefficient)
    return total


def matmul(matrix: Float[Tensor, "3 3"], p: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
    """``matrix @ p`` in a fixed order of summation: a library's blocking must not change the bytes."""
    return torch.stack([dot(row, p) for row in matrix.tolist()])
