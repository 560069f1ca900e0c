"""Edge strength: what makes a pixel an edge.

`Sobel`, the paper's measure, is the magnitude of the brightness gradient. It is large on a few pixels of the sharpest
outlines and almost zero beside them and in soft texture, where a model is wrong as well. `Contrast` looks further. It
compares the brightness g with that of pixels at several distances (a madogram of the image, at each pixel):

    contrast(x) = c + mean_k |g(x) - g(x + d_k)|,      |d_k| = 1 ... 3 % of the image.

The offsets d_k lie on a spiral. Contrast predicts better where a model in training is wrong (`configs/ideas.md` says by
how much).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.pixels.cells import GRID, cell_means
from softmining_nerfstudio.mining.pixels.images import Images, luminance
from softmining_nerfstudio.mining.pixels.values import part

SAMPLES_PER_CELL = 4
"""Pixels sampled along each side of a cell. Large images are strided, so that set-up time does not grow with them."""
MIN_EDGE = 1e-5
"""Gradient magnitude of a perfectly flat region."""
MIN_CONTRAST = 1 / 256
"""Contrast of a perfectly flat region: about one grey level, the least that an image can tell."""
OFFSETS = 6
"""Pixels that each pixel is compared with."""
REACH = 0.03
"""Length of the longest offset, as a fraction of sqrt(height * width)."""
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
"""Angle between one offset and the next, radians."""
TURN = (0.7548776662466927, 0.5698402909980532)
"""Turn of the spiral from row to row and from column to column, in full turns. It covers all directions evenly in any
neighbourhood (the R2 sequence of M. Roberts, 2018)."""


class EdgeStrength(ABC):
    """A measure of edges. Only its proportions within an image matter. What must not be drawn makes no edges."""

    name: ClassVar[str]
    """What a user calls it."""
    candidates: ClassVar[int]
    """Pixels of a cell to compare when one of them is drawn."""

    @abstractmethod
    def of_cells(self, images: Images, slot: int) -> Float[Tensor, "grid grid"]:
        """Mean over what may be drawn of each cell of an image."""

    @abstractmethod
    def at(
        self,
        images: Images,
        slot: Int[Tensor, " *#pixels"],
        row: Int[Tensor, " *pixels"],
        column: Int[Tensor, " *pixels"],
    ) -> Float[Tensor, " *pixels"]:
        """Strength at single pixels of these images."""


class Sobel(EdgeStrength):
    """The magnitude of the brightness gradient, as in the paper: Sobel's filter for cells, central differences for
    pixels."""

    name = "sobel"
    candidates = 8

    def of_cells(self, images: Images, slot: int) -> Float[Tensor, "grid grid"]:
        """Mean magnitude, relative to the sharpest edge of the image. A pixel beside one that must not be drawn does
        not count."""
        height, width = images.sizes[slot].tolist()
        down, right = _strides(height, width)
        sampled = range(0, height, down), range(0, width, right)
        grey = luminance(part(images.pixels, slot, *sampled).contiguous().cpu())
        padded = _padded(grey)
        # by slices: torch's conv2d takes a hundred times as long for a single channel
        vertical, horizontal = padded[2:] - padded[:-2], padded[:, 2:] - padded[:, :-2]
        magnitude = torch.hypot(
            vertical[:, :-2] + 2 * vertical[:, 1:-1] + vertical[:, 2:],
            horizontal[:-2] + 2 * horizontal[1:-1] + horizontal[2:],
        )
        known = None if images.all_allowed else _surrounded(images.allowed_in(slot, *sampled))
        sharpest = (magnitude if known is None else magnitude * known).max().clamp(min=MIN_EDGE)
        return cell_means((magnitude / sharpest).clamp(min=MIN_EDGE), known)

    def at(
        self,
        images: Images,
        slot: Int[Tensor, " *#pixels"],
        row: Int[Tensor, " *pixels"],
        column: Int[Tensor, " *pixels"],
    ) -> Float[Tensor, " *pixels"]:
        """By central differences, per pixel. The pixel itself stands in for one beside it that must not be drawn."""
        last_row, last_column = (images.sizes[slot] - 1).unbind(-1)
        down, up = (row + 1).minimum(last_row), (row - 1).clamp(min=0)
        right, left = (column + 1).minimum(last_column), (column - 1).clamp(min=0)
        rows, columns = torch.stack([down, up, row, row]), torch.stack([column, column, right, left])
        if not images.all_allowed:
            allowed = images.allowed(slot, rows, columns)
            rows, columns = torch.where(allowed, rows, row), torch.where(allowed, columns, column)
        down, up, right, left = images.grey(slot, rows, columns)
        return (torch.hypot(down - up, right - left) / 2).clamp(min=MIN_EDGE)


class Contrast(EdgeStrength):
    """Mean difference in brightness to pixels at several distances: the equation above."""

    name = "contrast"
    candidates = 4

    def of_cells(self, images: Images, slot: int) -> Float[Tensor, "grid grid"]:
        """Mean contrast of the sampled pixels that may be drawn."""
        height, width = images.sizes[slot].tolist()
        down, right = _strides(height, width)
        rows, columns = torch.meshgrid(torch.arange(0, height, down), torch.arange(0, width, right), indexing="ij")
        allowed = None if images.all_allowed else images.allowed(torch.tensor(slot), rows, columns)
        return cell_means(self.at(images, torch.tensor(slot), rows, columns), allowed)

    def at(
        self,
        images: Images,
        slot: Int[Tensor, " *#pixels"],
        row: Int[Tensor, " *pixels"],
        column: Int[Tensor, " *pixels"],
    ) -> Float[Tensor, " *pixels"]:
        """By the pixels at the offsets. The border stands in for pixels outside of the image; masked-out pixels count
        as equal."""
        size, last = images.sizes[slot], (images.sizes[slot] - 1).float()
        there = [
            (at + offset).clamp(min=0).minimum(most).long()  # in float, which is several times as fast
            for at, offset, most in zip((row, column), _spiral(row, column, size), last.unbind(-1), strict=True)
        ]
        here, *others = images.grey(
            slot, *(torch.cat([at[None], to]) for at, to in zip((row, column), there, strict=True))
        )
        difference = (here - torch.stack(others)).abs()
        if not images.all_allowed:
            difference = difference * images.allowed(slot, *there)
        return MIN_CONTRAST + difference.mean(0)


EDGE_STRENGTHS: dict[str, EdgeStrength] = {measure.name: measure for measure in (Sobel(), Contrast())}
"""The measures by name."""


def _spiral(
    row: Int[Tensor, " *pixels"], column: Int[Tensor, " *pixels"], size: Int[Tensor, "*#pixels 2"]
) -> Float[Tensor, "2 offsets *pixels"]:
    """Offsets of each pixel, in whole pixels down and right, of lengths from 1 to REACH of the image."""
    number = torch.arange(OFFSETS).view(-1, *[1] * row.ndim)
    longest = (REACH * size.prod(-1).sqrt()).clamp(min=1)
    length = longest ** (number / (OFFSETS - 1))
    # in double, as the fraction of thousands of turns is wanted
    turns = ((TURN[0] * row.double() + TURN[1] * column.double()) % 1).float()
    angle = 2 * math.pi * turns + GOLDEN_ANGLE * number
    return (length * torch.stack([angle.sin(), angle.cos()])).round()


def _padded(values: Float[Tensor, "height width"]) -> Float[Tensor, "padded_height padded_width"]:
    """With the border once more around it."""
    return torch.nn.functional.pad(values[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]


def _surrounded(allowed: Bool[Tensor, "height width"]) -> Bool[Tensor, "height width"]:
    """Which pixels and all eight around them are allowed."""
    barred = torch.nn.functional.max_pool2d(_padded((~allowed).float())[None, None], 3, stride=1)
    return barred[0, 0] == 0


def _strides(height: int, width: int) -> tuple[int, int]:
    """Rows and columns from one sampled pixel to the next, for the cells of an image."""
    return -(-height // (GRID * SAMPLES_PER_CELL)), -(-width // (GRID * SAMPLES_PER_CELL))
