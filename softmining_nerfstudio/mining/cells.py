"""Coarse densities: every image is divided into GRID x GRID cells, and a pixel is drawn by its cell first.

A density over cells takes two bytes a cell, 2 KB an image, whatever the resolution; the paper's code keeps a cumulative
sum in float for every pixel of every image instead, which is 16 GB for a thousand photographs.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import conv2d

from softmining_nerfstudio.mining.images import Images, luminance

GRID = 32
SAMPLES_PER_CELL = 8
"""Pixels looked at along each side of a cell: large images are strided, so that set-up time does not grow with them."""

MIN_EDGE = 1e-5
"""Density of a perfectly flat region, relative to the image's sharpest edge."""


def cell_bounds(
    cell: Int[Tensor, " *cells"], size: Int[Tensor, " *#cells"]
) -> tuple[Int[Tensor, " *cells"], Int[Tensor, " *cells"]]:
    """First pixel of a cell along one axis of `size` pixels, and its length; every pixel belongs to one cell."""
    first = -(-cell * size // GRID)
    return first, -(-(cell + 1) * size // GRID) - first


def cell_sums(values: Shaped[Tensor, "height width"]) -> Float[Tensor, "grid grid"]:
    """Sum of the values in each cell."""
    rows, columns = (torch.arange(length) * GRID // length for length in values.shape)
    by_row = torch.zeros(GRID, values.shape[1]).index_add_(0, rows, values.float())
    return torch.zeros(GRID, GRID).index_add_(1, columns, by_row)


def allowed_cells(images: Images, slot: int) -> Float[Tensor, " cells"]:
    """Number of pixels of each cell that may be drawn."""
    if images.masks is None:
        height, width = images.sizes[slot].tolist()
        lengths = [cell_bounds(torch.arange(GRID), torch.tensor(length))[1] for length in (height, width)]
        return torch.outer(*lengths).flatten().float()
    return cell_sums(images.masks[slot][..., 0].cpu() != 0).flatten()


def edge_cells(images: Images, slot: int) -> Float[Tensor, " cells"]:
    """Mean Sobel magnitude of each cell, relative to the sharpest edge of the image."""
    pixels = images.pixels[slot]
    stride = max(1, min(pixels.shape[:2]) // (GRID * SAMPLES_PER_CELL))
    grey = luminance(pixels[::stride, ::stride].cpu())
    smooth, slope = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    sobel = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    padded = torch.nn.functional.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")
    magnitude = conv2d(padded, sobel)[0].norm(dim=0)
    relative = (magnitude / magnitude.max().clamp(min=MIN_EDGE)).clamp(min=MIN_EDGE)
    # an image of fewer pixels than cells leaves cells without a sample; they have no pixel to draw either
    return (cell_sums(relative) / cell_sums(torch.ones_like(relative)).clamp(min=1)).flatten()


def draw_cells(density: Float[Tensor, "n cells"], generator: torch.Generator) -> Int[Tensor, "n 2"]:
    """One cell (row, column) from each row's unnormalised density, by inverting its cumulative sum."""
    cumulative = density.float().cumsum(-1)
    # uniforms in (0, 1]: zero would land on a leading cell of zero density
    uniform = 1 - torch.rand((len(density), 1), generator=generator)
    index = torch.searchsorted(cumulative, uniform * cumulative[:, -1:])[:, 0].clamp(max=density.shape[1] - 1)
    return torch.stack([index // GRID, index % GRID], -1)


def pixels_in_cell(
    cell: Int[Tensor, "n 2"], size: Int[Tensor, "n 2"], candidates: int, generator: torch.Generator
) -> Int[Tensor, "n candidates 2"]:
    """Pixels (row, column) drawn uniformly from each cell."""
    first, length = cell_bounds(cell, size)
    uniform = torch.rand((len(cell), candidates, 2), generator=generator)
    return first[:, None] + (uniform * length[:, None]).long()
