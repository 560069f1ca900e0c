"""Rows of an image file as bytes, without a copy of the whole image besides the decoded one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from softmining_nerfstudio.images.capture import ImagesError, Rows

CHANNELS = {"L": 3, "RGB": 3, "RGBA": 4}
"""Of the modes that an image may have, in PIL's terms. Grey is kept as three equal colours."""


def rows_of_file(path: Path, size: tuple[int, int], scale: float, channels: int) -> Rows:
    """Decode an image.

    Args:
        size: width and height that its header gave, scaled.
        scale: factor by which to resize, rounded down, as nerfstudio does.
        channels: 3, or 4 for RGBA; images without alpha are then opaque.

    Raises:
        ImagesError: if the image has another size or other channels than it had.
        Exception: what PIL raises on a file that it cannot read.
    """
    with Image.open(path) as image:
        if scale != 1.0:
            loaded = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        else:
            image.load()
            loaded = image
    if loaded.size != size or CHANNELS.get(loaded.mode, 0) not in (3, channels):
        raise ImagesError(
            f"{path} changed: it now has {loaded.width} x {loaded.height} pixels of {loaded.mode}; "
            f"expected {size[0]} x {size[1]} and {channels} channels"
        )
    return lambda first, last: _with_channels(np.asarray(loaded.crop((0, first, size[0], last))), channels)


def small(path: Path, side: int) -> np.ndarray:
    """An image [height, width, 3 or 4] whose longer side has at most so many pixels. JPEG is decoded at that size."""
    with Image.open(path) as image:
        image.thumbnail((side, side))
        return _with_channels(np.array(image), CHANNELS[image.mode])


def _with_channels(rows: np.ndarray, channels: int) -> np.ndarray:
    if rows.ndim == 2:
        rows = rows[..., None].repeat(3, -1)
    if rows.shape[-1] < channels:
        opaque = np.full((*rows.shape[:2], 1), 255, np.uint8)
        rows = np.concatenate([rows, opaque], -1)
    return rows
