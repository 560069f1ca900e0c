"""The sampler's lookups of pixels as compiled loops, by numba: the arithmetic of `mining`, without a copy at each step.

pixels  [all pixels of all images, channels], float32
first   number of each image's first pixel among them
sizes   [images, 2], height and width
"""

import math

import numpy as np
from numba import njit

HALF, ONE, THIRD = np.float32(0.5), np.float32(1), np.float32(1 / 3)


@njit(nogil=True, inline="always")
def brightness(pixels, index):
    """Mean of red, green and blue; RGBA laid over white."""
    grey = (pixels[index, 0] + pixels[index, 1] + pixels[index, 2]) * THIRD
    return grey * pixels[index, 3] + ONE - pixels[index, 3] if pixels.shape[1] == 4 else grey


@njit(nogil=True, cache=True)
def contrast(pixels, first, sizes, slot, row, column, reach, turn, directions, powers, least, out):
    """`Contrast.at` (mining/pixels/edge_strength.py) of pixels [n, candidates], into out.

    directions holds sine and cosine of each offset's angle from the first one, powers its place on the spiral.
    """
    for ray in range(row.shape[0]):
        height, width = sizes[slot[ray]]
        start = first[slot[ray]]
        growth = math.log(max(1.0, reach * math.sqrt(height * width)))
        for candidate in range(row.shape[1]):
            r, c = row[ray, candidate], column[ray, candidate]
            here, total = brightness(pixels, start + r * width + c), np.float32(0)
            angle = 2 * math.pi * ((turn[0] * r + turn[1] * c) % 1.0)
            sine, cosine = math.sin(angle), math.cos(angle)
            for offset in range(len(powers)):
                length, (s, k) = math.exp(growth * powers[offset]), directions[offset]
                down, right = length * (sine * k + cosine * s), length * (cosine * k - sine * s)
                there = min(max(r + int(np.rint(down)), 0), height - 1) * width
                there += min(max(c + int(np.rint(right)), 0), width - 1)
                total += abs(here - brightness(pixels, start + there))
            out[ray, candidate] = least + total / np.float32(len(powers))


@njit(nogil=True, cache=True)
def footprints(pixels, first, sizes, slot, pixel, side, jitter, samples, out):
    """`Footprint.colours` (mining/footprint.py) of n rays, into out [n, channels].

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
            index = start + row * width + column
            weight = pixels[index, 3] if pixels.shape[1] == 4 else ONE
            red += weight * pixels[index, 0]
            green += weight * pixels[index, 1]
            blue += weight * pixels[index, 2]
            alpha += weight
        weight = max(alpha, np.float32(1e-30))
        out[ray, 0], out[ray, 1], out[ray, 2] = red / weight, green / weight, blue / weight
        if pixels.shape[1] == 4:
            out[ray, 3] = alpha / np.float32(samples * samples)


def compile_now():
    """Call every loop on arrays without entries."""
    pixels, out, side = (np.zeros(shape, np.float32) for shape in ((0, 3), (0, 2), 0))
    index, pairs = np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    spiral = (0.0, (0.0, 0.0), np.zeros((0, 2)), np.zeros(0))
    contrast(pixels, index, pairs, index, pairs, pairs, *spiral, ONE, out)
    footprints(pixels, index, pairs, index, pairs, side, np.zeros((0, 1, 2), np.float32), 1, pixels)
