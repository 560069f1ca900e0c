"""Tile order: the pixels of an image as a list of squares of 32 x 32, so that neighbours lie close to each other.

A footprint, or the pixels that an edge is measured by, then touch a page or two of memory or disk, not one for each
row. Squares at the right and lower border are cut off: an image has as many entries as pixels. With H x W pixels, pixel
(r, c) in the square whose first pixel is (r0, c0), of h x w pixels, is entry

    r0 W + c0 h + (r - r0) w + (c - c0).

One square larger than the image makes this r W + c, the order of rows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped
from torch import Tensor

SHIFT = 5
"""log2 of SIDE."""
SIDE = 1 << SHIFT
"""Pixels along each side of a square."""


def entry(
    row: Int[Tensor, " *#pixels"], column: Int[Tensor, " *#pixels"], size: Int[Tensor, "*#pixels 2"]
) -> Int[Tensor, " *pixels"]:
    """The number of a pixel in the list of its image: the equation above.

    Args:
        size: height and width of the pixel's image.
    """
    height, width = size.unbind(-1)
    top, left = row >> SHIFT << SHIFT, column >> SHIFT << SHIFT
    tall, wide = (height - top).clamp(max=SIDE), (width - left).clamp(max=SIDE)
    return top * width + left * tall + (row - top) * wide + column - left


def in_squares(band: Shaped[np.ndarray, "rows width ..."]) -> Shaped[np.ndarray, "pixels ..."]:
    """Up to SIDE rows of an image, which begin at a multiple of SIDE, in tile order."""
    rows, width, *channels = band.shape
    whole = width // SIDE * SIDE
    listed = np.empty((rows * width, *channels), band.dtype)
    squares = listed[: rows * whole].reshape(whole // SIDE, rows, SIDE, *channels)
    squares[:] = band[:, :whole].reshape(rows, whole // SIDE, SIDE, *channels).swapaxes(0, 1)
    listed[rows * whole :] = band[:, whole:].reshape(-1, *channels)
    return listed


def in_rows(listed: Shaped[Tensor, "pixels ..."], width: int) -> Shaped[Tensor, "rows width ..."]:
    """The inverse of `in_squares`."""
    rows, whole, channels = len(listed) // width, width // SIDE * SIDE, listed.shape[1:]
    band = listed.new_empty((rows, width, *channels))
    squares = listed[: rows * whole].reshape(whole // SIDE, rows, SIDE, *channels)
    band[:, :whole] = squares.transpose(0, 1).reshape(rows, whole, *channels)
    band[:, whole:] = listed[rows * whole :].reshape(rows, width - whole, *channels)
    return band
