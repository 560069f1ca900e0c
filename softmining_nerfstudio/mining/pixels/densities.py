"""Draw pixels: uniformly over an image, on its edges, or within a cell. Masked-out pixels are never drawn.

A draw picks a cell first, then a few candidate pixels in it, then one of them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.pixels.cells import (
    Density,
    allowed_cells,
    area_cells,
    cell_bounds,
    draw_with_replacement,
    pixels_in_cell,
)
from softmining_nerfstudio.mining.pixels.edge_strength import EdgeStrength
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.sparse import MOST_LISTED, SparseCells, is_sparse

CANDIDATES = 8
"""Candidate pixels within a drawn cell; the first that may be drawn is taken. Cells without one
get twice as many in the next round."""
MOST_CANDIDATES = 2**20
"""Candidates in the last round: a hundred times the pixels of a cell of a large photograph."""


class Densities:
    """Coarse densities of every image of a data set, filled in when an image is first loaded.

    Args:
        num_images: size of the data set.
        edge_strength: what makes a pixel an edge.
    """

    def __init__(self, num_images: int, edge_strength: EdgeStrength):
        self.allowed = Density(num_images)
        self.sparse = SparseCells.none()
        self.share = torch.full((num_images,), torch.nan)
        """Fraction of each image that may be drawn; NaN until the image has been seen."""
        self.measure_edges_by(edge_strength)

    def measure_edges_by(self, edge_strength: EdgeStrength) -> None:
        """Go on with this measure, and forget edge densities by another one."""
        self.edge_strength = edge_strength
        self.edges = Density(len(self.share))
        self.edges_known = torch.zeros(len(self.share), dtype=torch.bool)
        """Images whose edge density is worked out; that happens when the first ray is drawn on an edge of one."""

    def see(self, images: Images) -> Int[Tensor, " new"]:
        """Work out the densities of images loaded for the first time.

        Returns:
            The slots of those images.
        """
        new = self.share[images.ids].isnan().nonzero()[:, 0]
        more, pixels_listed = [self.sparse], len(self.sparse)
        for slot in new.tolist():
            image = int(images.ids[slot])
            area = area_cells(images, slot)
            allowed = area if images.all_allowed else _allowed(images, slot)
            self.allowed.put(image, allowed)
            self.share[image] = allowed.sum() / area.sum()
            sparse = is_sparse(allowed, area)
            if sparse.any():
                listed = SparseCells.of(images, slot, sparse)
                if pixels_listed + len(listed) <= MOST_LISTED:
                    more.append(listed)
                    pixels_listed += len(listed)
        if len(more) > 1:
            self.sparse = SparseCells.joined(more)
        return new

    def drawable(self, images: Images) -> Int[Tensor, " drawable"]:
        """Slots of the images that have a pixel to draw."""
        return (self.share[images.ids] > 0).nonzero()[:, 0]

    def every_image(self, images: Images, count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
        """`count` slots, equally many for every image with a pixel to draw. A lot decides which images get one more."""
        drawable = self.drawable(images)
        order = drawable[torch.randperm(len(drawable), generator=generator)]
        return order.repeat(-(-count // len(order)))[:count]

    def anywhere(
        self, images: Images, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " count"], Float[Tensor, "count 2"]]:
        """Slots and positions: images in proportion to their share that may be drawn, and uniformly over that share."""
        slot = draw_with_replacement(self.share[images.ids], count, generator)
        return slot, self.uniform(images, slot, generator)

    def uniform(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions uniform over what may be drawn of images `slot`; in panoramas, uniform on the sphere."""
        if images.all_allowed and not images.equirectangular:
            return torch.rand((len(slot), 2), generator=generator) * images.sizes[slot]
        cell = self.allowed.draw(images.ids[slot], generator)
        return self.within(images, slot, cell, generator)

    def on_edges(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions drawn from the edge density: a cell first, then one of a few candidates in it.

        A candidate's chance is proportional to its edge strength times its area. Candidates are pixels of the coarser
        images where there are such.
        """
        self._see_edges(images, slot)
        cell = self.edges.draw(images.ids[slot], generator)
        if images.coarser is not None:
            yx = self._by_strength(images.coarser, slot, cell, generator)
            return _below(yx * (images.sizes[slot] / images.coarser.sizes[slot]), images.sizes[slot])
        return self._by_strength(images, slot, cell, generator)

    def _by_strength(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], generator: torch.Generator
    ) -> Float[Tensor, "n 2"]:
        """Positions in given cells, each at one of a few candidates."""
        pixels = self._candidates(images, slot, cell, self.edge_strength.candidates, generator)
        row, column = pixels.unbind(-1)
        of = slot[:, None]
        chance = self.edge_strength.at(images, of, row, column)
        if images.equirectangular:
            chance = chance * images.area(of, row)
        if not images.all_allowed:
            chance = chance * images.allowed(of, row, column)
        none = chance.sum(-1) == 0
        chosen = torch.multinomial(chance + none[:, None], 1, generator=generator)
        pixel = pixels[torch.arange(len(slot)), chosen[:, 0]]
        yx = _somewhere_in(pixel, generator)
        if none.any():
            yx[none] = self.within(images, slot[none], cell[none], generator)
        return yx

    def _see_edges(self, images: Images, slot: Int[Tensor, " n"]) -> None:
        """Work out the edge densities of the images `slot` where they are not known yet."""
        for new in slot[~self.edges_known[images.ids[slot]]].unique().tolist():
            image = int(images.ids[new])
            self.edges.put(image, self._edges(images, new) * self.allowed.cells[image].float())
            self.edges_known[image] = True

    def _edges(self, images: Images, slot: int) -> Float[Tensor, "grid grid"]:
        """The edge strength of the cells of an image."""
        name = self.edge_strength.name
        if not images.all_allowed:
            name += "-within"  # notes of this name alone, beside older tiles, count what must not be drawn
        return images.noted(name, slot, lambda: self.edge_strength.of_cells(images, slot))

    def note(self, images: Images, slot: int) -> None:
        """Have worked out, and noted, what drawing will need to know of an image."""
        if not images.all_allowed:
            _allowed(images, slot)
        self._edges(images, slot)

    def _candidates(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], count: int, generator: torch.Generator
    ) -> Int[Tensor, "n candidates 2"]:
        """Candidates: uniform pixels of each cell, or of its list if it is sparse."""
        size = images.sizes[slot]
        pixels = pixels_in_cell(cell, size, count, generator)
        if len(self.sparse):
            drawn, listed = self.sparse.draw(images.ids[slot], cell, size[:, 1], count, generator)
            pixels[listed] = drawn
        return pixels

    def within(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], generator: torch.Generator
    ) -> Float[Tensor, "n 2"]:
        """Positions drawn by area from the allowed pixels of given cells, by rejection.

        Raises:
            RuntimeError: if a cell has no pixel to draw.
        """
        pixel = torch.zeros_like(cell)
        left, candidates = torch.arange(len(slot)), CANDIDATES
        while len(left):
            if candidates > MOST_CANDIDATES:
                raise RuntimeError(f"found no pixel to draw in cell {cell[left[0]].tolist()} of image {slot[left[0]]}")
            drawn = self._candidates(images, slot[left], cell[left], candidates, generator)
            of = slot[left, None]
            accepted = images.allowed(of, drawn[..., 0], drawn[..., 1])
            if images.equirectangular:
                largest = _largest_area(images, slot[left], cell[left, 0])[:, None]
                chance = images.area(of, drawn[..., 0]) / largest
                accepted = accepted & (torch.rand(chance.shape, generator=generator) < chance)
            hit, first = accepted.max(-1)
            pixel[left[hit]] = drawn[hit, first[hit]]
            left, candidates = left[~hit], 2 * candidates
        return _somewhere_in(pixel, generator)


def _allowed(images: Images, slot: int) -> Float[Tensor, "grid grid"]:
    """The area of the cells of an image that may be drawn."""
    return images.noted("allowed", slot, lambda: allowed_cells(images, slot))


def _largest_area(images: Images, slot: Int[Tensor, " n"], cell_row: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Area of the pixels of a cell that are nearest to the equator."""
    height = images.sizes[slot, 0]
    first, length = cell_bounds(cell_row, height)
    return images.area(slot, (height // 2).clamp(first, first + length - 1))


def _somewhere_in(pixel: Int[Tensor, "n 2"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Positions spread over each pixel; float32 must not round them up to the next."""
    return _below(pixel + torch.rand(pixel.shape, generator=generator), pixel + 1)


def _below(yx: Float[Tensor, "n 2"], bound: Int[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Positions, where they were rounded up to a bound just short of it."""
    return yx.minimum(torch.nextafter(bound.float(), torch.zeros(())))
