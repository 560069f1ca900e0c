"""Langevin Monte-Carlo: the paper's walk (eq. 10), which climbs the error by its gradient and is shaken by noise

x' = x + drift * grad log Q(x) + noise * N(0, I).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.walkers import Walk


@dataclass(frozen=True)
class LangevinConfig(Walk):
    """The paper's walk. The released code's values at 800 px and 4096 rays: drift 3.9, noise 16.

    Raises:
        ValueError: if a step size is negative or not finite, or the fraction is not within [0, 1].
    """

    drift: float = 4.0
    """Pixels moved per unit of score, 1 / pixel (a in eq. 10). Larger climbs faster towards hard pixels; 0 needs no
    gradient through the cameras, which is cheaper. The score is that of the loss, log l: for a squared error it is
    twice that of Q."""
    noise: float = 4.0
    """Standard deviation of the random move per step, pixels (b in eq. 10). Larger explores more."""
    respawn_fraction: float = 1 / 9
    """Fraction of a batch's walkers, those of lowest corrected loss, that die each step and reappear on edges. Where a
    tenth of the batch is uniform rays, 1/9 of the walkers is a tenth of the batch, too, as in the released code."""
    edges: bool = False
    """Whether rays are drawn on edges besides the walkers, the more, the less these find. The paper has none."""

    def __post_init__(self) -> None:
        for name in ("drift", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; expected a finite number of pixels, at least 0")
        self._require_fraction()

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
