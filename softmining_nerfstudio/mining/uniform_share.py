"""How much of a batch is drawn uniformly from all images, whatever else is mined

    share = max(fraction, (1 - step / warm-up steps) / 2).

The fraction is for what would otherwise be forgotten: it sees the easy regions again, in which errors may have grown,
and tells what the error is of rays that were not chosen. The warm-up is for the start: before anything has been learnt
the error tells little about what is hard to learn, and a model that hardly sees anything but edges and large errors may
saturate for good. But one that hardly sees anything but an empty background does not start well, either, and ends lower
for it; so no more than half of the rays are uniform at first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UniformShare:
    """The share, over training.

    Raises:
        ValueError: if the fraction is outside of [0, 1], or there are fewer than 0 warm-up steps.
    """

    fraction: float
    """The share after the warm-up."""
    warmup_steps: int
    """Training steps within which the share falls to it from a half; 0: the fraction from the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"uniform_fraction is {self.fraction}; expected a fraction between 0 and 1")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}; expected at least 0")

    def at(self, step: int) -> float:
        """The equation above."""
        return max(self.fraction, (1 - step / self.warmup_steps) / 2) if self.warmup_steps else self.fraction
