"""Where rays appear: anywhere in an image, on its edges, or in a given cell. Masked-out pixels are never chosen.

A cell is drawn first, then a few candidates among its pixels, then one of them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.cells import (
    Density,
    allowed_cells,
    area_cells,
    bands,
    cell_bounds,
    draw_with_replacement,
    pixels_in_cell,
)
from softmining_nerfstudio.mining.edge_strength import EdgeStrength
from softmining_nerfstudio.mining.images import Images
from softmining_nerfstudio.mining.listed import MOST_LISTED, Listed, is_sparse

CANDIDATES = 8
"""Pixels looked at within a drawn cell, of which one that may be drawn is taken."""


class Respawn:
    """Coarse densities of every image of a data set, filled in when an image is first loaded.

    Args:
        num_images: size of the data set.
        edge_strength: by which edges are drawn.
    """

    def __init__(self, num_images: int, edge_strength: EdgeStrength):
        self.allowed = Density(num_images)
        self.listed = Listed.none()
        self.share = torch.full((num_images,), torch.nan)
        """Fraction of each image that may be drawn; NaN until the image has been seen."""
        self.measure_edges_by(edge_strength)

    def measure_edges_by(self, edge_strength: EdgeStrength) -> None:
        """Go on with this measure; what is known of the edges by another one is forgotten."""
        self.edge_strength = edge_strength
        self.edges = Density(len(self.share))
        self.edges_known = torch.zeros(len(self.share), dtype=torch.bool)
        """Of which images: that is worked out when a ray is first drawn on an edge of one."""

    def see(self, images: Images) -> Int[Tensor, " new"]:
        """Work out the densities of images loaded for the first time.

        Returns:
            The slots of those images.
        """
        new = self.share[images.ids].isnan().nonzero()[:, 0]
        more = [self.listed]
        for slot in new.tolist():
            image = int(images.ids[slot])
            area = area_cells(images, slot)
            allowed = area if images.all_allowed else allowed_cells(images, slot)
            self.allowed.put(image, allowed)
            self.share[image] = allowed.sum() / area.sum()
            sparse = is_sparse(allowed, area)
            if sparse.any():
                listed = Listed.of(images, slot, sparse)
                if sum(map(len, more)) + len(listed) <= MOST_LISTED:
                    more.append(listed)
        if len(more) > 1:
            self.listed = Listed.joined(more)
        return new

    def drawable(self, images: Images) -> Int[Tensor, " drawable"]:
        """Slots of the images that have a pixel to draw."""
        return (self.share[images.ids] > 0).nonzero()[:, 0]

    def every_image(self, images: Images, count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
        """Slots of images that have a pixel to draw, each as often; which get one more is decided by lot."""
        drawable = self.drawable(images)
        order = drawable[torch.randperm(len(drawable), generator=generator)]
        return order.repeat(-(-count // len(order)))[:count]

    def anywhere(
        self, images: Images, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " count"], Float[Tensor, "count 2"]]:
        """Slots and positions, uniform over what may be drawn of each loaded image, and these weighted by its share."""
        slot = draw_with_replacement(self.share[images.ids], count, generator)
        return slot, self.uniform(images, slot, generator)

    def uniform(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions drawn uniformly from what may be drawn of images `slot`; of panoramas, uniformly on the sphere."""
        if images.all_allowed and not images.equirectangular:
            return torch.rand((len(slot), 2), generator=generator) * images.sizes[slot]
        cell = self.allowed.draw(images.ids[slot], generator)
        return self.within(images, slot, cell, generator)

    def on_edges(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions drawn from the edge density: its cell first, then one of a few pixels in it.

        Each of them has a chance proportional to its edge strength, at full resolution, times its area.
        """
        self._see_edges(images, slot)
        cell = self.edges.draw(images.ids[slot], generator)
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
        """Work out the edge densities of those of the images `slot` of which they are not known."""
        for new in slot[~self.edges_known[images.ids[slot]]].unique().tolist():
            image = int(images.ids[new])
            self.edges.put(image, self.edge_strength.of_cells(images, new) * self.allowed.cells[image].float())
            self.edges_known[image] = True

    def _candidates(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], count: int, generator: torch.Generator
    ) -> Int[Tensor, "n candidates 2"]:
        """Pixels drawn uniformly from each cell, or from those that are listed of it."""
        size = images.sizes[slot]
        pixels = pixels_in_cell(cell, size, count, generator)
        if len(self.listed):
            drawn, listed = self.listed.draw(images.ids[slot], cell, size[:, 1], count, generator)
            pixels[listed] = drawn
        return pixels

    def within(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], generator: torch.Generator
    ) -> Float[Tensor, "n 2"]:
        """Positions drawn by area from the allowed pixels of given cells: by rejection, then, if need be, by search."""
        pixel = torch.zeros_like(cell)
        left = torch.arange(len(slot))
        for candidates in (CANDIDATES << doubled for doubled in range(7)):
            drawn = self._candidates(images, slot[left], cell[left], candidates, generator)
            of = slot[left, None]
            accepted = images.allowed(of, drawn[..., 0], drawn[..., 1])
            if images.equirectangular:
                largest = _largest_area(images, slot[left], cell[left, 0])[:, None]
                chance = images.area(of, drawn[..., 0]) / largest
                accepted = accepted & (torch.rand(chance.shape, generator=generator) < chance)
            hit, first = accepted.max(-1)
            pixel[left[hit]] = drawn[hit, first[hit]]
            left = left[~hit]
            if not len(left):
                break
        for ray in left.tolist():
            cell_row, cell_column = cell[ray].tolist()
            pixel[ray] = _search(images, int(slot[ray]), cell_row, cell_column, generator)
        return _somewhere_in(pixel, generator)


def _largest_area(images: Images, slot: Int[Tensor, " n"], cell_row: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Area of the pixels of a cell that are nearest to the equator."""
    height = images.sizes[slot, 0]
    first, length = cell_bounds(cell_row, height)
    return images.area(slot, (height // 2).clamp(first, first + length - 1))


def _search(
    images: Images, slot: int, cell_row: int, cell_column: int, generator: torch.Generator
) -> Int[Tensor, " 2"]:
    """One pixel drawn by area from the allowed ones of a cell, by looking at all of them."""
    height, width = images.sizes[slot].tolist()
    rows, columns = bands(height)[cell_row], bands(width)[cell_column]
    listed = images.allowed_in(slot, rows, columns).nonzero() + torch.tensor([rows.start, columns.start])
    area = images.area(torch.tensor(slot), listed[:, 0])
    return listed[torch.multinomial(area, 1, generator=generator)[0]]


def _somewhere_in(pixel: Int[Tensor, "n 2"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Positions spread over each pixel; float32 must not round them up to the next."""
    below = torch.nextafter((pixel + 1).float(), torch.zeros(()))
    return (pixel + torch.rand(pixel.shape, generator=generator)).minimum(below)
