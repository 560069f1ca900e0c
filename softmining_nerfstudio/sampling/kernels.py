"""The sampler's lookups of pixels as compiled loops, by numba: the arithmetic of `mining`, without a copy at each step.

pixels      [all pixels of all images, channels], float32 or uint8
first       number of each image's first pixel among them
sizes       [images, 2], height and width
shift       log2 of the side of the squares by which pixels are listed (`images/order.py`); large where by rows
full        number of the brightest value: 1 or 255
background  what RGBA is laid over, [3]; [0] where it stays RGBA
"""

import math

import numpy as np
from numba import njit

HALF, ONE, THIRD = np.float32(0.5), np.float32(1), np.float32(1 / 3)


@njit(nogil=True, inline="always")
def entry(row, column, height, width, shift):
    """The number of a pixel in the list of its image."""
    top, left = (row >> shift) << shift, (column >> shift) << shift
    tall, wide = min(height - top, 1 << shift), min(width - left, 1 << shift)
    return top * width + left * tall + (row - top) * wide + column - left


@njit(nogil=True, inline="always")
def is_rgba(pixels, background):
    """Whether colours have an alpha."""
    return pixels.shape[1] == 4 and len(background) == 0


@njit(nogil=True, inline="always")
def colour(pixels, index, full, background):
    """Red, green, blue and alpha, which is 1 where colours have none."""
    red, green = np.float32(pixels[index, 0]) / full, np.float32(pixels[index, 1]) / full
    blue, alpha = np.float32(pixels[index, 2]) / full, ONE
    if pixels.shape[1] == 4:
        alpha = np.float32(pixels[index, 3]) / full
        if len(background) == 3:
            rest = ONE - alpha
            red, green = red * alpha + background[0] * rest, green * alpha + background[1] * rest
            blue, alpha = blue * alpha + background[2] * rest, ONE
    return red, green, blue, alpha


@njit(nogil=True, inline="always")
def brightness(pixels, index, full, background):
    """Mean of red, green and blue; RGBA laid over white."""
    red, green, blue, alpha = colour(pixels, index, full, background)
    grey = (red + green + blue) * THIRD
    return grey * alpha + ONE - alpha if is_rgba(pixels, background) else grey


@njit(nogil=True, cache=True)
def contrast(
    pixels, first, sizes, shift, full, background, slot, row, column, reach, turn, directions, powers, least, out
):
    """`Contrast.at` (mining/pixels/edge_strength.py) of pixels [n, candidates], into out.

    directions holds sine and cosine of each offset's angle from the first one, powers its place on the spiral.
    """
    for ray in range(row.shape[0]):
        height, width = sizes[slot[ray]]
        start = first[slot[ray]]
        growth = math.log(max(1.0, reach * math.sqrt(height * width)))
        for candidate in range(row.shape[1]):
            r, c = row[ray, candidate], column[ray, candidate]
            here = brightness(pixels, start + entry(r, c, height, width, shift), full, background)
            total = np.float32(0)
            angle = 2 * math.pi * ((turn[0] * r + turn[1] * c) % 1.0)
            sine, cosine = math.sin(angle), math.cos(angle)
            for offset in range(len(powers)):
                length, (s, k) = math.exp(growth * powers[offset]), directions[offset]
                down, right = length * (sine * k + cosine * s), length * (cosine * k - sine * s)
                row_there = min(max(r + int(np.rint(down)), 0), height - 1)
                column_there = min(max(c + int(np.rint(right)), 0), width - 1)
                there = start + entry(row_there, column_there, height, width, shift)
                total += abs(here - brightness(pixels, there, full, background))
            out[ray, candidate] = least + total / np.float32(len(powers))


@njit(nogil=True, cache=True)
def footprints(pixels, first, sizes, shift, full, background, slot, pixel, side, jitter, samples, out):
    """`Footprint.colours` (mining/footprint.py) of n rays, into out [n, channels of the colours].

    jitter [n, samples * samples, 2] is uniform in [0, 1).
    """
    for ray in range(len(slot)):
        height, width = sizes[slot[ray]]
        start, r, c = first[slot[ray]], pixel[ray, 0], pixel[ray, 1]
        red, green, blue, alpha = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for sample in range(samples * samples):
            down = (sample // samples + jitter[ray, sample, 0]) / samples - HALF
            right = (sample % samples + jitter[ray, sample, 1]) / samples - HALF
            row, column = math.floor(r + HALF + side[ray] * down), math.floor(c + HALF + side[ray] * right)
            row = row if 0 <= row < height else r
            column = column if 0 <= column < width else c
            index = start + entry(row, column, height, width, shift)
            r_here, g_here, b_here, weight = colour(pixels, index, full, background)
            red += weight * r_here
            green += weight * g_here
            blue += weight * b_here
            alpha += weight
        weight = max(alpha, np.float32(1e-30))
        out[ray, 0], out[ray, 1], out[ray, 2] = red / weight, green / weight, blue / weight
        if is_rgba(pixels, background):
            out[ray, 3] = alpha / np.float32(samples * samples)


def compile_now():
    """Call every loop on arrays without entries."""
    out, side, background = (np.zeros(shape, np.float32) for shape in ((0, 2), 0, 0))
    index, pairs = np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    spiral = (0.0, (0.0, 0.0), np.zeros((0, 2)), np.zeros(0))
    for kind in (np.float32, np.uint8):
        look = (np.zeros((0, 3), kind), index, pairs, 0, ONE, background)
        contrast(*look, index, pairs, pairs, *spiral, ONE, out)
        footprints(*look, index, pairs, side, np.zeros((0, 1, 2), np.float32), 1, out)
