"""How much of a batch is drawn uniformly from all images, whatever else is mined:

    share = max(fraction, (1 - step / warm-up steps) / 2).

The uniform rays revisit easy regions, where errors may have grown, and give an unbiased estimate of the error.

The warm-up is for the start. Errors tell little before the model has learnt anything, and a model that sees almost
nothing but edges and large errors may saturate for good. One that sees almost nothing but an empty background starts
badly as well, so at most half of the rays are uniform.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UniformShare:
    """The share, over training.

    Raises:
        ValueError: if the fraction is outside of [0, 1], or the warm-up steps are negative.
    """

    fraction: float = 0.1
    """The share after the warm-up."""
    warmup_steps: int = 0
    """Larger warms up for longer. Steps over which the share would fall from one half to 0; it stops at `fraction`. 0:
    no warm-up."""

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"uniform_fraction is {self.fraction}; expected a fraction between 0 and 1")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}; expected at least 0")

    def at(self, step: int) -> float:
        """The equation above."""
        return max(self.fraction, (1 - step / self.warmup_steps) / 2) if self.warmup_steps else self.fraction
