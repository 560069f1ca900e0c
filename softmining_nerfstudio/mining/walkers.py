"""The walkers: a population of pixel positions that follows the error density.

Each step the walkers of a batch move (`walks.py`). A walker dies if it leaves its image, if its corrected loss is among
the lowest, or if its numbers are not finite. When it is next drawn it reappears: on an edge, or anywhere if it has not
seen an error yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.walks import Walk


@dataclass(frozen=True)
class Walkers:
    """The same number of walkers in every image of the data set: mined rays / loaded images, of 12 bytes each.

    A walker is named by its flat index, image * per_image + its number in the image.
    """

    yx: Float[Tensor, "images per_image 2"]
    """Positions, pixels; NaN while dead."""
    error: Float[Tensor, "images per_image"]
    """The error that each walker saw last; NaN before it has seen one, and where it was not finite."""

    @staticmethod
    def dead(num_images: int, per_image: int) -> Walkers:
        """A population that has not been placed yet."""
        return Walkers(
            torch.full((num_images, per_image, 2), torch.nan), torch.full((num_images, per_image), torch.nan)
        )

    @property
    def per_image(self) -> int:
        """Walkers in each image."""
        return self.yx.shape[1]

    def grown(self, per_image: int) -> Walkers:
        """The same walkers and, after them in each image, dead ones up to `per_image`."""
        more = Walkers.dead(len(self.yx), per_image - self.per_image)
        return Walkers(torch.cat([self.yx, more.yx], 1), torch.cat([self.error, more.error], 1))

    def choose(
        self, slots: Int[Tensor, " choices"], ids: Int[Tensor, " images"], count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " count"], Int[Tensor, " count"]]:
        """`count` walkers by lot, none of them twice.

        Args:
            slots: which of the loaded images to choose from.
            ids: index of each loaded image in the data set.
            count: at most the number of walkers in those images.

        Returns:
            The slot of each chosen walker's image, and the walker's flat index.
        """
        lot = torch.randperm(len(slots) * self.per_image, generator=generator)[:count]
        slot = slots[lot // self.per_image]
        return slot, ids[slot] * self.per_image + lot % self.per_image

    def place(self, index: Int[Tensor, " n"], yx: Float[Tensor, "n 2"]) -> Walkers:
        """The population with walkers `index` moved to `yx`."""
        return replace(self, yx=self.yx.flatten(0, 1).index_copy(0, index, yx).view_as(self.yx))

    def step(
        self,
        index: Int[Tensor, " n"],
        seen: Seen,
        walk: Walk,
        generator: torch.Generator,
        area: Callable[[Float[Tensor, "n 2"]], Float[Tensor, " n"]] | None = None,
    ) -> tuple[Walkers, Bool[Tensor, " n"]]:
        """Move walkers `index`, and kill those that left the image, became easy or are not finite.

        Where some pixels have less area than others, a move to them is made less often (Metropolis et al., 1953): with
        the chance area there / area here. So a walker stays where its move would end on a masked-out pixel.

        Args:
            index: flat indices of n walkers.
            seen: what each of them saw at its pixel.
            walk: how they move. The `respawn_fraction` of lowest corrected loss dies.
            generator: the source of all randomness.
            area: of the pixels at positions in the walkers' images, 0 where nothing may be drawn; None where all are
                alike.

        Returns:
            The population after the step, and which of the n died in it.
        """
        before = self.yx.flatten(0, 1)[index]
        yx = walk.move(before, seen.size, seen.score, generator)
        inside = ((yx >= 0) & (yx < seen.size)).all(-1)  # False for NaN, too
        if area is not None:
            chance = area(torch.where(inside[:, None], yx, before)) / area(before)
            refused = inside & (torch.rand(chance.shape, generator=generator) >= chance)
            yx = torch.where(refused[:, None], before, yx)
        finite = seen.error.isfinite() & seen.loss.isfinite()
        alive = inside & finite & ~lowest(seen.loss, walk.respawn_fraction)
        moved = self.place(index, torch.where(alive[:, None], yx, torch.nan))
        error = self.error.flatten().index_copy(0, index, seen.error.to(self.error.dtype)).view_as(self.error)
        return replace(moved, error=error), ~alive


def lowest(loss: Float[Tensor, " n"], fraction: float) -> Bool[Tensor, " n"]:
    """Which n * fraction (rounded) values are the lowest; among equal ones the first."""
    chosen = torch.zeros_like(loss, dtype=torch.bool)
    chosen[loss.argsort(stable=True)[: round(fraction * len(loss))]] = True  # topk breaks ties as it likes
    return chosen
