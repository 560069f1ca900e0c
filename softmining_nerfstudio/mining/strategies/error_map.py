"""A coarse error map, as instant-ngp has it: rays go where losses were high in the period before.

Each image has a map. Over a period of training steps, a cell of the map sums l / p of the rays that fell near it, where
p is the density with which the ray was drawn, relative to uniform over the images that were loaded. Divided by the rays
that uniform sampling would have sent to the image, the sum estimates the integral of the loss over the cell. At the end
of the period it becomes the density of the next one, and a new map begins. Images are drawn in proportion to their
integrals (a tenth of the rays: all images alike). Half of the rays then go anywhere in their image, the others to a
cell of its map. The loss is plain: dividing it by p would undo the map's purpose.

Source: Mueller et al., "Instant Neural Graphics Primitives", SIGGRAPH 2022, its code's `error_map`. Differences: there
the number of cells follows the number of rays (21 x 21 instead of 32 x 32 for 1024 rays on 100 images), and no row or
column of the map is below a hundredth of the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.cells import GRID, Density, cell_of, draw_with_replacement
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.base import Positions, Strategy

FIRST_PERIOD = 128
"""Training steps until the first map is used."""
PERIOD_GROWTH = 1.5
"""Factor by which each period is longer than the one before."""
UNIFORM_IMAGES = 0.1
"""Share of the rays for which all images are equally likely."""
UNIFORM_PIXELS = 0.5
"""Share of the rays that go anywhere in their image."""


class ErrorMap(Strategy):
    """Draws from a map of losses. The map is renewed at growing intervals."""

    corrected = False

    def __init__(self, densities: Densities, generator: torch.Generator) -> None:
        super().__init__(densities, generator)
        num_images = len(densities.share)
        self.sums = torch.zeros(num_images, GRID, GRID)
        self.visited = torch.zeros(num_images, dtype=torch.bool)
        self.uniform_rays = torch.zeros(num_images)
        """Rays that uniform sampling would have sent to each image in this period."""
        self.density = Density(num_images)
        self.per_image = torch.ones(num_images)
        """Mean loss of each image, relative to the mean image."""
        self.drawn = torch.ones(num_images)
        """How much likelier than uniformly each image was drawn last, when it was loaded."""
        self.step, self.period = 0, FIRST_PERIOD
        self._count = 0

    def draw(self, images: Images, count: int) -> Positions:
        """Pixels by the current map; uniform ones before there is a map, and in images that it does not cover."""
        allowed = self.densities.share[images.ids]
        chance = torch.where(allowed > 0, (1 - UNIFORM_IMAGES) * self.per_image[images.ids] + UNIFORM_IMAGES, 0)
        drawable = int((allowed > 0).sum())
        self.drawn = self.drawn.index_copy(0, images.ids, chance / chance.sum() * drawable)
        self.uniform_rays = self.uniform_rays.index_add(0, images.ids, (allowed > 0) * count / drawable)
        slot = draw_with_replacement(chance, count, self.generator)
        yx = self.densities.uniform(images, slot, self.generator)
        by_map = torch.rand(count, generator=self.generator) >= UNIFORM_PIXELS
        by_map &= self.density.rows[images.ids[slot]].sum(-1) > 0
        ids = images.ids[slot[by_map]]
        cell = self.density.draw(ids, self.generator)
        row, column = cell.unbind(-1)
        is_open = self.densities.allowed.cells[ids, row, column] > 0  # masks may have changed since a checkpoint
        by_map[by_map.clone()] = is_open
        yx[by_map] = self.densities.within(images, slot[by_map], cell[is_open], self.generator)
        self._count = count
        return slot, yx

    def learn(self, seen: Seen) -> None:
        """Add the losses to the map. At the end of the period, draw by it and begin another."""
        image, yx, size, loss = (part[: self._count] for part in (seen.image, seen.yx, seen.size, seen.loss))
        estimate = torch.where(loss.isfinite(), loss / self._relative_density(image, yx, size), 0).float()
        for row, column, weight in _cells_around(yx, size):
            # nobody draws from cells that a mask closes: they hold nothing
            weight = torch.where(self.densities.allowed.cells[image, row, column] > 0, weight, 0)
            self.sums.index_put_((image, row, column), estimate * weight, accumulate=True)
        self.visited[image] = True
        self.step += 1
        if self.step >= self.period:
            self._renew()

    def _renew(self) -> None:
        """Draw by the sums from now on, in the images that rays went to, and begin new sums."""
        losses = self.sums.sum((1, 2)) / self.uniform_rays
        for image in self.visited.nonzero()[:, 0].tolist():
            self.density.put(image, self.sums[image])
        mean = losses[self.visited].mean().clamp(min=torch.finfo(losses.dtype).tiny)
        self.per_image = torch.where(self.visited, losses / mean, self.per_image)
        self.sums, self.visited = torch.zeros_like(self.sums), torch.zeros_like(self.visited)
        self.uniform_rays = torch.zeros_like(self.uniform_rays)
        self.step, self.period = 0, int(self.period * PERIOD_GROWTH)

    def _relative_density(
        self, image: Int[Tensor, " rays"], yx: Float[Tensor, "rays 2"], size: Int[Tensor, "rays 2"]
    ) -> Float[Tensor, " rays"]:
        """How much likelier than by uniform sampling each ray was drawn."""
        row, column = cell_of(yx.long(), size).clamp(max=GRID - 1).unbind(-1)
        drawn, area = (
            density.cells[image, row, column].float() / density.rows[image].sum(-1).clamp(min=1e-9)
            for density in (self.density, self.densities.allowed)
        )
        known = self.density.rows[image].sum(-1) > 0
        within = torch.where(known, (1 - UNIFORM_PIXELS) * drawn / area.clamp(min=1e-9) + UNIFORM_PIXELS, 1)
        return self.drawn[image] * within

    def state(self) -> dict[str, Tensor]:
        """Both maps, and the position in the period."""
        return {
            "sums": self.sums,
            "visited": self.visited,
            "uniform_rays": self.uniform_rays,
            "cells": self.density.cells,
            "rows": self.density.rows,
            "per_image": self.per_image,
            "period": torch.tensor([self.step, self.period]),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with these maps."""
        self.sums, self.visited = state["sums"].cpu().clone(), state["visited"].cpu().clone()
        self.per_image = state["per_image"].cpu()
        self.uniform_rays = state["uniform_rays"].cpu()
        self.density.cells, self.density.rows = state["cells"].cpu().clone(), state["rows"].cpu().clone()
        self.step, self.period = state["period"].tolist()


def _cells_around(
    yx: Float[Tensor, "rays 2"], size: Int[Tensor, "rays 2"]
) -> Iterator[tuple[Int[Tensor, " rays"], Int[Tensor, " rays"], Float[Tensor, " rays"]]]:
    """The four cells whose middles surround each position, with bilinear weights that sum to 1."""
    place = (yx / size * GRID - 0.5).clamp(0, GRID - 1)
    first = place.long().clamp(max=GRID - 2)
    part = place - first
    for down, right in product((0, 1), (0, 1)):
        weight = torch.where(torch.tensor([down, right]) > 0, part, 1 - part).prod(-1)
        yield first[:, 0] + down, first[:, 1] + right, weight
