"""What is to be kept of a capture, and how it is read from its files: all that this room knows of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from softmining_nerfstudio.images.pixels import Colours

Rows = Callable[[int, int], np.ndarray]
"""Gives some rows of an image, first to last, [rows, width, ...]. Whole images are then never copied."""
Stamp = tuple[tuple[int, int], ...]
"""Bytes and time of change (ns) of each of an image's files."""


class ImagesError(Exception):
    """Why images cannot be kept: what was found, and what was expected."""


@dataclass(frozen=True)
class Layer:
    """One kind of values: colours, a mask, a depth."""

    dtype: torch.dtype
    """That of the files."""
    channels: tuple[int, ...]
    """Shape of what one pixel has."""
    decoding: Colours | None = None

    @property
    def bytes(self) -> int:
        """Of one pixel."""
        return self.dtype.itemsize * int(np.prod(self.channels))


@dataclass(frozen=True)
class Capture:
    """Images of a data set, in its order."""

    sizes: Int[Tensor, "images 2"]
    """Height and width of each image, pixels."""
    layers: Mapping[str, Layer]
    files: Sequence[Sequence[Path]]
    """What the values of each image are read from."""
    read: Callable[[int], Mapping[str, Rows]]
    """Opens an image and gives the rows of each layer. Raises what is wrong with its files."""
    settings: str
    """What else the values depend on."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def first(self) -> Int[Tensor, " images"]:
        """Where each image begins in a list of all pixels."""
        pixels = self.sizes.prod(-1)
        return pixels.cumsum(0) - pixels

    @property
    def pixels(self) -> int:
        """Of all images."""
        return int(self.sizes.prod(-1).sum())

    @property
    def bytes(self) -> int:
        """Of all images and layers."""
        return self.bytes_of_largest(len(self))

    def bytes_of_largest(self, count: int) -> int:
        """Of as many images as take most."""
        pixels = self.sizes.prod(-1).sort(descending=True).values[:count].sum()
        return int(pixels) * sum(layer.bytes for layer in self.layers.values())

    def of(self, images: Sequence[int]) -> Capture:
        """Some of the images."""
        chosen = list(images)
        return Capture(
            self.sizes[chosen],
            self.layers,
            [self.files[image] for image in chosen],
            lambda slot: self.read(chosen[slot]),
            self.settings,
        )

    def stamp(self, image: int) -> Stamp:
        """Tells whether the files of an image are those of before. One that is gone has -1 bytes."""
        return tuple(map(_stamp, self.files[image]))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
