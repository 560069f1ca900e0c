"""The walkers: a population of pixel positions that follows the error density.

Each step they move (`langevin.py` and `diffusion.py` say how). Walkers that leave their image, that have nothing left
to teach (the lowest corrected losses), or whose numbers are not finite die, and reappear elsewhere (`respawn.py`) when
they are next drawn: on an edge, or anywhere if they have not seen an error yet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Walk(ABC):
    """How walkers move, how many of them die, and whether there are rays besides them."""

    respawn_fraction: float
    """Fraction of a batch's walkers, those of lowest corrected loss, that die each step and reappear on edges."""
    edges: bool
    """Whether rays are drawn anew on edges, too, the more, the less walkers find (`spread.py`)."""

    @property
    @abstractmethod
    def needs_score(self) -> bool:
        """Whether `move` follows the score."""

    @abstractmethod
    def move(
        self,
        yx: Float[Tensor, "n 2"],
        size: Int[Tensor, "n 2"],
        score: Float[Tensor, "n 2"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, "n 2"]:
        """Where each of n walkers goes, pixels; it dies if that is not in its image.

        Args:
            yx: where it is.
            size: height and width of its image, pixels.
            score: gradient of its log loss, 1 / pixel; None where there is none.
        """

    def _require_fraction(self) -> None:
        if not 0 <= self.respawn_fraction <= 1:
            raise ValueError(f"respawn_fraction is {self.respawn_fraction}; expected a fraction between 0 and 1")


@dataclass(frozen=True)
class Walkers:
    """The same number of walkers in every image of the data set.

    A walker is named by its flat index, image * per_image + its number in the image.
    """

    yx: Float[Tensor, "images per_image 2"]
    """Positions, pixels; NaN while dead."""
    error: Float[Tensor, "images per_image"]
    """The error each walker last saw; NaN before it has seen one, and where it was not finite."""

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
        error: Float[Tensor, " n"],
        loss: Float[Tensor, " n"],
        score: Float[Tensor, "n 2"] | None,
        size: Int[Tensor, "n 2"],
        walk: Walk,
        generator: torch.Generator,
        allowed: Callable[[Float[Tensor, "n 2"]], Bool[Tensor, " n"]] | None = None,
    ) -> tuple[Walkers, Bool[Tensor, " n"]]:
        """Move walkers `index`, and kill those that left the image, became easy or are not finite.

        Q is 0 on a masked-out pixel: a move onto one is not made, and the walker stays.

        Args:
            error: what each saw at its pixel.
            loss: the corrected loss there; the lowest `respawn_fraction` of them die.
            score: gradient of the log loss, 1 / pixel; None where the walk needs none.
            size: height and width of each walker's image, pixels.
            allowed: whether positions in the walkers' images may be drawn; None where all may.

        Returns:
            The population after the step, and which of the n died in it.
        """
        before = self.yx.flatten(0, 1)[index]
        yx = walk.move(before, size, score, generator)
        inside = ((yx >= 0) & (yx < size)).all(-1)  # False for NaN, too
        if allowed is not None:
            barred = inside & ~allowed(torch.where(inside[:, None], yx, before))
            yx = torch.where(barred[:, None], before, yx)
        alive = inside & error.isfinite() & loss.isfinite() & ~lowest(loss, walk.respawn_fraction)
        moved = self.place(index, torch.where(alive[:, None], yx, torch.nan))
        seen = self.error.flatten().index_copy(0, index, error.to(self.error.dtype)).view_as(self.error)
        return replace(moved, error=seen), ~alive


def lowest(loss: Float[Tensor, " n"], fraction: float) -> Bool[Tensor, " n"]:
    """Which n * fraction (rounded) values are the lowest; among equals the first ones."""
    chosen = torch.zeros_like(loss, dtype=torch.bool)
    chosen[loss.argsort(stable=True)[: round(fraction * len(loss))]] = True  # topk breaks ties as it likes
    return chosen
