"""Sparse cells: a mask leaves so few of their pixels that random candidates would seldom hit one. A list has them.

An entry takes four bytes for the cell and four for the pixel. Only sparse cells are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.pixels.cells import GRID, bands, cell_of
from softmining_nerfstudio.mining.pixels.images import Images

SPARSE = 1 / 64
"""A cell is sparse if a smaller fraction of it may be drawn."""

MOST_LISTED = 2**21
"""Pixels in the list for the whole data set: 16 MB. Beyond it, sparse cells of further images are not listed: drawing
from them takes more candidates."""


def is_sparse(allowed: Float[Tensor, "grid grid"], area: Float[Tensor, "grid grid"]) -> Bool[Tensor, "grid grid"]:
    """Which cells of an image are sparse, by the area that may be drawn and the whole area."""
    return (allowed > 0) & (allowed < SPARSE * area)


@dataclass(frozen=True)
class SparseCells:
    """The allowed pixels of sparse cells, sorted by cell."""

    cell: Int[Tensor, " pixels"]
    """Number of each pixel's cell in the whole data set."""
    pixel: Int[Tensor, " pixels"]
    """row * width + column."""

    def __len__(self) -> int:
        return len(self.cell)

    @staticmethod
    def none() -> SparseCells:
        """An empty list."""
        return SparseCells(torch.zeros(0, dtype=torch.int32), torch.zeros(0, dtype=torch.int32))

    @staticmethod
    def of(images: Images, slot: int, sparse: Bool[Tensor, "grid grid"]) -> SparseCells:
        """The allowed pixels of the sparse cells of one image, in the order of its rows."""
        height, width = images.sizes[slot].tolist()
        column_cell = cell_of(torch.arange(width), torch.tensor(width))
        found = [SparseCells.none()]
        for cell, rows in enumerate(bands(height)):
            if sparse[cell].any():
                listed = images.allowed_in(slot, rows, range(width)) & sparse[cell, column_cell]
                row, column = listed.nonzero().unbind(-1)
                named = _name(images.ids[slot], torch.tensor(cell), column_cell[column])
                found.append(SparseCells(named.int(), ((row + rows.start) * width + column).int()))
        return SparseCells(torch.cat([part.cell for part in found]), torch.cat([part.pixel for part in found]))

    @staticmethod
    def joined(parts: Sequence[SparseCells]) -> SparseCells:
        """All of them in one list."""
        cell, order = torch.cat([part.cell for part in parts]).sort(stable=True)
        return SparseCells(cell, torch.cat([part.pixel for part in parts])[order])

    def draw(
        self,
        image: Int[Tensor, " n"],
        cell: Int[Tensor, "n 2"],
        width: Int[Tensor, " n"],
        candidates: int,
        generator: torch.Generator,
    ) -> tuple[Int[Tensor, "listed candidates 2"], Bool[Tensor, " n"]]:
        """Draws uniform pixels (row, column) from each listed cell, and says which of the n cells are listed.

        Args:
            image: of each cell, its index in the data set.
            width: of that image.
        """
        named = _name(image, cell[:, 0], cell[:, 1]).to(self.cell.dtype)
        first, last = torch.searchsorted(self.cell, named), torch.searchsorted(self.cell, named, right=True)
        listed = last > first
        first, length = first[listed, None], (last - first)[listed, None]
        uniform = torch.rand((len(first), candidates), generator=generator)
        pixel = self.pixel[first + (uniform * length).long()]
        return torch.stack([pixel // width[listed, None], pixel % width[listed, None]], -1), listed


def _name(
    image: Int[Tensor, " *#cells"], row: Int[Tensor, " *#cells"], column: Int[Tensor, " *#cells"]
) -> Int[Tensor, " *cells"]:
    """Number of a cell in the whole data set."""
    return (image * GRID + row) * GRID + column
