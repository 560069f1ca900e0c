"""A coarse error map in instant-ngp's manner: pixels are drawn where rays had high losses in the period before.

Each image's map sums, over a period of training steps, l / p of the rays that fell in each cell, p being the density
(relative to uniform) with which the ray was drawn: an estimate of the integral of the loss over the cell. At the end of
the period it becomes the density of the next one, and a new map is begun. Images are drawn in proportion to their sum
(a tenth of the rays: all alike), then half of the rays go anywhere in their image, the others to a cell of its map. The
loss is the plain one: dividing it by p would undo what the map is for. Source: Mueller et al., "Instant Neural Graphics
Primitives", SIGGRAPH 2022, its code's `error_map`, where the resolution of the map follows the number of rays; here it
is that of the cells.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.cells import GRID, Density, cell_of, draw_with_replacement
from softmining_nerfstudio.mining.images import Images
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.strategy import Drawn, Seen, Strategy

FIRST_PERIOD = 128
"""Training steps before the first map is used."""
PERIOD_GROWTH = 1.5
"""How much longer each period is than the one before."""
UNIFORM_IMAGES = 0.1
"""Share of the rays for which all images are alike."""
UNIFORM_PIXELS = 0.5
"""Share of the rays that go anywhere in their image."""


class ErrorMap(Strategy):
    """Draws from a map of losses that is renewed ever more seldom."""

    corrected = False

    def __init__(self, respawn: Respawn, generator: torch.Generator) -> None:
        super().__init__(respawn, generator)
        num_images = len(respawn.share)
        self.sums = torch.zeros(num_images, GRID, GRID)
        self.density = Density(num_images)
        self.per_image = torch.ones(num_images)
        """How much the map holds of each image, relative to the mean."""
        self.step, self.period = 0, FIRST_PERIOD

    def draw(self, images: Images, count: int) -> Drawn:
        """Pixels by the current map; from anywhere as long as there is none, and in images it knows nothing of."""
        allowed = self.respawn.share[images.ids]
        chance = torch.where(allowed > 0, self._image_chance(images.ids), 0)
        slot = draw_with_replacement(chance, count, self.generator)
        yx = self.respawn.uniform(images, slot, self.generator)
        by_map = torch.rand(count, generator=self.generator) >= UNIFORM_PIXELS
        by_map &= self.density.rows[images.ids[slot]].sum(-1) > 0
        cell = self.density.draw(images.ids[slot[by_map]], self.generator)
        yx[by_map] = self.respawn.within(images, slot[by_map], cell, self.generator)
        return slot, yx

    def learn(self, seen: Seen) -> None:
        """Add the losses to the map; when the period ends, draw by it and begin another."""
        row, column = cell_of(seen.yx.long(), seen.size).clamp(max=GRID - 1).unbind(-1)
        estimate = torch.where(seen.loss.isfinite(), seen.loss / self._relative_density(seen, row, column), 0)
        self.sums = self.sums.index_put((seen.image, row, column), estimate.float(), accumulate=True)
        self.step += 1
        if self.step < self.period:
            return
        sums = self.sums.sum((1, 2))
        for image in (sums > 0).nonzero()[:, 0].tolist():
            self.density.put(image, self.sums[image])
        self.per_image = sums / sums.mean().clamp(min=torch.finfo(sums.dtype).tiny)
        self.sums = torch.zeros_like(self.sums)
        self.step, self.period = 0, int(self.period * PERIOD_GROWTH)

    def _image_chance(self, ids: Int[Tensor, " images"]) -> Float[Tensor, " images"]:
        """Relative to drawing all images alike."""
        return (1 - UNIFORM_IMAGES) * self.per_image[ids] + UNIFORM_IMAGES

    def _relative_density(
        self, seen: Seen, row: Int[Tensor, " rays"], column: Int[Tensor, " rays"]
    ) -> Float[Tensor, " rays"]:
        """How much likelier than by uniform sampling each ray was drawn."""
        total = self.density.rows[seen.image].sum(-1)
        cell = self.density.cells[seen.image, row, column].float() * GRID**2 / total.clamp(min=1e-9)
        within = torch.where(total > 0, (1 - UNIFORM_PIXELS) * cell + UNIFORM_PIXELS, 1)
        return self._image_chance(seen.image) * within

    def state(self) -> dict[str, Tensor]:
        """Both maps and the place in the period."""
        return {
            "sums": self.sums,
            "cells": self.density.cells,
            "rows": self.density.rows,
            "per_image": self.per_image,
            "period": torch.tensor([self.step, self.period]),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with these maps."""
        self.sums, self.per_image = state["sums"].cpu(), state["per_image"].cpu()
        self.density.cells, self.density.rows = state["cells"].cpu(), state["rows"].cpu()
        self.step, self.period = state["period"].tolist()
