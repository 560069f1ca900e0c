"""The loops of the hash grid, compiled by numba. Each works on a range, so that threads can share it.

At level l, a position x has the eight corners floor(x s) and ceil(x s), s being the scaling of the level. A corner
(i, j, k) has the row (i ^ 2654435761 j ^ 805459861 k) mod size of the level's part of the table. The features of the
eight rows are interpolated linearly by the offset o = x s - floor(x s).

Tables have a power of two of rows a level, at most 2^32, so the lowest 32 bits of each product are enough. Arguments:

    x         [points, 3]
    table     [levels * size, features]
    scalings  [levels]
    size      rows of a level
    lanes     a tuple of as many entries as there are features: a number that the compiler knows
    gradient  [points, levels * features], of the loss
    first, last   the range to work on: points, or levels
"""

import numpy as np
from numba import njit

SECOND, THIRD = np.uint32(2654435761), np.uint32(805459861)
BLOCK = 4096
"""Points that one level after the other works on: they stay in the processor's cache."""


@njit(nogil=True, inline="always")
def corners(x, point, scaling, mask):
    """Offsets in the cell, and the rows of the corners: c for ceil and f for floor, by axis.

    Order: ccc, cfc, ffc, fcc, ccf, cff, fff, fcf.
    """
    sx, sy, sz = x[point, 0] * scaling, x[point, 1] * scaling, x[point, 2] * scaling
    fx, fy, fz = np.floor(sx), np.floor(sy), np.floor(sz)
    ix, cx = np.uint32(np.int32(fx)), np.uint32(np.int32(np.ceil(sx)))
    iy, cy = np.uint32(np.int32(fy)) * SECOND, np.uint32(np.int32(np.ceil(sy))) * SECOND
    iz, cz = np.uint32(np.int32(fz)) * THIRD, np.uint32(np.int32(np.ceil(sz))) * THIRD
    rows = (
        np.intp((cx ^ cy ^ cz) & mask),
        np.intp((cx ^ iy ^ cz) & mask),
        np.intp((ix ^ iy ^ cz) & mask),
        np.intp((ix ^ cy ^ cz) & mask),
        np.intp((cx ^ cy ^ iz) & mask),
        np.intp((cx ^ iy ^ iz) & mask),
        np.intp((ix ^ iy ^ iz) & mask),
        np.intp((ix ^ cy ^ iz) & mask),
    )
    return sx - fx, sy - fy, sz - fz, rows


@njit(nogil=True, cache=True)
def encode(x, table, scalings, size, lanes, out, first, last):
    """Write the features of points `first` to `last` into out [points, levels * features]."""
    mask, one, features = np.uint32(size - 1), x.dtype.type(1), len(lanes)
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        for level in range(len(scalings)):
            part, column = table[level * size : (level + 1) * size], level * features
            for point in range(start, stop):
                ox, oy, oz, rows = corners(x, point, scalings[level], mask)
                ux, uy, uz = one - ox, one - oy, one - oz
                for lane in range(features):
                    ccc, cfc, ffc, fcc = (
                        part[rows[0], lane],
                        part[rows[1], lane],
                        part[rows[2], lane],
                        part[rows[3], lane],
                    )
                    ccf, cff, fff, fcf = (
                        part[rows[4], lane],
                        part[rows[5], lane],
                        part[rows[6], lane],
                        part[rows[7], lane],
                    )
                    far = (ccc * ox + fcc * ux) * oy + (cfc * ox + ffc * ux) * uy
                    near = (ccf * ox + fcf * ux) * oy + (cff * ox + fff * ux) * uy
                    out[point, column + lane] = far * oz + near * uz


@njit(nogil=True, cache=True)
def table_gradient(x, gradient, scalings, size, lanes, out, first, last):
    """Add the gradient of the table's levels `first` to `last` to out [levels * size, features].

    Levels share no row, and each visits the points in order: any number of threads gives the same bits.
    """
    mask, one, features = np.uint32(size - 1), x.dtype.type(1), len(lanes)
    for level in range(first, last):
        part, column = out[level * size : (level + 1) * size], level * features
        for point in range(len(x)):
            ox, oy, oz, rows = corners(x, point, scalings[level], mask)
            ux, uy, uz = one - ox, one - oy, one - oz
            for lane in range(features):
                far, near = gradient[point, column + lane] * oz, gradient[point, column + lane] * uz
                part[rows[0], lane] += far * oy * ox
                part[rows[1], lane] += far * uy * ox
                part[rows[2], lane] += far * uy * ux
                part[rows[3], lane] += far * oy * ux
                part[rows[4], lane] += near * oy * ox
                part[rows[5], lane] += near * uy * ox
                part[rows[6], lane] += near * uy * ux
                part[rows[7], lane] += near * oy * ux


@njit(nogil=True, cache=True)
def position_gradient(x, table, gradient, scalings, size, lanes, out, first, last):
    """Write the gradient of positions `first` to `last` into out [points, 3]; corners do not move with them."""
    mask, one, features = np.uint32(size - 1), x.dtype.type(1), len(lanes)
    for point in range(first, last):
        for axis in range(3):
            out[point, axis] = 0
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        for level in range(len(scalings)):
            part, column, scaling = table[level * size : (level + 1) * size], level * features, scalings[level]
            for point in range(start, stop):
                ox, oy, oz, rows = corners(x, point, scaling, mask)
                ux, uy, uz = one - ox, one - oy, one - oz
                for lane in range(features):
                    ccc, cfc, ffc, fcc = (
                        part[rows[0], lane],
                        part[rows[1], lane],
                        part[rows[2], lane],
                        part[rows[3], lane],
                    )
                    ccf, cff, fff, fcf = (
                        part[rows[4], lane],
                        part[rows[5], lane],
                        part[rows[6], lane],
                        part[rows[7], lane],
                    )
                    cc, fc, cf, ff = (
                        ccc * oz + ccf * uz,
                        cfc * oz + cff * uz,
                        fcc * oz + fcf * uz,
                        ffc * oz + fff * uz,
                    )  # by x and y
                    far = (ccc * ox + fcc * ux) * oy + (cfc * ox + ffc * ux) * uy
                    near = (ccf * ox + fcf * ux) * oy + (cff * ox + fff * ux) * uy
                    step = gradient[point, column + lane] * scaling
                    out[point, 0] += step * ((cc - cf) * oy + (fc - ff) * uy)
                    out[point, 1] += step * ((cc - fc) * ox + (cf - ff) * ux)
                    out[point, 2] += step * (far - near)


def compile_now():
    """Call every loop on the kinds of arrays that models have, with no points."""
    x, table, scalings = np.zeros((0, 3), np.float32), np.zeros((1, 2), np.float32), np.zeros(1, np.float32)
    features, lanes = np.zeros((0, 2), np.float32), (0, 0)
    encode(x, table, scalings, 1, lanes, features, 0, 0)
    table_gradient(x, features, scalings, 1, lanes, table, 0, 0)
    position_gradient(x, table, features, scalings, 1, lanes, x, 0, 0)
