"""The strategy of soft mining: walkers that follow the error, of which each batch uses some by lot, and edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.images import Images
from softmining_nerfstudio.mining.respawn import Respawn
from softmining_nerfstudio.mining.spread import SpreadEstimate
from softmining_nerfstudio.mining.strategy import Drawn, Seen, Strategy
from softmining_nerfstudio.mining.walkers import Walk, Walkers

MOST_ON_EDGES = 0.9
"""The largest share; the walkers that are left go on telling whether following the error would pay."""


class Walking(Strategy):
    """Draw walkers, see their errors, move and kill them.

    Args:
        walk: how they move: the paper's way (`langevin.py`) or ours (`diffusion.py`).
    """

    def __init__(self, respawn: Respawn, generator: torch.Generator, walk: Walk) -> None:
        super().__init__(respawn, generator)
        self.walk = walk
        self.walkers = Walkers.dead(len(respawn.share), per_image=0)
        self.spread_estimate = SpreadEstimate()
        self.redrawn = 0.0
        self._inherited = torch.zeros(len(respawn.share), dtype=torch.bool)
        """The images whose walkers come from a checkpoint and have not been looked at since."""
        self._drawn: Int[Tensor, " n"] = torch.zeros(0, dtype=torch.long)
        self._count = 0
        """Of the last draw, walkers and rays on edges."""
        self._allowed: Callable[[Float[Tensor, "n 2"]], Bool[Tensor, " n"]] | None = None
        """What may be drawn of the images of the walkers that are drawn."""

    @property
    def needs_score(self) -> bool:
        """Whether the walkers' moves follow it."""
        return self.walk.needs_score

    @property
    def spread(self) -> float:
        """As wide as the error that the walkers follow."""
        return self.spread_estimate.value

    @property
    def edge_share(self) -> float:
        """How many of the rays are no walkers, but drawn anew on edges."""
        return min(self.spread, MOST_ON_EDGES) if self.walk.edges else 0.0

    def draw(self, images: Images, count: int) -> Drawn:
        """Walkers by lot, of which the dead reappear; after them the rays on edges, as many in every image."""
        self._count = count
        edges = round(self.edge_share * count)
        slot, yx, error = self._choose(images, count - edges)
        if edges:  # drawn like dead walkers, but not remembered
            slot = torch.cat([slot, self.respawn.every_image(images, edges, self.generator)])
            yx = torch.cat([yx, torch.full((edges, 2), torch.nan)])
            error = torch.cat([error, torch.zeros(edges)])
        dead = ~yx.isfinite().all(-1)
        anywhere, on_edge = dead & error.isnan(), dead & ~error.isnan()
        yx[anywhere] = self.respawn.uniform(images, slot[anywhere], self.generator)
        yx[on_edge] = self.respawn.on_edges(images, slot[on_edge], self.generator)
        self.walkers = self.walkers.place(self._drawn, yx[: len(self._drawn)])
        return slot, yx

    def _choose(
        self, images: Images, count: int
    ) -> tuple[Int[Tensor, " count"], Float[Tensor, "count 2"], Float[Tensor, " count"]]:
        """The slots of `count` walkers by lot, where they are and what errors they last saw."""
        self._kill_strayed(images)
        drawable = self.respawn.drawable(images)
        per_image = math.ceil(count / len(drawable))
        if per_image > self.walkers.per_image:
            self.walkers = self.walkers.grown(per_image)
        slot, self._drawn = self.walkers.choose(drawable, images.ids, count, self.generator)
        self._allowed = None if images.all_allowed else partial(_allowed, images, slot)
        return slot, self.walkers.yx.flatten(0, 1)[self._drawn], self.walkers.error.flatten()[self._drawn]

    def learn(self, seen: Seen) -> None:
        """Move and kill the walkers of the batch, and see what they find."""
        n = len(self._drawn)
        score = None if seen.score is None else seen.score[:n]
        self.walkers, died = self.walkers.step(
            self._drawn, seen.error[:n], seen.loss[:n], score, seen.size[:n], self.walk, self.generator, self._allowed
        )
        self._allowed = None  # the images may go out now
        self.redrawn = float(died.float().mean()) if n else 0.0
        self.spread_estimate.update(uniform=seen.error[self._count :], walkers=seen.error[:n])

    def statistics(self) -> dict[str, float]:
        """The share of the batch's walkers that died in the last step, and that of its mined rays on edges."""
        return {"Redrawn": self.redrawn, **({"On Edges": self.edge_share} if self.walk.edges else {})}

    def state(self) -> dict[str, Tensor]:
        """The walkers, and what they find."""
        return {"yx": self.walkers.yx, "error": self.walkers.error, "spread": self.spread_estimate.errors}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on with these walkers; if a batch needs more, new ones join them."""
        self.walkers = Walkers(state["yx"].cpu(), state["error"].cpu())
        errors = state.get("spread", state.get("edge_share"))  # as it was called; older checkpoints have neither
        if errors is not None:
            self.spread_estimate = SpreadEstimate(errors.cpu())
        self._inherited[:] = True

    def _kill_strayed(self, images: Images) -> None:
        """Masks and sizes may be others than before an interruption: kill whom they now forbid to be where they are."""
        per_image = self.walkers.per_image
        slot = self._inherited[images.ids].nonzero()[:, 0].repeat_interleave(per_image)
        if not len(slot):
            return
        self._inherited = self._inherited.index_fill(0, images.ids, False)
        index = images.ids[slot] * per_image + torch.arange(per_image).repeat(len(slot) // per_image)
        yx, size = self.walkers.yx.flatten(0, 1)[index], images.sizes[slot]
        inside = ((yx >= 0) & (yx < size)).all(-1, keepdim=True)  # False for NaN, too
        strayed = ~inside[:, 0] | ~_allowed(images, slot, torch.where(inside, yx, 0))
        self.walkers = self.walkers.place(index[strayed], torch.full((int(strayed.sum()), 2), torch.nan))


def _allowed(images: Images, slot: Int[Tensor, " n"], yx: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
    """Whether these positions may be drawn."""
    row, column = yx.long().minimum(images.sizes[slot] - 1).unbind(-1)
    return images.allowed(slot, row, column)
