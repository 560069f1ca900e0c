"""Where walkers appear: anywhere in an image, or on its edges. Masked-out pixels are never chosen."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.cells import (
    GRID,
    MIN_EDGE,
    allowed_cells,
    cell_bounds,
    draw_cells,
    edge_cells,
    pixels_in_cell,
)
from softmining_nerfstudio.mining.images import Images

CANDIDATES = 8
"""Pixels looked at within a drawn cell, of which one is taken."""


class Respawn:
    """Coarse densities of every image of a data set, filled in when an image is first loaded.

    Args:
        num_images: size of the data set.
    """

    def __init__(self, num_images: int):
        self.allowed = torch.zeros(num_images, GRID * GRID, dtype=torch.float16)
        self.edges = torch.zeros(num_images, GRID * GRID, dtype=torch.float16)
        self.share = torch.full((num_images,), torch.nan)
        """Fraction of each image that may be drawn; NaN until the image has been seen."""

    def see(self, images: Images) -> Int[Tensor, " new"]:
        """Work out the densities of images loaded for the first time.

        Returns:
            The slots of those images.
        """
        new = self.share[images.ids].isnan().nonzero()[:, 0]
        for slot in new.tolist():
            allowed = allowed_cells(images, slot)
            edges = edge_cells(images, slot) * allowed
            image = images.ids[slot]
            # relative to their maximum, so that half precision holds them
            self.allowed[image] = allowed / allowed.max().clamp(min=1)
            self.edges[image] = edges / edges.max().clamp(min=MIN_EDGE)
            self.share[image] = allowed.sum() / images.sizes[slot].prod()
        return new

    def uniform(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions drawn uniformly from the pixels of images `slot` that may be drawn."""
        size = images.sizes[slot]
        if images.masks is None:
            return torch.rand((len(slot), 2), generator=generator) * size
        cell = draw_cells(self.allowed[images.ids[slot]], generator)
        return self._within(images, slot, cell, generator)

    def on_edges(self, images: Images, slot: Int[Tensor, " n"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Positions drawn from the edge density: its cell first, then one of a few pixels in it.

        Each of them has a chance proportional to the brightness gradient there, at full resolution.
        """
        cell = draw_cells(self.edges[images.ids[slot]], generator)
        pixels = pixels_in_cell(cell, images.sizes[slot], CANDIDATES, generator)
        sharpness = _sharpness(images, slot, pixels).clamp(min=MIN_EDGE)
        expanded = slot[:, None].expand(-1, CANDIDATES)
        sharpness = sharpness * images.allowed(expanded, pixels[..., 0], pixels[..., 1])
        none = sharpness.sum(-1) == 0
        chosen = torch.multinomial(sharpness + none[:, None], 1, generator=generator)
        pixel = pixels[torch.arange(len(slot)), chosen[:, 0]]
        yx = _somewhere_in(pixel, generator)
        if none.any():
            yx[none] = self._within(images, slot[none], cell[none], generator)
        return yx

    def _within(
        self, images: Images, slot: Int[Tensor, " n"], cell: Int[Tensor, "n 2"], generator: torch.Generator
    ) -> Float[Tensor, "n 2"]:
        """Positions drawn uniformly from the allowed pixels of given cells: by rejection, then, if need be, by list."""
        size = images.sizes[slot]
        pixel = torch.zeros_like(cell)
        left = torch.arange(len(slot))
        for candidates in (CANDIDATES, CANDIDATES**2, CANDIDATES**3):
            drawn = pixels_in_cell(cell[left], size[left], candidates, generator)
            allowed = images.allowed(slot[left, None].expand(-1, candidates), drawn[..., 0], drawn[..., 1])
            hit, first = allowed.max(-1)
            pixel[left[hit]] = drawn[hit, first[hit]]
            left = left[~hit]
            if not len(left):
                break
        for ray in left.tolist():
            first, length = cell_bounds(cell[ray], size[ray])
            assert images.masks is not None
            (row, column), (height, width) = first.tolist(), length.tolist()
            window = images.masks[int(slot[ray])][row : row + height, column : column + width, 0]
            listed = window.nonzero().to(slot.device)
            pixel[ray] = first + listed[torch.randint(len(listed), (), generator=generator)]
        return _somewhere_in(pixel, generator)


def _somewhere_in(pixel: Int[Tensor, "n 2"], generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Positions spread over each pixel; float32 must not round them up to the next."""
    below = torch.nextafter((pixel + 1).float(), torch.zeros(()))
    return (pixel + torch.rand(pixel.shape, generator=generator)).minimum(below)


def _sharpness(
    images: Images, slot: Int[Tensor, " n"], pixels: Int[Tensor, "n candidates 2"]
) -> Float[Tensor, "n candidates"]:
    """Magnitude of the brightness gradient at single pixels, by central differences, per pixel."""
    steps = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    around = pixels[:, None] + steps[:, None]
    around = torch.minimum(around.clamp(min=0), images.sizes[slot][:, None, None] - 1)
    expanded = slot[:, None, None].expand(around.shape[:3])
    down, up, right, left = images.grey(expanded, around[..., 0], around[..., 1]).unbind(1)
    return torch.hypot(down - up, right - left) / 2
