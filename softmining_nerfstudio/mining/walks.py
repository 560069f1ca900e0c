"""How walkers move.

Langevin is the paper's walk (eq. 10). It climbs the error by its gradient, and noise shakes it:

    x' = x + drift * grad log Q(x) + noise * N(0, I).

Diffusion needs no gradient. Selection alone follows the error: the easiest walkers die, the survivors mark hard
regions, and the next rays go near them:

    x' = x + noise * sqrt(height * width) * N(0, I).

Its steps are wide and relative to the image, so they mean the same at any resolution. Moves that would leave the image
are rejected; otherwise wide steps would empty its borders. It is named after the random walks with birth and death of
Anderson, "A random-walk simulation of the Schroedinger equation", J. Chem. Phys. 63 (1975).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Walk(ABC):
    """How walkers move, and how many of them die."""

    noise: float
    """Size of the random move per step."""
    respawn_fraction: float
    """Fraction of a batch's walkers that die each step: those of lowest corrected loss."""

    @property
    def needs_score(self) -> bool:
        """Whether `move` follows the score; it needs a graph through the cameras."""
        return False

    @abstractmethod
    def move(
        self,
        yx: Float[Tensor, "n 2"],
        size: Int[Tensor, "n 2"],
        score: Float[Tensor, "n 2"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, "n 2"]:
        """Move n walkers. A walker whose new position lies outside of its image dies.

        Args:
            yx: positions before, pixels.
            size: height and width of each walker's image, pixels.
            score: gradient of each walker's log loss, 1 / pixel; None where there is none.

        Returns:
            Positions after, pixels.
        """

    def _require(self, unit: str, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; expected a finite {unit}, at least 0")
        if not 0 <= self.respawn_fraction <= 1:
            raise ValueError(f"respawn_fraction is {self.respawn_fraction}; expected a fraction between 0 and 1")


@dataclass(frozen=True)
class Langevin(Walk):
    """The walk of lmc (eq. 10). The released code's values at 800 px and 4096 rays: drift 3.9, noise 16.

    Raises:
        ValueError: if a step size is negative or not finite, or the fraction is not within [0, 1].
    """

    drift: float = 4.0
    """Larger climbs faster towards hard pixels. Pixels per unit of score (a in eq. 10). 0 needs no gradient through the
    cameras, which is cheaper. The score is the gradient of log l; for a squared error that is twice that of log Q."""
    noise: float = 4.0
    """Larger explores more. Standard deviation of the random move per step, pixels (b in eq. 10)."""
    respawn_fraction: float = 1 / 9
    """Larger gives up easy pixels sooner. Fraction of a batch's walkers, those of lowest corrected loss, that die each
    step and reappear on edges. With a tenth of the batch uniform, 1/9 of the walkers is a tenth of the batch, as in the
    released code."""

    def __post_init__(self) -> None:
        self._require("number of pixels", "drift", "noise")

    @property
    def needs_score(self) -> bool:
        """Only the drift follows it."""
        return self.drift > 0

    def move(
        self,
        yx: Float[Tensor, "n 2"],
        size: Int[Tensor, "n 2"],
        score: Float[Tensor, "n 2"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, "n 2"]:
        """Eq. 10; without a score there is no drift."""
        yx = yx + self.noise * torch.randn(yx.shape, generator=generator)
        return yx if score is None else yx + self.drift * score


@dataclass(frozen=True)
class Diffusion(Walk):
    """The walk of dmc.

    Raises:
        ValueError: if the noise is negative or not finite, or the fraction is not within [0, 1].
    """

    noise: float = 0.05
    """Larger explores more. Standard deviation of the move per step, as a fraction of sqrt(height * width)."""
    respawn_fraction: float = 1 / 9
    """Larger gives up easy pixels sooner. Fraction of a batch's walkers, those of lowest corrected loss, that die each
    step and reappear on edges."""

    def __post_init__(self) -> None:
        self._require("fraction of the image's size", "noise")

    def move(
        self,
        yx: Float[Tensor, "n 2"],
        size: Int[Tensor, "n 2"],
        score: Float[Tensor, "n 2"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, "n 2"]:
        """The second equation above; a walker stays where its move would leave the image."""
        del score
        length = size.prod(-1, keepdim=True).sqrt()
        moved = yx + self.noise * length * torch.randn(yx.shape, generator=generator)
        inside = ((moved >= 0) & (moved < size)).all(-1, keepdim=True)
        return torch.where(inside, moved, yx)
