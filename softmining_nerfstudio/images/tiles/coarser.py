"""The same images at a quarter of their size, for a capture whose tiles the system's file cache cannot hold.

A single pixel of such tiles is a page read from the disk. Wide footprints, and the contrast of candidates for edges,
look up dozens of pixels for one ray, and need no more detail than this. It has a sixteenth of the bytes, so it stays in
the file cache.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from softmining_nerfstudio.images.capture import Capture, Rows
from softmining_nerfstudio.images.pixels import Pixels

FACTOR = 4
"""Pixels along each side of the block that a pixel here is the mean of."""
SMALLEST = 32 * FACTOR
"""Pixels along each side, so that every cell of the densities has one."""
LAYER = "image"


def has_coarser(capture: Capture) -> bool:
    """Whether all images are large enough, and a mean of stored colours is a colour that may be seen: not where alpha
    weighs them, nor beside masks."""
    fit = capture.layers[LAYER].channels == (3,) and "mask" not in capture.layers
    return fit and int(capture.sizes.min()) >= SMALLEST


def coarser(capture: Capture, tiles: Path) -> Capture:
    """The colours of a capture, smaller.

    Args:
        tiles: file of the capture's colours, complete. It is read in a row: page by page would take minutes.
    """
    sizes, bytes_of_pixel = capture.sizes // FACTOR, capture.layers[LAYER].bytes

    def read(image: int) -> dict[str, Rows]:
        (height, width), (rows, columns) = capture.sizes[image].tolist(), sizes[image].tolist()
        first, count = (bytes_of_pixel * pixels for pixels in (int(capture.first[image]), height * width))
        stored = torch.from_numpy(np.fromfile(tiles, np.uint8, count, offset=first)).view(height * width, -1)
        whole = Pixels(stored, torch.tensor([0]), torch.tensor([[height, width]])).whole(0)
        means = np.asarray(Image.fromarray(whole.numpy()).resize((columns, rows), Image.Resampling.BOX))
        return {LAYER: lambda first, last: means[first:last]}

    settings = f"{capture.settings}, each pixel the mean of {FACTOR} x {FACTOR}"
    return Capture(sizes, {LAYER: capture.layers[LAYER]}, capture.files, read, settings)
