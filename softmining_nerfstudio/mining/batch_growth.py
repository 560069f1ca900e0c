"""How many rays a batch has: fewer at first, when any ray tells which way to go, more towards the end

    n(t) = N * (1 - spread + 2 * spread * t / steps),      from then on N * (1 + spread)

so that training sees N rays a step on average, and ends on gradients with less noise. Mined rays bear the small batches
at the start; uniform ones, of which most fall where nothing is to be learnt, do not.

Source: Smith et al., "Don't Decay the Learning Rate, Increase the Batch Size", ICLR 2018, for growing batches.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchGrowth:
    """Growth of the batch over training.

    Raises:
        ValueError: if the spread is not within [0, 1), or there are no steps.
    """

    spread: float = 0.0
    """By how much the first batches are smaller, and the last ones larger, than the rays per batch that are asked for,
    as a fraction of these; 0 keeps all alike."""
    steps: int = 1000
    """Training steps over which the batches grow."""

    def __post_init__(self) -> None:
        if not 0 <= self.spread < 1:
            raise ValueError(f"spread is {self.spread}; expected a fraction of the batch, at least 0 and below 1")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; expected at least 1")

    def rays_at(self, step: int, rays: int) -> int:
        """Rays of the batch at a training step, where there are `rays` on average."""
        done = min(step / self.steps, 1.0)
        return max(1, round(rays * (1 + self.spread * (2 * done - 1))))
