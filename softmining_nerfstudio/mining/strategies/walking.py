"""The strategy of soft mining: each batch uses some of the walkers, by lot, and rays on edges besides.

Walkers know where errors are now, but only as coarsely as their steps are wide. Edges tell finely where errors may be.
The spread of the error (`spread.py`) sets the share of each: it is the share of rays on edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.base import Positions, Strategy
from softmining_nerfstudio.mining.strategies.spread import SpreadEstimate
from softmining_nerfstudio.mining.walkers import Walkers
from softmining_nerfstudio.mining.walks import Walk

MOST_ON_EDGES = 0.9
"""The largest share of rays on edges. The walkers that are left tell whether following the error would pay."""


class Walking(Strategy):
    """Draw walkers, see their errors, move and kill them.

    Args:
        walk: how the walkers move.
        edge_rays: draw a share of the rays on edges. The share grows as walkers find less error.
    """

    def __init__(self, densities: Densities, generator: torch.Generator, walk: Walk, edge_rays: bool) -> None:
        super().__init__(densities, generator)
        self.walk, self.edge_rays = walk, edge_rays
        self.walkers = Walkers.dead(len(densities.share), per_image=0)
        self.spread_estimate = SpreadEstimate()
        self.redrawn = 0.0
        self._inherited = torch.zeros(len(densities.share), dtype=torch.bool)
        """Images whose walkers come from a checkpoint and have not been checked against the masks and sizes of
        today."""
        self._chosen: Int[Tensor, " n"] = torch.zeros(0, dtype=torch.long)
        """The walkers of the last draw."""
        self._count = 0
        """Rays of the last draw: walkers, and rays on edges."""
        self._area: Callable[[Float[Tensor, "n 2"]], Float[Tensor, " n"]] | None = None
        """Of the pixels of the images of these walkers; None where all are alike."""

    @property
    def needs_score(self) -> bool:
        """Whether the walk follows it."""
        return self.walk.needs_score

    @property
    def spread(self) -> float:
        """As the walkers find it."""
        return self.spread_estimate.value

    @property
    def edge_share(self) -> float:
        """Share of the rays that is drawn on edges instead of from the walkers."""
        return min(self.spread, MOST_ON_EDGES) if self.edge_rays else 0.0

    def draw(self, images: Images, count: int) -> Positions:
        """Walkers by lot, of which the dead reappear; after them rays on edges, as many in every image."""
        self._count = count
        edges = round(self.edge_share * count)
        slot, yx, error = self._choose(images, count - edges)
        if edges:  # like dead walkers, but nobody remembers them
            slot = torch.cat([slot, self.densities.every_image(images, edges, self.generator)])
            yx = torch.cat([yx, torch.full((edges, 2), torch.nan)])
            error = torch.cat([error, torch.zeros(edges)])
        dead = ~yx.isfinite().all(-1)
        anywhere, on_edge = dead & error.isnan(), dead & ~error.isnan()
        yx[anywhere] = self.densities.uniform(images, slot[anywhere], self.generator)
        yx[on_edge] = self.densities.on_edges(images, slot[on_edge], self.generator)
        self.walkers = self.walkers.place(self._chosen, yx[: len(self._chosen)])
        return slot, yx

    def _choose(
        self, images: Images, count: int
    ) -> tuple[Int[Tensor, " count"], Float[Tensor, "count 2"], Float[Tensor, " count"]]:
        """The slots of `count` walkers by lot, where they are, and the errors that they saw last."""
        self._kill_strayed(images)
        drawable = self.densities.drawable(images)
        per_image = math.ceil(count / len(drawable))
        if per_image > self.walkers.per_image:
            self.walkers = self.walkers.grown(per_image)
        slot, self._chosen = self.walkers.choose(drawable, images.ids, count, self.generator)
        alike = images.all_allowed and not images.equirectangular
        self._area = None if alike else partial(_area, images, slot)
        return slot, self.walkers.yx.flatten(0, 1)[self._chosen], self.walkers.error.flatten()[self._chosen]

    def learn(self, seen: Seen) -> None:
        """Move and kill the walkers of the batch, and see what they find."""
        own = seen.first(len(self._chosen))
        self.walkers, died = self.walkers.step(self._chosen, own, self.walk, self.generator, self._area)
        self._area = None  # the images may go out now
        self.redrawn = float(died.float().mean()) if len(died) else 0.0
        self.spread_estimate.update(uniform=seen.error[self._count :], walkers=own.error)

    def statistics(self) -> dict[str, float]:
        """The share of the batch's walkers that died in the last step, and the share of its mined rays on edges."""
        return {"Redrawn": self.redrawn, **({"On Edges": self.edge_share} if self.edge_rays else {})}

    def state(self) -> dict[str, Tensor]:
        """The walkers, and the spread of what they find."""
        return {"yx": self.walkers.yx, "error": self.walkers.error, "spread": self.spread_estimate.errors}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with these walkers; if a batch needs more, new ones join them."""
        self.walkers = Walkers(state["yx"].cpu(), state["error"].cpu())
        self.spread_estimate = SpreadEstimate(state["spread"].cpu())
        self._inherited[:] = True

    def _kill_strayed(self, images: Images) -> None:
        """Kill walkers that stand where today's masks and sizes forbid it; both may have changed since the
        checkpoint."""
        per_image = self.walkers.per_image
        slot = self._inherited[images.ids].nonzero()[:, 0].repeat_interleave(per_image)
        if not len(slot):
            return
        self._inherited = self._inherited.index_fill(0, images.ids, False)
        index = images.ids[slot] * per_image + torch.arange(per_image).repeat(len(slot) // per_image)
        yx, size = self.walkers.yx.flatten(0, 1)[index], images.sizes[slot]
        inside = ((yx >= 0) & (yx < size)).all(-1, keepdim=True)  # False for NaN, too
        strayed = ~inside[:, 0] | (_area(images, slot, torch.where(inside, yx, 0)) == 0)
        self.walkers = self.walkers.place(index[strayed], torch.full((int(strayed.sum()), 2), torch.nan))


def _area(images: Images, slot: Int[Tensor, " n"], yx: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """The area of the pixels at these positions; 0 where they may not be drawn."""
    row, column = images.pixel_at(slot, yx).unbind(-1)
    return images.area(slot, row) * images.allowed(slot, row, column)
