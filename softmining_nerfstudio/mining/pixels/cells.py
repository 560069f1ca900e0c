"""Coarse densities: GRID x GRID cells divide every image, and a draw picks a cell before it picks a pixel.

A density takes two bytes a cell, 2 KB an image at any resolution. The paper's code keeps a cumulative sum in float for
every pixel of every image, which is 16 GB for a thousand photographs.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from softmining_nerfstudio.mining.pixels.images import Images, in_circle

GRID = 32


class Density:
    """Unnormalised densities over the cells of every image of a data set, and their sums over each row of cells.

    Args:
        num_images: size of the data set.
    """

    def __init__(self, num_images: int):
        self.cells = torch.zeros(num_images, GRID, GRID, dtype=torch.float16)
        self.rows = torch.zeros(num_images, GRID)

    def put(self, image: int, density: Float[Tensor, "grid grid"]) -> None:
        """Set the density of one image. Only its proportions matter."""
        # relative to the maximum, so that half precision holds it
        self.cells[image] = density / density.max().clamp(min=torch.finfo(density.dtype).tiny)
        self.rows[image] = self.cells[image].float().sum(-1)

    def draw(self, image: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, "n 2"]:
        """One cell (row, column) of each image. It draws the row first, so that it need not look at all cells."""
        row = draw_index(self.rows[image], generator)
        return torch.stack([row, draw_index(self.cells[image, row].float(), generator)], -1)


def draw_index(density: Float[Tensor, "n choices"], generator: torch.Generator) -> Int[Tensor, " n"]:
    """One index from each row's unnormalised density, by inverting its cumulative sum."""
    cumulative = density.cumsum(-1)
    # uniforms in (0, 1]: zero would land on a leading index of zero density
    uniform = 1 - torch.rand((len(density), 1), generator=generator)
    return torch.searchsorted(cumulative, uniform * cumulative[:, -1:])[:, 0].clamp(max=density.shape[1] - 1)


def draw_with_replacement(
    density: Float[Tensor, " choices"], count: int, generator: torch.Generator
) -> Int[Tensor, " count"]:
    """`count` indices from one unnormalised density."""
    if not count:  # which torch.multinomial refuses
        return torch.zeros(0, dtype=torch.long)
    return torch.multinomial(density, count, replacement=True, generator=generator)


def cell_bounds(
    cell: Int[Tensor, " *cells"], size: Int[Tensor, " *#cells"]
) -> tuple[Int[Tensor, " *cells"], Int[Tensor, " *cells"]]:
    """First pixel of a cell along one axis of `size` pixels, and its length. Every pixel belongs to one cell."""
    first = -(-cell * size // GRID)
    return first, -(-(cell + 1) * size // GRID) - first


def bands(length: int) -> list[range]:
    """The pixels of each of the GRID cells along one axis of `length` pixels."""
    firsts, lengths = cell_bounds(torch.arange(GRID), torch.tensor(length))
    return [range(first, first + here) for first, here in zip(firsts.tolist(), lengths.tolist(), strict=True)]


def cell_of(pixel: Int[Tensor, " *pixels"], size: Int[Tensor, " *#pixels"]) -> Int[Tensor, " *pixels"]:
    """The cell of a pixel along one axis of `size` pixels."""
    return pixel * GRID // size


def cell_sums(values: Shaped[Tensor, "height width"]) -> Float[Tensor, "grid grid"]:
    """Sum of the values in each cell."""
    return _sum_columns(torch.zeros(GRID, values.shape[1]).index_add_(0, _cells_along(values.shape[0]), values.float()))


def area_cells(images: Images, slot: int) -> Float[Tensor, "grid grid"]:
    """Area of each cell, in mean pixels of the image."""
    height, width = images.sizes[slot].tolist()
    area = images.area(torch.tensor(slot), torch.arange(height))
    by_row = torch.zeros(GRID).index_add_(0, _cells_along(height), area)
    return torch.outer(by_row, _cells_along(width).bincount(minlength=GRID).float())


def allowed_cells(images: Images, slot: int) -> Float[Tensor, "grid grid"]:
    """Area of each cell that may be drawn, in mean pixels of the image."""
    height, width = images.sizes[slot].tolist()
    if images.masks is None:
        cells = area_cells(images, slot)
        return cells if images.crop_radius is None else _circle_cells(height, width, images.crop_radius)
    by_row = torch.zeros(GRID, width)
    for cell, rows in enumerate(bands(height)):  # a whole mask in float would take 48 MB at 12 megapixels
        allowed = images.allowed_in(slot, rows, range(width))
        if images.equirectangular:
            by_row[cell] = images.area(torch.tensor(slot), torch.arange(rows.start, rows.stop)) @ allowed.float()
        else:
            by_row[cell] = allowed.sum(0, dtype=torch.int32)
    return _sum_columns(by_row)


def cell_means(
    values: Float[Tensor, "height width"], among: Bool[Tensor, "height width"] | None = None
) -> Float[Tensor, "grid grid"]:
    """Mean of the values in each cell; 0 for an empty cell, as in an image of fewer pixels than cells.

    Args:
        among: those that count; a cell without any has the mean of the image.
    """
    if among is not None and among.any():
        counted = cell_sums(among)
        return torch.where(counted > 0, cell_sums(values * among) / counted.clamp(min=1), values[among].mean())
    counts = [_cells_along(length).bincount(minlength=GRID) for length in values.shape]
    return cell_sums(values) / torch.outer(*counts).clamp(min=1)


def pixels_in_cell(
    cell: Int[Tensor, "n 2"], size: Int[Tensor, "n 2"], candidates: int, generator: torch.Generator
) -> Int[Tensor, "n candidates 2"]:
    """Pixels (row, column) drawn uniformly from each cell."""
    first, length = cell_bounds(cell, size)
    uniform = torch.rand((len(cell), candidates, 2), generator=generator)
    return first[:, None] + (uniform * length[:, None]).long()


@lru_cache(maxsize=64)
def _cells_along(length: int) -> Int[Tensor, " length"]:
    """The cell of every pixel along one axis."""
    return cell_of(torch.arange(length), torch.tensor(length))


def _sum_columns(by_row: Float[Tensor, "grid width"]) -> Float[Tensor, "grid grid"]:
    return torch.zeros(GRID, GRID).index_add_(1, _cells_along(by_row.shape[1]), by_row)


@lru_cache(maxsize=16)
def _circle_cells(height: int, width: int, radius: float) -> Float[Tensor, "grid grid"]:
    size, columns = torch.tensor([height, width]), torch.arange(width)
    by_row = [
        in_circle(torch.arange(rows.start, rows.stop)[:, None], columns, size, radius).sum(0) for rows in bands(height)
    ]
    return _sum_columns(torch.stack(by_row).float())
