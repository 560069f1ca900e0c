"""Diffusion Monte-Carlo: a walk without a gradient, in which selection alone follows the error

    x' = x + noise * sqrt(height * width) * N(0, I).

A walker that is not among the easiest lives on, which tells that its neighbourhood is hard, and the next ray goes
somewhere into that neighbourhood; the easiest die and reappear on edges. The steps are wide and relative to the image,
so that they mean the same at any resolution: the error around a pixel is known only as coarsely as rays are rare. A
move out of the image is not made, lest so wide steps leave its borders empty. What the paper has beyond this, the
drift, needs a graph from the loss back through the cameras and bought nothing.

Not all rays follow the error: at first half of them are uniform (`uniform_share.py`), and the less error walkers
find, the more of the other rays are drawn anew on edges (`spread.py`).

Named after the random walks with birth and death of Anderson, "A random-walk simulation of the Schroedinger equation",
J. Chem. Phys. 63 (1975).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.walkers import Walk


@dataclass(frozen=True)
class DiffusionConfig(Walk):
    """The walk of dmc.

    Raises:
        ValueError: if the noise is negative or not finite, or the fraction is not within [0, 1].
    """

    noise: float = 0.05
    """Standard deviation of the move per step, relative to the image: to the square root of height times width. Larger
    explores more."""
    respawn_fraction: float = 1 / 9
    """Fraction of a batch's walkers, those of lowest corrected loss, that die each step and reappear on edges."""
    edges: bool = True
    """Whether rays are drawn on edges besides the walkers, the more, the less these find."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"noise is {self.noise}; expected a finite fraction of the image's size, at least 0")
        self._require_fraction()

    @property
    def needs_score(self) -> bool:
        """It does not: no graph through the cameras is built."""
        return False

    def move(
        self,
        yx: Float[Tensor, "n 2"],
        size: Int[Tensor, "n 2"],
        score: Float[Tensor, "n 2"] | None,
        generator: torch.Generator,
    ) -> Float[Tensor, "n 2"]:
        """The equation above; a move out of the image is not made."""
        del score
        length = size.prod(-1, keepdim=True).sqrt()
        moved = yx + self.noise * length * torch.randn(yx.shape, generator=generator)
        inside = ((moved >= 0) & (moved < size)).all(-1, keepdim=True)
        return torch.where(inside, moved, yx)
